import json
from pathlib import Path

import minari
import numpy as np
import pytest

from vrl_core.data_export import export_minari, minari_place
from vrl_core.errors import VRLError
from vrl_core.store import Store


def test_minari_reads_every_bit_back(counting_store: Store, minari_root: Path):
    place = minari_place(counting_store.spec, None, "count/good-v0")
    assert export_minari(counting_store, place) == minari_root / "count" / "good-v0"
    dataset = minari.load_dataset("count/good-v0")
    assert dataset.total_episodes == 3
    assert dataset.total_steps == 21
    assert dataset.observation_space["image"].shape == (16, 16, 3)
    for ours, theirs in zip(counting_store, dataset.iterate_episodes(), strict=True):
        assert theirs.observations.keys() == {"image", "state"}
        for name, value in ours.observations.items():
            np.testing.assert_array_equal(theirs.observations[name], value)
            assert theirs.observations[name].dtype == value.dtype
        np.testing.assert_array_equal(theirs.actions, ours.actions)
        np.testing.assert_array_equal(theirs.rewards, ours.rewards)
        np.testing.assert_array_equal(theirs.terminations, ours.terminations)
        np.testing.assert_array_equal(theirs.truncations, ours.truncations)
        assert theirs.actions.dtype == theirs.rewards.dtype == np.float32
    assert [episode["seed"] for episode in dataset.storage.get_episode_metadata([0, 1, 2])] == [
        *[0, 1, 2]
    ]


def test_large_noisy_images_are_not_compressed_with_loss(tmp_path: Path, minari_root: Path):
    """Minari encodes images from 32 pixels on as JPEG unless told otherwise."""
    from counting_dataset import counting_episode
    from vrl_core.episodes import DataSpec, Episode, FieldSpec
    from vrl_core.store_writer import StoreWriter

    noise = np.random.default_rng(0).integers(0, 256, (4, 40, 40, 3), np.uint8)
    small = counting_episode(0, 3)
    episode = Episode(
        observations={"image": noise},
        actions=small.actions,
        rewards=small.rewards,
        terminations=small.terminations,
        truncations=small.truncations,
    )
    spec = DataSpec(
        task="noise", observations={"image": FieldSpec((40, 40, 3), "uint8")}, action_size=2
    )
    with StoreWriter(tmp_path / "noise", spec, episodes=1, origin={}) as writer:
        writer.append(episode)
        store = writer.finish()
    export_minari(store, minari_place(spec, None, None))
    dataset = minari.load_dataset("vrl/noise/unknown-v0")
    np.testing.assert_array_equal(dataset[0].observations["image"], noise)


@pytest.mark.parametrize("data_format", ["arrow", "parquet"])
def test_other_formats_hold_the_same(counting_store: Store, minari_root: Path, data_format: str):
    pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    place = minari_place(counting_store.spec, None, "count/good-v0")
    export_minari(counting_store, place, data_format=data_format)
    dataset = minari.load_dataset("count/good-v0")
    for ours, theirs in zip(counting_store, dataset.iterate_episodes(), strict=True):
        for name, value in ours.observations.items():
            np.testing.assert_array_equal(theirs.observations[name], value)
        np.testing.assert_array_equal(theirs.actions, ours.actions)
        np.testing.assert_array_equal(theirs.terminations, ours.terminations)


def test_the_description_travels_along(counting_store: Store, minari_root: Path):
    folder = export_minari(counting_store, minari_place(counting_store.spec, None, None))
    metadata = json.loads((folder / "data" / "metadata.json").read_text())
    assert metadata["dataset_id"] == "vrl/count_up/good-v0"
    assert json.loads(metadata["vrl_spec"])["environment"] == {"name": "counting", "size": 16}


def test_a_folder_of_its_own_names_the_dataset(counting_store: Store, tmp_path: Path):
    spec = counting_store.spec
    place = minari_place(spec, tmp_path / "out" / "walker" / "expert-v2", None)
    assert (place.root, place.identifier) == (tmp_path / "out", "walker/expert-v2")
    place = minari_place(spec, tmp_path / "a" / "b" / "expert-v2", "a/b/expert-v2")
    assert (place.root, place.identifier) == (tmp_path, "a/b/expert-v2")
    assert minari_place(spec, tmp_path / "out", "x-v1").folder == tmp_path / "out" / "x-v1"


@pytest.mark.parametrize(
    ("output", "identifier", "message"),
    [
        (None, "no version", "cannot name a Minari dataset"),
        (Path("a/b-v0"), "c/b-v0", "not where Minari looks"),
    ],
)
def test_contradicting_places_are_refused(counting_store: Store, output, identifier, message):
    with pytest.raises(VRLError, match=message):
        minari_place(counting_store.spec, output, identifier)


def test_nothing_is_overwritten(counting_store: Store, minari_root: Path):
    place = minari_place(counting_store.spec, None, None)
    place.folder.mkdir(parents=True)
    with pytest.raises(VRLError, match="not overwritten"):
        export_minari(counting_store, place)


def test_what_a_stopped_export_left_is_replaced(counting_store: Store, minari_root: Path):
    place = minari_place(counting_store.spec, None, None)
    left = place.folder.with_name(place.folder.name + ".partial") / "data"
    left.mkdir(parents=True)
    (left / "main_data.hdf5").write_bytes(b"half")
    export_minari(counting_store, place)
    assert len(minari.load_dataset(place.identifier)) == 3
    assert not left.parent.exists()


def test_without_minari_the_way_to_it_is_named(
    counting_store: Store, minari_root: Path, no_minari: None
):
    with pytest.raises(VRLError, match=r"pip install 'vrl-core\[minari\]'"):
        export_minari(counting_store, minari_place(counting_store.spec, None, None))
