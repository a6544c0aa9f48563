import contextlib
import json
import os
import warnings
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import pytest

from counting_dataset import Counting, CountingDataset
from vrl_core.commands.data import main
from vrl_core.commands.data_sources import default_folder
from vrl_core.episodes import DataSpec, Episode, FieldSpec
from vrl_core.errors import VRLError
from vrl_core.hooks import DatasetConfig, hookimpl
from vrl_core.registry import Registry
from vrl_core.store import Store

if TYPE_CHECKING:
    Unresolvable = Store


@dataclass(frozen=True, kw_only=True)
class Tapes(DatasetConfig):
    """Files of which each ends in .tape."""

    path: str
    episodes: int = 2

    @classmethod
    def recognises(cls, path: Path) -> bool:
        return path.suffix == ".tape"

    @classmethod
    def download(cls, identifier: str, *, output: Path, episodes: int = 2) -> "Unresolvable":
        """Fetch tapes."""
        from vrl_core.ingest import write_store

        return write_store(Counting(task=identifier, episodes=episodes), output, workers=1)

    def build(self) -> CountingDataset:
        warnings.warn("two tapes are lost", UserWarning)
        return CountingDataset(Counting(episodes=self.episodes))


@pytest.fixture
def registry() -> Registry:
    module = ModuleType("sources")
    module.vrl_datasets = hookimpl(lambda: {"counting": Counting, "tapes": Tapes})
    module.vrl_datasets.__name__ = "vrl_datasets"
    return Registry(installed=False, modules=[module])


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    paths = [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))


COLLECT = ["collect", "--task", "count_up", "--workers", "1"]


def test_collect_finds_the_dataset_by_its_task(registry: Registry, capsys):
    words = ["--quality", "bad", "--size", "8", "--episodes", "3", "--steps", "4"]
    assert main([*COLLECT, *words], registry) == 0
    store = Store.open("data/count_up/bad/8px-fast")
    assert store.lengths.tolist() == [4, 5, 6]
    assert "count_up" in capsys.readouterr().out
    assert main([*COLLECT, "--episodes", "1", "--steps", "11"], registry) == 0
    assert Store.open("data/count_up/good/4px-fast-long").lengths.tolist() == [11]


def test_tasks_lists_what_can_be_collected(registry: Registry, capsys):
    assert main(["tasks", "--json"], registry) == 0
    found = {each["dataset"]: each for each in json.loads(capsys.readouterr().out)}
    assert found["counting"]["tasks"] == ["count_up", "count_down"]
    assert found["counting"]["qualities"] == ["good", "bad"]
    assert all(each["tasks"] for each in found.values())  # no readers of files
    assert main(["tasks", "down"], registry) == 0
    table = capsys.readouterr().out
    assert "count_down" in table
    assert "count_up" not in table
    assert "vrl data collect --task count_down --quality good" in table
    with pytest.raises(VRLError, match="Did you mean 'count_up'"):
        main(["tasks", "count_pu"], registry)


@pytest.mark.parametrize("columns", [40, 80])
def test_tasks_are_listed_whole_however_narrow_the_terminal(monkeypatch, capsys, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    names = [f"robot:FK1_Stove{number}KettleRandom_v2d-v4" for number in range(9)]
    kind = type("Long", (), {"tasks": names, "qualities": ("medium_expert",) * 4})
    registry = Registry(installed=False, modules=())
    monkeypatch.setattr(registry, "options", lambda _: {"with-a-long-name": kind})
    assert main(["tasks"], registry) == 0
    said = capsys.readouterr().out.replace(",", "").split()
    assert set(names) <= set(said)
    assert said.count("medium_expert") == 5
    assert "…" not in "".join(said)


def test_collect_continues_where_it_stopped(registry: Registry):
    with pytest.raises(VRLError, match="Episode 2 could not be made"):
        main([*COLLECT, "--fails-at", "2", "--output", "out"], registry)
    with pytest.raises(VRLError, match="fails_at was 2, now -1"):
        main([*COLLECT, "--output", "out"], registry)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["collect"], "which task with --task. Known: count_down, count_up"),
        (["collect", "--tsak", "count_up"], "no flag --tsak. Did you mean --task.*collect --help"),
        (["collect", "--epsodes=3"], "no flag --epsodes. Did you mean --episodes"),
        (["collect", "--workers", "1", "--steps", "3"], "which task with --task"),
        (["collect", "--task", "count_upp"], "no task named 'count_upp'. Did you mean 'count_up'"),
        ([*COLLECT, "--quality", "goood"], "no quality named 'goood'. Did you mean 'good'"),
        (["colect"], "no data command named 'colect'. Did you mean 'collect'"),
        (["convert", "nowhere", "out"], "no file or folder nowhere"),
        (["download", "tape/x"], "no dataset to download named 'tape'. Did you mean 'tapes'"),
        (["stats"], "at least one store"),
    ],
)
def test_slips_are_explained(registry: Registry, words, message):
    with pytest.raises(VRLError, match=message):
        main(words, registry)


def test_an_unknown_flag_is_answered_with_the_nearest(registry: Registry, capsys):
    with pytest.raises(SystemExit):
        main([*COLLECT, "--epsodes", "3"], registry)
    assert "--episodes" in capsys.readouterr().err


def test_without_collectors_the_way_to_one_is_named():
    with pytest.raises(VRLError, match="pip install vrl-envs"):
        main(COLLECT, Registry(installed=False))


def test_convert_recognises_files(registry: Registry, tmp_path: Path):
    (tmp_path / "old.tape").touch()
    assert main(["convert", "old.tape", "out", "--workers", "1"], registry) == 0
    assert len(Store.open("out")) == 2
    (tmp_path / "old.disk").touch()
    with pytest.raises(VRLError, match="out is a store already"):
        main(["convert", "out", "out2"], registry)
    with pytest.raises(
        VRLError, match=r"no format known here: it is a file of 0 bytes.*one of: tapes \(Files of"
    ):
        main(["convert", "old.disk", "out2"], registry)
    for name in ("rolls/a.disk", "rolls/more/b.disk", "rolls/notes.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    with pytest.raises(VRLError, match=r"it holds 3 files \(2 \.disk, 1 \.txt\)"):
        main(["convert", "rolls", "out2"], registry)


def test_datasets_below_a_folder_are_named(registry: Registry, tmp_path: Path):
    for name in ("attic/box one/old.tape", "attic/.hidden/lost.tape"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).touch()
    with pytest.raises(VRLError) as error:
        main(["convert", "attic", "out"], registry)
    path = Path("attic/box one/old.tape")
    assert str(error.value) == (
        "attic is of no format known here: it holds 2 files (2 .tape). Below it lies a dataset: "
        f"{path} (tapes). Give its path: vrl data convert '{path}' STORE"
    )
    (tmp_path / "attic/new.tape").touch()
    with pytest.raises(VRLError, match=r"lie 2 datasets.*one: vrl data convert attic/new.tape ST"):
        main(["convert", "attic", "out"], registry)


def test_what_a_dataset_says_of_files_that_it_cannot_read_is_told(
    registry: Registry, tmp_path: Path, monkeypatch
):
    (tmp_path / "old.tap").touch()
    monkeypatch.setattr(Tapes, "unreadable", lambda path: f"{path} is torn.", raising=False)
    with pytest.raises(VRLError, match=r"it is a file of 0 bytes\. old\.tap is torn\.$"):
        main(["convert", "old.tap", "out"], registry)


def test_a_format_of_several_datasets_is_not_guessed(tmp_path: Path):
    module = ModuleType("sources")
    module.vrl_datasets = hookimpl(lambda: {"tapes": Tapes, "rolls": Tapes})
    module.vrl_datasets.__name__ = "vrl_datasets"
    (tmp_path / "old.tape").touch()
    with pytest.raises(VRLError, match=r"may be read by several.*rolls \(Files.*tapes \(Files"):
        main(["convert", "old.tape", "out"], Registry(installed=False, modules=[module]))


def test_a_warning_is_printed_once_for_a_reader(registry: Registry, tmp_path: Path, capsys):
    (tmp_path / "old.tape").touch()
    assert main(["convert", "old.tape", "--workers", "2"], registry) == 0
    lines = [line for line in capsys.readouterr().err.splitlines() if "tapes" in line]
    assert lines == ["warning: two tapes are lost"]
    assert len(Store.open("data/count_up/good/4px-fast")) == 2


def test_convert_takes_a_dataset_by_name(registry: Registry):
    words = ["tapes", "--dataset.path", "x", "--dataset.episodes", "1", "--output", "out"]
    assert main(["convert", *words, "--workers", "1"], registry) == 0
    assert len(Store.open("out")) == 1


def test_download_is_the_datasets_own(registry: Registry):
    assert main(["download", "tapes/a/b", "--output", "out", "--episodes", "1"], registry) == 0
    assert Store.open("out").spec.task == "tapes/a/b"


def test_check_exits_with_one_when_a_store_is_damaged(
    registry: Registry, counting_store: Store, capsys
):
    path = counting_store.path
    assert main(["check", str(path)], registry) == 0
    assert "OK" in capsys.readouterr().out
    file = path / "reward.npy"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    assert main(["check", str(path)], registry) == 1
    assert "reward.npy, episode 2: does not match its checksum" in capsys.readouterr().out


def test_check_goes_on_after_a_store_that_is_missing(
    registry: Registry, counting_store: Store, capsys
):
    assert main(["check", "missing", str(counting_store.path)], registry) == 1
    said = capsys.readouterr()
    assert "no store at missing" in said.err
    assert f"{counting_store.path}: OK" in " ".join(said.out.split())


def test_damaged_data_is_neither_shown_nor_exported(
    registry: Registry, counting_store: Store, minari_root: Path
):
    path = counting_store.path
    file = path / "reward.npy"
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    for command in ("view", "export"):
        with pytest.raises(VRLError, match=r"is damaged: reward\.npy, episode 2"):
            main([command, str(path)], registry)
    # Of what is not read nothing is said.
    assert main(["view", str(path), "--episodes", "0"], registry) == 0


def test_export_takes_a_relative_folder(registry: Registry, counting_store: Store):
    assert main(["export", str(counting_store.path), "--output", "out/up/good-v0"], registry) == 0
    assert Path("out/up/good-v0/data/main_data.hdf5").is_file()
    assert not Path("out/up/good-v0.partial").exists()


def test_a_task_of_a_dataset_that_two_plugins_add_is_named_as_such(tmp_path: Path):
    modules = []
    for name in ("one", "two"):
        module = ModuleType(name)
        module.vrl_datasets = hookimpl(lambda: {"counting": Counting})
        module.vrl_datasets.__name__ = "vrl_datasets"
        modules.append(module)
    with pytest.raises(VRLError, match=r"'counting' is added by one .* and two.*VRL_BLOCK"):
        main(COLLECT, Registry(installed=False, modules=modules))


def test_check_of_an_unfinished_store_says_how_far_it_is(registry: Registry, capsys):
    with pytest.raises(VRLError):
        main([*COLLECT, "--fails-at", "2", "--output", "out"], registry)
    assert main(["check", "out"], registry) == 0
    assert "sound so far (2 of 5 episodes" in capsys.readouterr().out


def test_check_misses_a_manifest(registry: Registry, counting_store: Store, capsys):
    (counting_store.path / "manifest.json").unlink()
    assert main(["check", str(counting_store.path)], registry) == 1
    assert "manifest.json: is missing" in capsys.readouterr().out


def test_an_interruption_says_what_is_kept(registry: Registry, monkeypatch, capsys):
    make = CountingDataset.__getitem__

    def interrupted(dataset: CountingDataset, index: int) -> Episode:
        if index == 3:
            raise KeyboardInterrupt
        return make(dataset, index)

    with monkeypatch.context() as patch:
        patch.setattr(CountingDataset, "__getitem__", interrupted)
        with pytest.raises(KeyboardInterrupt):
            main([*COLLECT, "--output", "out"], registry)
    assert "out: what was written is kept" in capsys.readouterr().err
    assert main(["check", "out"], registry) == 0
    assert "sound so far (3 of 5 episodes" in capsys.readouterr().out
    assert main([*COLLECT, "--output", "out"], registry) == 0


def test_stats_in_three_forms(registry: Registry, counting_store: Store, capsys):
    path = str(counting_store.path)
    assert main(["stats", path, path], registry) == 0
    table = capsys.readouterr().out
    assert "Std. Dev." in table
    assert table.count("22.3") == 2
    assert main(["stats", "--json", path], registry) == 0
    assert json.loads(capsys.readouterr().out)[0]["timesteps"] == 21
    assert main(["stats", "--markdown", path], registry) == 0
    assert capsys.readouterr().out.startswith("| Task |")


def test_view_writes_beside_the_store(registry: Registry, counting_store: Store, tmp_path: Path):
    assert main(["view", str(counting_store.path), "--episodes", "0", "2"], registry) == 0
    text = (tmp_path / "counting.html").read_text()
    assert "Episode 0" in text
    assert "Episode 1" not in text


def test_export_says_how_to_read_it(
    registry: Registry, counting_store: Store, minari_root: Path, capsys
):
    words = ["--output", "out/count/good-v0", "--data-format", "hdf5", "--jpeg"]
    assert main(["export", str(counting_store.path), *words], registry) == 0
    metadata = json.loads(Path("out/count/good-v0/data/metadata.json").read_text())
    assert (metadata["data_format"], metadata["jpeg_encoding"]) == ("hdf5", True)
    assert 'minari.load_dataset("count/good-v0")' in capsys.readouterr().out


@pytest.mark.parametrize("command", [[], ["collect"], ["convert"], ["convert", "tapes"], ["check"]])
def test_help_is_there(registry: Registry, capsys, command):
    with contextlib.suppress(SystemExit):  # tyro leaves, our own pages return
        assert main([*command, "--help"], registry) == 0
    assert "usage" in capsys.readouterr().out.lower()


def test_default_places():
    def spec(shape: tuple[int, ...], quality: str | None) -> DataSpec:
        image = {"image": FieldSpec(shape, "uint8")}
        names = {"task": "walker_walk", "behaviour": "expert"}
        return DataSpec(**names, observations=image, action_size=1, render_quality=quality)

    parent = Path("data/walker_walk/expert")
    assert default_folder(spec((84, 84, 3), "reference")) == parent / "84px"
    assert default_folder(spec((64, 64, 3), "fast")) == parent / "64px-fast"
    assert default_folder(spec((48, 64, 3), "fast")) == parent / "48x64px-fast"
    assert default_folder(spec((5,), None)) == parent / "state"
