import threading
import time

import huggingface_hub
import numpy as np
import pytest

from fake_hub import FakeHub, running
from tiny_vd4rl import table, write_hdf5, write_npz
from vrl_core.errors import VRLError
from vrl_envs.readers import vd4rl_download, vd4rl_hub
from vrl_envs.readers.vd4rl_config import VD4RL
from vrl_envs.readers.vd4rl_names import parse_identifier

NAME = "v-d4rl/walker_walk/medium_expert/84px"
FOLDER = "vd4rl/main/walker_walk/medium_expert/84px"

pytestmark = pytest.mark.filterwarnings("ignore::vrl_envs.readers.damage.IncompleteDataWarning")


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A hub with a dataset of two shards and one of three npz files; the cache is empty."""
    made = tmp_path / "made"
    shards = [
        write_hdf5(made / f"shard_{number}_reward_5.hdf5", table([4, 4], first_episode=2 * number))
        for number in range(2)
    ]
    files = {f"{FOLDER}/{path.name}": path.read_bytes() for path in shards}
    for path in write_npz(made / "npz", episodes=3):
        files[f"vd4rl/main/cheetah_run/medium_replay/64px/{path.name}"] = path.read_bytes()
        files[f"vd4rl/distracting/walker_walk_random/64px/easy/{path.name}"] = path.read_bytes()
    files[f"{FOLDER}/README.md"] = b"not data"
    monkeypatch.setenv("VRL_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    with running(FakeHub(files)) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
        yield hub


@pytest.fixture
def quick(monkeypatch):
    """Let the hub's client not wait before it tries again."""
    monkeypatch.setattr(time, "sleep", lambda seconds: None)


def fetched(tmp_path):
    return tmp_path / "home/downloads/v-d4rl/main/walker_walk/medium_expert/84px"


def fetch(tmp_path, on_bytes=lambda present, total: None):
    folder = fetched(tmp_path)
    folder.mkdir(parents=True, exist_ok=True)
    vd4rl_download.fetch(parse_identifier(NAME), folder, on_bytes=on_bytes)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def shards_of(hub):
    return {
        path.rsplit("/", 1)[-1]: content
        for path, content in hub.files.items()
        if path.startswith(FOLDER) and path in hub.large
    }


def test_a_dataset_is_fetched_and_written_as_a_store(hub, tmp_path):
    store = VD4RL.download(NAME, workers=1)
    assert store.path.resolve() == tmp_path / "data/walker_walk/medium_expert/84px"
    assert [episode.rewards[0] for episode in store] == [1, 11, 21, 31]
    assert (store.spec.behaviour, store.spec.source) == ("medium_expert", "V-D4RL")
    assert not fetched(tmp_path).exists()


def test_the_papers_names_fetch_the_same_and_files_can_be_kept(hub, tmp_path):
    store = VD4RL.download("v-d4rl/cheetah_run/mixed/64px", tmp_path / "out", keep=True, workers=1)
    assert (len(store), store.spec.behaviour) == (3, "mixed")
    kept = tmp_path / "home/downloads/v-d4rl/main/cheetah_run/medium_replay/64px"
    assert len(list(kept.glob("*.npz"))) == 3


def test_a_distracting_dataset_is_fetched(hub, tmp_path):
    store = VD4RL.download("v-d4rl/distracting/walker_walk_random/64px/easy", workers=1)
    assert store.path.resolve() == tmp_path / "data/distracting/walker_walk_random/64px/easy"
    assert store.spec.source == "V-D4RL, distracting easy (one fixed distraction)"
    assert store.spec.environment["distraction"] == "low"


def test_only_data_is_fetched_and_no_credentials_are_sent(hub, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_" + "secret")
    assert fetch(tmp_path) == shards_of(hub)
    assert hub.headers
    assert not any("authorization" in map(str.lower, headers) for headers in hub.headers)


def test_progress_ends_with_every_byte_present(hub, tmp_path):
    told = []
    fetch(tmp_path, on_bytes=lambda present, total: told.append((present, total)))
    size = sum(map(len, shards_of(hub).values()))
    assert told[-1] == (size, size)
    assert {total for _, total in told} == {size}
    assert max(present for present, _ in told) == size


def test_a_broken_connection_is_resumed_where_it_broke(hub, tmp_path, quick, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "DOWNLOAD_CHUNK_SIZE", 400)
    path = f"{FOLDER}/shard_0_reward_5.hdf5"
    hub.break_after[path] = 1000
    assert fetch(tmp_path) == shards_of(hub)
    assert [header for name, header in hub.ranges if name == path] == [None, "bytes=800-"]


class KilledError(BaseException):
    """Ends a transfer as a signal would."""


def test_a_killed_download_goes_on_with_the_bytes_it_has(hub, tmp_path, monkeypatch):
    monkeypatch.setattr(vd4rl_download, "TRANSFERS", 1)
    shard = f"{FOLDER}/shard_0_reward_5.hdf5"
    transfer = vd4rl_hub.http_get

    def killed(url, file, **options):
        # Before the first failure is noticed, a second file may have begun.
        (path,) = (each for each in hub.files if url.endswith(each))
        file.write(hub.files[path][:1500])
        raise KilledError

    monkeypatch.setattr(vd4rl_hub, "http_get", killed)
    with pytest.raises(KilledError):
        fetch(tmp_path)
    (left,) = fetched(tmp_path).glob("shard_0_reward_5.hdf5*")
    assert left.name.endswith(".partial")
    assert left.stat().st_size == 1500
    monkeypatch.setattr(vd4rl_hub, "http_get", transfer)
    assert fetch(tmp_path) == shards_of(hub)
    assert (shard, "bytes=1500-") in hub.ranges


def test_files_that_are_whole_are_not_fetched_again(hub, tmp_path):
    fetch(tmp_path)
    hub.ranges.clear()
    assert fetch(tmp_path) == shards_of(hub)
    assert hub.ranges == []


def test_a_file_that_was_damaged_here_is_fetched_again(hub, tmp_path):
    fetch(tmp_path)
    damaged = fetched(tmp_path) / "shard_1_reward_5.hdf5"
    damaged.write_bytes(b"x" * damaged.stat().st_size)
    assert fetch(tmp_path) == shards_of(hub)


def test_content_with_a_wrong_checksum_is_refused(hub, tmp_path):
    path = f"{FOLDER}/shard_1_reward_5.hdf5"
    hub.served[path] = bytes(len(hub.files[path]))
    with pytest.raises(VRLError, match=r"checksum of .*shard_1_reward_5\.hdf5 is wrong"):
        fetch(tmp_path)
    assert not (fetched(tmp_path) / "shard_1_reward_5.hdf5").exists()
    assert [name for name, _ in hub.ranges].count(path) == 2


def test_a_partial_file_with_wrong_bytes_is_started_again(hub, tmp_path):
    content = shards_of(hub)["shard_0_reward_5.hdf5"]
    entry = vd4rl_hub.Hub().files(FOLDER)
    (file,) = [each for each in entry if each.name == "shard_0_reward_5.hdf5"]
    fetched(tmp_path).mkdir(parents=True)
    partial = fetched(tmp_path) / f"{file.name}.{file.digest[:8]}.partial"
    partial.write_bytes(b"x" * (len(content) // 2))
    assert fetch(tmp_path) == shards_of(hub)


def test_small_files_are_verified_by_gits_checksum(hub, tmp_path):
    (file,) = [each for each in vd4rl_hub.Hub().files(FOLDER) if each.name == "README.md"]
    target = tmp_path / "README.md"
    counted = []
    vd4rl_hub.Hub().fetch(file, target, on_bytes=counted.append, stop=threading.Event())
    assert (target.read_bytes(), sum(counted)) == (b"not data", 8)
    target.write_bytes(b"NOT DATA")
    assert not vd4rl_hub.is_intact(target, file)


def test_a_dataset_that_the_hub_lacks_is_answered_with_what_it_has(hub, tmp_path):
    with pytest.raises(VRLError) as error:
        VD4RL.download("v-d4rl/distracting/walker_walk_random/64px/hard")
    assert "Known: distracting/walker_walk_random/64px/easy" in str(error.value)
    with pytest.raises(VRLError) as error:
        VD4RL.download("v-d4rl/walker_walk/expert/84px")
    assert "main/walker_walk/medium_expert" in str(error.value)


def test_a_mistyped_name_is_answered_without_a_connection(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    with pytest.raises(VRLError, match="Did you mean 'walker_walk'"):
        VD4RL.download("v-d4rl/walker-wlak/expert/84px", tmp_path / "out")


def test_without_a_connection_the_way_by_hand_is_told(monkeypatch, tmp_path):
    monkeypatch.setenv("VRL_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    with pytest.raises(VRLError) as error:
        VD4RL.download(NAME, tmp_path / "out")
    message = str(error.value)
    assert "http://127.0.0.1:1 failed" in message
    assert "https://huggingface.co/datasets/conglu/vd4rl" in message
    assert "vrl data convert main/walker_walk/medium_expert/84px" in message


def test_an_existing_store_is_refused_before_anything_is_fetched(hub, tmp_path):
    (tmp_path / "out").mkdir()
    with pytest.raises(VRLError, match="exists and is not a store"):
        VD4RL.download(NAME, tmp_path / "out")
    assert hub.headers == []


def test_a_full_disk_is_told_before_the_transfer(hub, tmp_path, monkeypatch):
    usage = type("Usage", (), {"free": 10})
    monkeypatch.setattr(vd4rl_download.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(VRLError, match="set VRL_HOME to a folder elsewhere"):
        fetch(tmp_path)
    assert hub.ranges == []


def test_two_downloads_of_one_dataset_do_not_mix(hub, tmp_path):
    folder = fetched(tmp_path)
    folder.mkdir(parents=True)
    with vd4rl_download._locked(folder), pytest.raises(VRLError, match="Another run"):
        VD4RL.download(NAME, tmp_path / "out", workers=1)


def test_a_store_of_downloaded_pixels_is_bit_identical(hub, tmp_path):
    store = VD4RL.download(NAME, tmp_path / "out", workers=1)
    images = np.concatenate([table([4, 4], first_episode=first)["observation"] for first in (0, 2)])
    np.testing.assert_array_equal(store.fields["observation.image"], images.transpose(0, 2, 3, 1))
