"""Learned rewards for what this package brings: the desk, and logs of a user's own robot."""

import numpy as np
import pytest

from vrl_core import cli
from vrl_core.errors import VRLError
from vrl_core.ingest import write_store
from vrl_core.reward_classifier import RewardClassifier
from vrl_core.reward_config import ClassifierTraining
from vrl_core.reward_labels import balanced_labels
from vrl_core.reward_training import train_classifier
from vrl_core.store import Store
from vrl_core.testing import check_environment
from vrl_envs.desk.config import Desk, DeskDataset

SIZE = 16
SMALL = ClassifierTraining(
    steps=30, batch_size=16, channels=(8, 8), strides=(2, 2), hidden_size=16, held_out=0
)


@pytest.fixture(scope="module")
def closed(tmp_path_factory):
    """A classifier of small pictures of the desk."""
    folder = tmp_path_factory.mktemp("desk")
    data = DeskDataset(quality="expert", episodes=2, size=SIZE, horizon=40)
    store = write_store(data, folder / "store", workers=1)
    labels = balanced_labels(store, 20, np.random.default_rng(0))
    return train_classifier(store, "image", labels, SMALL).write(folder / "closed")


def desk(closed, **settings) -> Desk:
    learned = {"reward": "learned", "classifier": closed, "size": SIZE, "rendering": "fast"}
    return Desk(**(learned | settings))


def test_the_desk_pays_the_classifiers_probability_of_the_frame_after_the_step(closed):
    classifier = RewardClassifier.read(closed)
    assert (classifier.card.camera, classifier.card.rendering) == ("overhead", "fast")
    for observation in ("pixels", "state"):
        env = desk(closed, observation=observation).build()
        env.reset(seed=0)
        _, reward, _, _, info = env.step(np.array([-1.0, 0.0, -1.0]))
        assert reward == float(classifier.probabilities(env.render()[None])[0])
        assert 0 < reward < 1
        assert info["success"] is False  # the truth is told all the same
        env.close()
    check_environment(desk(closed), steps=2)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"size": SIZE + 2}, "judges images of 16x16x3, these are of 18x18x3"),
        ({"camera": "side"}, "camera 'overhead', these are of 'side'"),
        ({"rendering": "reference"}, "rendering 'fast', these are of 'reference'"),
    ],
)
def test_the_desk_refuses_a_classifier_of_other_images(closed, settings, message):
    with pytest.raises(VRLError, match=message):
        desk(closed, **settings).build()


def test_the_desk_refuses_a_classifier_that_is_not_there(closed):
    with pytest.raises(VRLError, match="There is no classifier"):
        desk(closed.with_name("none")).build()


def write_logs(folder, episodes=6, steps=9):
    """Write logs of a robot without rewards: in the upper half of late frames, a lamp is on."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for episode in range(episodes):
        images = rng.integers(0, 100, (steps + 1, SIZE, SIZE, 3), np.uint8)
        images[6:, : SIZE // 2] = 255
        np.savez_compressed(
            folder / f"20260101T00000{episode}-{'ab' * 16}-{steps}.npz",
            image=images,
            action=np.zeros((steps + 1, 2), np.float32),
            reward=np.zeros(steps + 1, np.float32),
            discount=np.ones(steps + 1, np.float32),
            success=np.zeros(steps + 1),
        )


def run(*words):
    assert cli.main([str(word) for word in words]) == 0


def test_a_users_logs_get_rewards_by_labels_of_a_person(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_logs(tmp_path / "logs")
    run("data", "convert", "lompo", "--dataset.path", "logs", "store", "--workers", 1)
    run("reward", "label", "store", "labels", "--frames", 30)
    # the person: moves pictures of late frames to one folder, and of early ones to the other
    for picture in (tmp_path / "labels" / "frames").iterdir():
        late = int(picture.stem.split("_step")[1]) >= 6
        picture.rename(tmp_path / "labels" / ("positive" if late else "negative") / picture.name)
    network = ("--channels", 4, 4, "--strides", 2, 2, "--learning-rate", 0.01)
    train = ("reward", "train", "labels", "--data", "store", "--output", "lamp")
    run(*train, "--steps", 30, *network)
    words = ("data", "convert", "rewarded", "--dataset.path", "store", "--dataset.threshold", 0.5)
    run(*words, "--dataset.classifier", "lamp", "rewarded", "--workers", 1)
    rewarded, card = Store.open("rewarded"), RewardClassifier.read("lamp").card
    assert (card.camera, card.held_out.accuracy) == (None, 1)
    # frame 6 is the first with the lamp on, and step 5 leads to it
    for episode in rewarded:
        assert episode.rewards.tolist() == [0] * 5 + [1] * 4
        assert episode.info["logged_return"] == 0
