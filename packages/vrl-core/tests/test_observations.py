"""Which observation fields algorithms read, in which order, and their standardisation."""

import numpy as np
import pytest
import torch

from vrl_core.agreement import check_layout
from vrl_core.batches import Fields, transitions
from vrl_core.episodes import DataSpec, FieldSpec
from vrl_core.errors import VRLError
from vrl_core.evaluation_workers import Layout
from vrl_core.observations import choose_fields, images_alone, narrowed, side_by_side
from vrl_core.protocols import Transitions
from vrl_core.replay import Replay
from vrl_core.standardisation import StandardisedVectors
from vrl_core.testing.tiny_data import tiny_data

IMAGE = FieldSpec((16, 16, 3), "uint8")
SPEC = DataSpec(
    task="reach",
    observations={
        "state": FieldSpec((5,), "float32"),
        "wrist": FieldSpec((8, 12, 3), "uint8"),
        "goal": FieldSpec((2,), "float32"),
        "time": FieldSpec((), "float32"),
        "image": IMAGE,
    },
    action_size=2,
)


class Reader:
    """A policy that says what it reads."""

    observations = ("image",)


def test_fields_are_the_cameras_with_image_first_and_then_the_vectors() -> None:
    fields = choose_fields(SPEC, None, "BC")
    assert fields.names == ("image", "wrist", "goal", "state")
    assert fields.cameras == {"image": (16, 16, 3), "wrist": (8, 12, 3)}
    assert fields.vectors == {"goal": 2, "state": 5}
    assert (fields.vector_size, fields.main_camera, fields.only_camera) == (7, "image", None)


def test_chosen_fields_keep_that_order_whatever_the_settings_is() -> None:
    assert choose_fields(SPEC, ("state", "image"), "BC").names == ("image", "state")
    assert choose_fields(SPEC, ("image",), "BC") == images_alone((16, 16, 3))
    alone = choose_fields(SPEC, ("state",), "BC")
    assert (alone.cameras, alone.main_camera, alone.only_camera) == ({}, None, None)
    assert set(narrowed(SPEC, alone).observations) == {"state"}


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (("imge",), "no observation field named 'imge'. Did you mean 'image'"),
        (("image", "time"), r"'time' has shape \(\).*neither an image.*--observations"),
        ((), "BC learns from .*it was given none.*--observations"),
    ],
)
def test_fields_that_cannot_be_read_are_refused(wanted, words) -> None:
    with pytest.raises(VRLError, match=words):
        choose_fields(SPEC, wanted, "BC")


def test_data_without_any_is_refused_naming_what_there_is() -> None:
    spec = DataSpec(task="t", observations={"time": FieldSpec((), "float32")}, action_size=1)
    with pytest.raises(VRLError, match=r"BC learns from .*`image`.*`state`.*'time'"):
        choose_fields(spec, None, "BC")


def test_what_environments_show_is_checked_and_narrowed() -> None:
    fields = choose_fields(SPEC, ("image", "state"), "BC")
    shown = {
        "image": np.zeros((3, 16, 16, 3), np.uint8),
        "state": np.ones((3, 5)),
        "more": np.zeros((3, 1)),
    }
    found = fields.of(shown, 3)
    assert found["image"] is shown["image"]  # not copied
    assert list(found) == ["image", "state"]
    assert found["state"].dtype == np.float32
    for name in ("image", "state"):
        with pytest.raises(VRLError, match=f"trained on image, state and expects a field '{name}'"):
            fields.of({key: value for key, value in shown.items() if key != name}, 3)
    with pytest.raises(VRLError, match=r"'state' of shape \(3, 5\).*--observations"):
        fields.of(shown | {"state": np.ones((3, 4), np.float32)}, 3)


def test_a_policys_fields_alone_must_be_shown() -> None:
    layout = Layout({"image": IMAGE}, 2, 30.0)
    check_layout(SPEC, layout, Reader())
    with pytest.raises(
        VRLError, match=r"'state', the environment only: image.*--observations image"
    ):
        check_layout(SPEC, layout)
    with pytest.raises(VRLError, match="'image', the environment only: state"):
        check_layout(SPEC, Layout({"state": FieldSpec((5,), "float32")}, 2, 30.0), Reader())


def test_cameras_are_stacked_and_vectors_are_the_newest() -> None:
    frames = torch.arange(6, dtype=torch.uint8).view(6, 1, 1, 1).expand(6, 2, 2, 3)
    rows = {
        "observation.image": frames,
        "observation.wrist": frames + 100,
        "observation.state": torch.arange(12.0).view(6, 2),
        "action": torch.zeros(6, 1),
        "reward": torch.zeros(6),
        "termination": torch.zeros(6, dtype=torch.bool),
    }
    fields = Fields(rows, torch.tensor([0]), torch.tensor([5]))
    request = Transitions(batch_size=1, frame_stack=3, observations=("wrist", "state"))
    batch = transitions(fields, torch.tensor([1]), torch.tensor([0]), request)
    assert list(batch.observation) == ["wrist", "state"]
    assert batch.observation["wrist"][0, :, 0, 0, 0].tolist() == [100, 100, 101]
    assert batch.next_observation["wrist"][0, :, 0, 0, 0].tolist() == [100, 101, 102]
    assert batch.observation["state"].tolist() == [[2.0, 3.0]]
    assert batch.next_observation["state"].tolist() == [[4.0, 5.0]]


def test_vectors_are_standardised_by_all_the_datas_rows_and_constants_only_shifted(
    tmp_path,
) -> None:
    store = tiny_data(tmp_path / "s", episodes=3, steps=4, image_size=None, state_size=3)
    vectors = StandardisedVectors(choose_fields(store.spec, None, "BC"))
    states = torch.from_numpy(np.array(store.fields["observation.state"]))
    torch.testing.assert_close(vectors({"state": states}), states)  # before `fit`
    vectors.fit(Replay(store, torch.device("cpu")))
    # Numbers 0 and 1 of tiny data are the episode, 0 to 2, and the step, 0 to 4.
    np.testing.assert_allclose(vectors.mean[:2], [1.0, 2.0], rtol=1e-6)
    np.testing.assert_allclose(vectors.deviation[:2], [(2 / 3) ** 0.5, 2**0.5], rtol=1e-6)
    standard = vectors({"state": states})
    torch.testing.assert_close(standard.mean(0), torch.zeros(3), atol=1e-6, rtol=0)
    torch.testing.assert_close(standard.std(0, correction=0), torch.ones(3), atol=1e-6, rtol=0)
    one = tiny_data(tmp_path / "one", episodes=1, image_size=None, state_size=2)
    vectors = StandardisedVectors(choose_fields(one.spec, None, "BC"))
    vectors.fit(Replay(one, torch.device("cpu")))
    assert vectors.deviation[0] == 1.0


def test_cameras_side_by_side_leave_out_other_heights() -> None:
    views = {
        "wrist": np.full((2, 4, 3, 3), 1, np.uint8),
        "image": np.full((2, 4, 5, 3), 2, np.uint8),
        "far": np.zeros((2, 6, 6, 3), np.uint8),
    }
    picture = side_by_side(views)
    assert picture.shape == (2, 4, 8, 3)
    assert picture[0, 0, :, 0].tolist() == [2] * 5 + [1] * 3
    assert side_by_side({"image": views["image"]}) is views["image"]
    assert side_by_side({}) is None
