import csv
import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import vrl_core.plugin
import vrl_worldmodel.plugin
from vrl_core.cli import main
from vrl_core.device import seed_everything
from vrl_core.errors import VRLError
from vrl_core.hooks import AlgorithmConfig
from vrl_core.observations import ObservationFields, images_alone, narrowed
from vrl_core.registry import Registry
from vrl_core.run_config import RunConfig
from vrl_core.run_folder import Restored, load_config
from vrl_core.store_config import StoreDataset
from vrl_core.testing.tiny_data import tiny_data
from vrl_core.train import train
from vrl_core.video import read_video
from vrl_worldmodel.commands import Imagine, Penalties
from vrl_worldmodel.config import OfflineDV2Config, WorldModelConfig
from vrl_worldmodel.inspection import InspectedModel, load_model, mismatch
from vrl_worldmodel.open_loop import draw_clips, read_clips
from vrl_worldmodel.open_loop_pictures import GAP, HEADER, write_strip
from vrl_worldmodel.open_loop_report import inspect_store
from vrl_worldmodel.penalties import mean_disagreement
from vrl_worldmodel.penalty_report import cell_lines, choose_penalties, table_cells
from vrl_worldmodel.penalty_statistics import state_values
from vrl_worldmodel.world_model import WorldModel


def inspected(config, store, label="offline-dv2 random seed 0"):
    """An untrained model with the face of a run's, always with the same weights."""
    torch.manual_seed(3)
    model = WorldModel(config, images_alone((16, 16, 3)), 2)
    return InspectedModel(
        folder=Path("runs") / label, label=label, model=model, spec=store.spec, step=0
    )


@pytest.fixture(scope="module")
def registry():
    return Registry(installed=False, modules=[vrl_core.plugin, vrl_worldmodel.plugin])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("inspected")


@pytest.fixture(scope="module")
def stores(folder):
    sizes = {"trained": 16, "held-out": 16, "larger": 20}
    return {
        name: tiny_data(folder / name, episodes=4, steps=9, image_size=size, seed=seed)
        for seed, (name, size) in enumerate(sizes.items())
    }


@pytest.fixture(scope="module")
def run(folder, stores, registry):
    """A run of Offline DV2 of two updates."""
    model = WorldModelConfig(
        deterministic_size=12,
        stochastic_size=3,
        classes=4,
        hidden_size=10,
        members=3,
        channels=(4, 6),
        reward_layers=(8,),
        batch_size=3,
        sequence_length=5,
    )
    algorithm = OfflineDV2Config(
        model=model,
        model_steps=1,
        steps=1,
        imagination_horizon=2,
        actor_layers=(4,),
        critic_layers=(4,),
    )
    config = RunConfig(
        algorithm=algorithm,
        dataset=StoreDataset(path=str(stores["trained"].path)),
        device="cpu",
        seed=1,
        evaluation_episodes=0,
    )
    return train(config, registry=registry, folder=folder / "run").path


def imagine(run, *stores, **changes) -> Imagine:
    settings = {"horizon": 4, "context": 3, "episodes": 3, "pictures": 1, "device": "cpu"}
    runs = (run,) if isinstance(run, Path) else run
    return Imagine(runs=runs, data=tuple(s.path for s in stores), **{**settings, **changes})


def test_imagine_writes_pictures_films_and_errors(run, stores, registry, tmp_path, capsys):
    output = tmp_path / "out"
    command = imagine(run, stores["held-out"], output=output, gif=True)
    assert command.run(registry) == 0
    clips = draw_clips(stores["held-out"], episodes=3, context=3, horizon=4)
    film = f"episode{clips[0].episode}"
    names = {f"{film}.png", f"{film}.mp4", f"{film}.gif"}
    errors = {f"error.{ending}" for ending in ("json", "csv", "md", "png", "svg")}
    assert {path.name for path in output.iterdir()} == names | errors
    for name in (f"{film}.png", f"{film}.gif", "error.png"):
        Image.open(output / name).verify()
    assert len(read_video(output / f"{film}.mp4")) == 7
    assert "<svg" in (output / "error.svg").read_text()
    printed = capsys.readouterr().out
    assert "frame repeated" in printed
    assert f"wrote {output / 'error.json'}" in printed


def test_the_written_errors_are_those_of_the_clips(run, stores, registry, tmp_path):
    store = stores["held-out"]
    imagine(run, store, output=tmp_path).run(registry)
    data = json.loads((tmp_path / "error.json").read_text())
    clips = draw_clips(store, episodes=3, context=3, horizon=4)
    assert data["clips"] == [{"episode": clip.episode, "start": clip.start} for clip in clips]
    images = read_clips(store, clips, ("image",))[0]["image"] / 255
    repeated = ((images[:, 3:] - images[:, 2:3]) ** 2).mean((2, 3, 4)).mean(0)
    told = [step["mean"] for step in data["error"]["repetition"]]
    assert told == pytest.approx(repeated, rel=1e-5)
    lines = list(csv.DictReader((tmp_path / "error.csv").open()))
    assert [line["step"] for line in lines] == ["1", "2", "3", "4"]
    assert [float(line["repetition"]) for line in lines] == pytest.approx(told)
    means = {name: value["mean"] for name, value in data["overall"].items()}
    assert means["repetition"] == pytest.approx(repeated.mean(), rel=1e-5)
    assert means["spared"] == pytest.approx(means["repetition"] - means["imagination"])
    assert "| frame repeated |" in (tmp_path / "error.md").read_text()


def test_the_same_command_gives_the_same_numbers(run, stores, registry, tmp_path):
    for name in ("once", "again"):
        imagine(run, stores["held-out"], output=tmp_path / name, pictures=0).run(registry)
    once, again = ((tmp_path / name / "error.json").read_text() for name in ("once", "again"))
    assert once == again


def test_several_stores_have_a_folder_each_and_one_that_does_not_fit_is_named(
    run, stores, registry, tmp_path, capsys
):
    command = imagine(run, *stores.values(), output=tmp_path, pictures=0)
    assert command.run(registry) == 0
    assert {path.name for path in tmp_path.iterdir()} == {"tiny-random-0", "tiny-random-1"}
    left_out = f"left out {stores['larger'].path}: the data's field 'image' is 20×20×3"
    assert left_out in capsys.readouterr().out


def test_without_an_output_the_files_lie_in_the_run(run, stores, registry):
    imagine(run, stores["held-out"], pictures=0).run(registry)
    assert (run / "imagination" / "step_00000002-seed0-tiny-random" / "error.json").is_file()


@pytest.fixture(scope="module")
def other_run(run, registry, folder):
    """A second run on the same data, of another seed."""
    config = replace(load_config(run, registry), seed=2)
    return train(config, registry=registry, folder=folder / "other").path


def test_several_runs_are_drawn_below_one_truth_and_have_their_own_errors(
    run, other_run, stores, registry, tmp_path, monkeypatch
):
    drawn = []
    monkeypatch.setattr(
        "vrl_worldmodel.open_loop_report.write_strip",
        lambda rows, *rest: drawn.append(rows) or write_strip(rows, *rest),
    )
    both = tmp_path / "both"
    imagine((run, other_run), stores["held-out"], output=both).run(registry)
    names = [f"offline-dv2 random seed {seed}" for seed in (1, 2)]
    parts = ("reconstruction", "imagination")
    assert list(drawn[0]) == ["truth", *(f"{name}\n{part}" for name in names for part in parts)]
    (strip,), (film,) = both.glob("*.png"), both.glob("*.mp4")
    assert Image.open(strip).height == HEADER + 5 * (96 + GAP)
    assert read_video(film)[0].shape[1] == 5 * 256
    for single, name in ((run, names[0]), (other_run, names[1])):
        alone = tmp_path / single.name
        imagine(single, stores["held-out"], output=alone).run(registry)
        place = both / name.replace(" ", "_")
        for file in ("error.json", "error.csv", "error.md"):
            assert (place / file).read_text() == (alone / file).read_text()


def test_a_run_that_does_not_fit_is_left_out_beside_one_that_does(
    categorical, run, stores, registry, tmp_path, capsys, monkeypatch
):
    other = inspected(categorical, stores["larger"], "larger")
    monkeypatch.setattr(
        "vrl_worldmodel.open_loop_report.load_model",
        lambda folder, *rest: other if folder.name == "larger" else load_model(folder, *rest),
    )
    command = imagine((run, other.folder), stores["held-out"], output=tmp_path, pictures=0)
    command.run(registry)
    left_out = f"left out {stores['held-out'].path} for {other.folder}: the data's field 'image'"
    assert left_out in capsys.readouterr().out
    assert (tmp_path / "error.json").is_file()


def test_data_of_another_size_is_refused_with_both_sizes(run, stores, registry):
    with pytest.raises(VRLError, match=r"20×20×3, the model's 16×16×3"):
        imagine(run, stores["larger"]).run(registry)
    with pytest.raises(VRLError, match=r"None of .*20×20×3"):
        imagine(run, stores["larger"], stores["larger"]).run(registry)


def test_a_diverged_model_is_named(categorical, stores, tmp_path):
    model = inspected(categorical, stores["trained"])
    with torch.no_grad():
        next(model.model.decoder.parameters()).fill_(float("nan"))
    command = imagine(model.folder, stores["trained"], pictures=0)
    with pytest.raises(VRLError, match="diverged"):
        inspect_store([model], stores["trained"], command, tmp_path)


def test_what_else_does_not_fit(stores, tmp_path):
    spec = stores["trained"].spec
    blind = tiny_data(tmp_path / "blind", episodes=1, image_size=None, state_size=3).spec
    assert mismatch(spec, replace(spec, task="walker_run", behaviour="expert")) is None
    assert "no field 'image', only state" in str(mismatch(spec, blind))
    assert "have 5 numbers, the model's 2" in str(mismatch(spec, replace(spec, action_size=5)))
    other = replace(spec, render_quality="fast")
    assert "'fast'" in str(mismatch(spec, other))
    assert mismatch(spec, other, allow_identity=True) is None
    assert "action repeat 4" in str(mismatch(spec, replace(spec, action_repeat=4)))


def test_settings_that_cannot_be_meant():
    with pytest.raises(VRLError, match="--horizon must be at least 2, not 1"):
        Imagine(runs=("run",), data=("store",), horizon=1)
    with pytest.raises(VRLError, match="--output FOLDER"):
        Imagine(runs=("run", "other"), data=("store",))
    with pytest.raises(VRLError, match="--states must be at least 2"):
        Penalties(runs=("run",), data=("store",), states=1)
    with pytest.raises(VRLError, match="--data STORE"):
        Penalties(runs=("run",), data=())


def test_the_run_says_what_learned_the_model(run, registry):
    model = load_model(run, registry, torch.device("cpu"))
    assert model.label == "offline-dv2 random seed 1"
    assert (model.latent, model.step) == ("categorical", 2)


@dataclass(frozen=True, kw_only=True)
class Blank(AlgorithmConfig):
    """An algorithm without a world model."""


def test_a_run_without_a_world_model_is_refused(run, registry, monkeypatch):
    config = RunConfig(algorithm=Blank(), dataset=StoreDataset(path="x"))
    restored = Restored(config=config, spec=None, algorithm=object(), step=0)
    monkeypatch.setattr("vrl_worldmodel.inspection.restore", lambda *_: restored)
    with pytest.raises(VRLError, match=r"Blank, which has no world model.*lompo, offline-dv2"):
        load_model(run, registry, torch.device("cpu"))


def test_penalties_print_mean_and_deviation_of_every_penalty_that_fits(
    run, stores, registry, capsys
):
    paths = (stores["held-out"].path, stores["trained"].path)
    command = Penalties(runs=(run,), data=paths, states=30, json=True, calibration=True)
    assert command.run(registry) == 0
    cells = json.loads(capsys.readouterr().out)["cells"]
    gaussian = {"max-std", "mean-std", "true-error"}
    expected = [n for n in registry.names("penalties") if n not in {*gaussian, "none"}]
    assert [cell["penalty"] for cell in cells] == [name for name in expected for _ in paths]
    for cell in cells:
        assert cell["states"] == 30
        assert cell["reason"] is None
        assert cell["std"] > 0
        for correlation in cell["spearman"].values():
            assert -1 <= correlation["low"] <= correlation["value"] <= correlation["high"] <= 1


def test_a_model_without_images_is_calibrated_by_its_latents(
    categorical, stores, registry, tmp_path
):
    seeing = inspected(categorical, stores["trained"])
    store = tiny_data(tmp_path / "both", episodes=2, steps=9, image_size=16, state_size=3)
    fields = ObservationFields(cameras={}, vectors={"state": 3})
    blind = InspectedModel(
        folder=Path("runs/blind"),
        label="blind",
        model=WorldModel(categorical, fields, 2),
        spec=narrowed(store.spec, fields),
        step=0,
    )
    names = ("mean-disagreement",)
    cells = cells_of([seeing, blind], [store], registry, *names, calibration=True)
    assert [list(cell.correlations) for cell in cells] == [
        ["pixel_error", "divergence"],
        ["divergence"],
    ]
    assert [cell.reason for cell in cells] == [None, None]
    assert "pixel_error" not in cells[1].to_data()["spearman"]
    header, *lines = cell_lines(cells)
    assert header[-2:] == ["ρ pixel error", "ρ latent error"]
    assert lines[1][-2] == "no images"
    assert "no images" not in lines[0]
    assert {len(line) for line in lines} == {7}


def cells_of(models, stores, registry, *words, **changes):
    command = Penalties(runs=("run",), data=("store",), penalty=words, states=20, **changes)
    return table_cells(models, stores, choose_penalties(words, models, registry), command)


def test_cells_are_the_statistics_of_the_states(categorical, stores, registry, monkeypatch):
    model = inspected(categorical, stores["trained"])
    cells = cells_of([model], [stores["trained"]], registry, "mean-disagreement")
    seed_everything(0)
    values = state_values(model.model, stores["trained"], {"m": mean_disagreement}, states=20)
    found = values.penalties["m"]
    assert cells[0].mean == pytest.approx(found.sum() / 20)
    assert cells[0].std == pytest.approx(np.sqrt(((found - found.mean()) ** 2).sum() / 20))


def test_a_pairing_that_makes_no_sense_says_so_in_its_cell(categorical, gaussian, stores, registry):
    models = [
        inspected(categorical, stores["trained"]),
        inspected(gaussian, stores["trained"], "lompo random seed 0"),
    ]
    shown = [stores["trained"], stores["larger"]]
    cells = cells_of(models, shown, registry, "mean-std", "mean-disagreement:form=squared")
    assert len(cells) == 8
    by_place = {(cell.penalty, cell.model, cell.data.split("/")[-1]): cell for cell in cells}
    misfit = by_place["mean-std", models[0].label, "trained)"]
    assert "defined for gaussian ensembles; this model's are categorical" in str(misfit.reason)
    assert by_place["mean-std", models[1].label, "trained)"].mean is not None
    squared = by_place["mean-disagreement:form=squared", models[0].label, "trained)"]
    assert squared.mean is not None
    assert all("20×20×3" in str(cell.reason) for cell in cells if "larger" in cell.data)
    header, *lines = cell_lines(cells)
    assert header == ["penalty", "model", "data", "mean", "std"]
    assert {len(line) for line in lines} == {5}


def test_the_only_pairing_must_make_sense(run, stores, registry):
    with pytest.raises(VRLError, match=r"mean-std of .*: defined for gaussian ensembles"):
        Penalties(
            runs=(run,), data=(stores["held-out"].path,), penalty=("mean-std",), states=4
        ).run(registry)


def test_penalties_that_fit_are_named_a_plugins_too(run, stores, tmp_path, capsys):
    (tmp_path / "one_half.py").write_text(THIRD_PARTY)
    words = ["penalties", str(run), "--data", str(stores["held-out"].path)]
    words += ["--penalty", "mean-std", "--plugin", str(tmp_path / "one_half.py")]
    assert main(words) == 1
    said = " ".join(capsys.readouterr().err.split())
    assert "These fit: ensemble-std, half, log-prob-std" in said
    assert "max-std" not in said


def test_what_is_wrong_with_data_is_said_once(run, stores, registry, capsys):
    wrong, right = stores["larger"].path, stores["held-out"].path
    with pytest.raises(VRLError) as refusal:
        Penalties(runs=(run,), data=(wrong,), states=4).run(registry)
    assert str(refusal.value).count("20×20×3") == 1
    Penalties(runs=(run,), data=(wrong, right), states=4).run(registry)
    assert capsys.readouterr().out.count("20×20×3") == 1


def test_penalties_write_markdown_or_json(run, stores, registry, tmp_path, capsys):
    def command(name):
        data = (stores["held-out"].path,)
        words = ("mean-disagreement", "none")
        return Penalties(runs=(run,), data=data, penalty=words, states=8, output=tmp_path / name)

    command("table.md").run(registry)
    assert (tmp_path / "table.md").read_text().startswith("| penalty | model | data | mean | std |")
    command("table.json").run(registry)
    cells = json.loads((tmp_path / "table.json").read_text())["cells"]
    assert [cell["penalty"] for cell in cells] == ["mean-disagreement", "none"]
    assert cells[1]["mean"] == cells[1]["std"] == 0
    with pytest.raises(VRLError, match=r"neither \.md nor \.json"):
        command("table.txt").run(registry)


def test_unknown_penalties_and_settings_are_named(run, stores, registry):
    def command(word):
        return Penalties(runs=(run,), data=(stores["held-out"].path,), penalty=(word,))

    with pytest.raises(VRLError, match="mean-disagreement"):
        command("mean-disagrement").run(registry)
    with pytest.raises(VRLError, match="form"):
        command("mean-disagreement:from=squared").run(registry)


THIRD_PARTY = '''
from dataclasses import dataclass
from vrl_core import PenaltyConfig, hookimpl


@dataclass(frozen=True, kw_only=True)
class Half(PenaltyConfig):
    """Half of everything."""

    value: float = 0.5

    def build(self):
        return lambda prediction: prediction.member.float() * 0 + self.value


@hookimpl
def vrl_penalties():
    return {"half": Half}
'''


def test_a_third_partys_penalty_is_in_the_table(run, stores, tmp_path, capsys):
    (tmp_path / "half.py").write_text(THIRD_PARTY)
    words = ["penalties", str(run), "--data", str(stores["held-out"].path), "--states", "8"]
    words += ["--penalty", "half", "half:value=0.25", "--json", "--device", "cpu"]
    assert main([*words, "--plugin", str(tmp_path / "half.py")]) == 0
    cells = json.loads(capsys.readouterr().out)["cells"]
    assert [cell["mean"] for cell in cells] == [0.5, 0.25]
