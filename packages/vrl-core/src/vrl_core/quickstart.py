"""The quickstart: four stages, each of which leaves a file and is not done again.

data/             1  episodes, collected with a shipped policy
run/              2  training, with evaluations along the way
evaluations/      3  returns of the random and of the learned policy, and a video
results.*, *.png  4  the table and the learning curve
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from vrl_core.atomic import write_text
from vrl_core.config import from_data, load_yaml, preset, save_yaml
from vrl_core.errors import VRLError
from vrl_core.hooks import DatasetConfig, EnvironmentConfig
from vrl_core.quickstart_config import QuickstartConfig
from vrl_core.registry import Registry
from vrl_core.result_table import ResultRow, markdown_table, reference_rows, results_table
from vrl_core.run_config import RunConfig
from vrl_core.store import Store

SETTINGS = "quickstart.yaml"
EVALUATION_SEED = 1_000_000
"""Added to the seed, so that the final episodes are not those of the evaluations on the way."""
CURVE_POINTS = 4
"""Evaluations during training, the last included."""
CURVE_EPISODES = 5
DEFAULT_STEPS = 5_000
"""Updates when neither the user nor the preset says how many."""
MAY_DIFFER = ("output", "workers")
"""Settings that change no result."""
PACKAGES = ("vrl-envs", "vrl-modelfree")


@dataclass(frozen=True, kw_only=True)
class Quickstart:
    """One quickstart: its settings and where it looks and prints."""

    config: QuickstartConfig
    registry: Registry
    console: Console

    def run(self) -> list[ResultRow]:
        """Do what is left to do of the four stages and return the rows of the table.

        Raises `VRLError` for unknown names, and when the folder holds the results of other
        settings.
        """
        dataset, run = self.dataset(), self.run_config()
        self.claim_folder()
        self.heading(1, f"{self.config.episodes} episodes of {self.config.task}")
        store = self.collect(dataset)
        self.heading(2, f"Learning from them with {self.config.algorithm}")
        self.train(run)
        self.heading(3, f"{self.config.evaluation_episodes} episodes each")
        environment = from_data("environments", store.spec.environment, self.registry)
        random, learned = self.evaluate_random(environment), self.evaluate_learned(environment)
        self.heading(4, "Results")
        return self.report(store, environment, random=random, learned=learned)

    def dataset(self) -> DatasetConfig:
        """Return what is to be collected."""
        config = self.config
        with naming_packages(self.registry):
            collector = self.registry.get("datasets", config.dataset)
        dataset: DatasetConfig = collector(
            task=config.task,
            quality=config.quality,
            size=config.size,
            episodes=config.episodes,
            seed=config.seed,
        )
        return dataset

    def run_config(self) -> RunConfig:
        """Return what is to be trained."""
        config = self.config
        with naming_packages(self.registry):
            chosen = self.registry.get("algorithms", config.algorithm)
        algorithm: Any = preset(chosen, config.preset, called=config.algorithm)
        if config.steps is not None and hasattr(algorithm, "steps"):
            algorithm = dataclasses.replace(algorithm, steps=config.steps)
        default: int = getattr(algorithm, "steps", DEFAULT_STEPS)
        steps = default if config.steps is None else config.steps
        every = -(-steps // CURVE_POINTS)
        data = (config.output / "data").resolve()
        return RunConfig(
            algorithm=algorithm,
            dataset=self.registry.get("datasets", "store")(path=str(data)),
            seed=config.seed,
            steps=steps,
            output=config.output / "run",
            evaluate_every=every,
            evaluation_episodes=min(CURVE_EPISODES, config.evaluation_episodes),
            evaluation_workers=config.workers,
            checkpoint_every=max(1, every // 2),
        )

    def claim_folder(self) -> None:
        """Note the settings in the folder; refuse a folder that was begun with others."""
        file = self.config.output / SETTINGS
        wanted = settings_data(self.config)
        if not file.exists():
            try:
                self.config.output.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise VRLError(
                    f"Cannot make the folder {self.config.output}: {error.strerror or error}. "
                    "Choose another with --output."
                ) from error
            save_yaml(file, wanted)
        found = load_yaml(file)
        differing = sorted(key for key in wanted if found.get(key) != wanted[key])
        if differing:
            was = ", ".join(f"{key} {found.get(key)} (now {wanted[key]})" for key in differing)
            raise VRLError(
                f"{self.config.output} holds a quickstart with {was}. Choose another folder with "
                "--output, remove this one, or repeat its settings to go on with it."
            )

    def collect(self, dataset: DatasetConfig) -> Store:
        """Return the store of the episodes, collecting those that are missing."""
        from vrl_core.ingest import write_store
        from vrl_core.ingest_progress import shown_progress

        folder = self.config.output / "data"
        if not folder.exists():
            workers = self.config.workers
            with shown_progress("collecting") as on_progress:
                # One worker is this process there; it has no zero.
                count = None if workers is None else max(1, workers)
                write_store(dataset, folder, workers=count, on_progress=on_progress)
        store = Store.open(folder)
        self.console.print(
            f"{len(store)} episodes, mean return {store.returns.mean():.1f}: {folder}"
        )
        return store

    def train(self, run: RunConfig) -> None:
        """Train the algorithm to its end, from the last checkpoint on if there is one."""
        from vrl_core.run_folder import RunFolder
        from vrl_core.train import train

        folder = self.config.output / "run"
        train(run, registry=self.registry, folder=folder, resume=RunFolder(folder).exists)

    def evaluate_random(self, environment: EnvironmentConfig) -> list[float]:
        """Return the returns of uniformly random actions."""
        from vrl_core.evaluate import EvaluationPool, RandomPolicy

        def returns() -> list[float]:
            with EvaluationPool(environment, workers=self.config.workers) as pool:
                policy = RandomPolicy(pool.layout.action_size, seed=self.config.seed)
                evaluation = pool.evaluate(policy, **self.judged())
            return [float(value) for value in evaluation.returns]

        return self.remembered("random", returns)

    def evaluate_learned(self, environment: EnvironmentConfig) -> list[float]:
        """Return the returns of the learned policy and write the video of one episode."""
        from vrl_core.device import choose_device
        from vrl_core.evaluate import evaluate
        from vrl_core.run_folder import restore
        from vrl_core.video import write_video

        def returns() -> list[float]:
            restored = restore(self.config.output / "run", self.registry, choose_device())
            evaluation = evaluate(
                restored.algorithm.policy(),
                environment,
                workers=self.config.workers,
                record=1,
                **self.judged(),
            )
            if evaluation.frames:
                write_video(evaluation.frames[0], self.video, evaluation.frames_per_second)
            return [float(value) for value in evaluation.returns]

        return self.remembered("learned", returns)

    def judged(self) -> dict[str, Any]:
        """Return how both policies are judged: on the same episodes' seeds."""
        return {
            "episodes": self.config.evaluation_episodes,
            "seed": EVALUATION_SEED + self.config.seed,
        }

    def remembered(self, name: str, returns: Callable[[], list[float]]) -> list[float]:
        """Return the returns of this name, from its file if an earlier run wrote it."""
        file = self.config.output / "evaluations" / f"{name}.json"
        if not file.exists():
            write_json(file, {"returns": returns()})
        self.console.print(f"{name} policy: {file}")
        found: list[float] = json.loads(file.read_text())["returns"]
        return found

    @property
    def video(self) -> Path:
        """File of the learned policy's video."""
        return self.config.output / "learned_policy.mp4"

    def report(
        self,
        store: Store,
        environment: EnvironmentConfig,
        *,
        random: list[float],
        learned: list[float],
    ) -> list[ResultRow]:
        """Write the table and the learning curve, print the table and where everything is."""
        rows = reference_rows(
            random=random,
            data=store.returns,
            learned=learned,
            references=environment.references(),
            seed=self.config.seed,
        )
        title = f"{self.config.task} from {self.config.quality} data, {self.config.algorithm}"
        output = self.config.output
        output.joinpath("results.md").write_text(markdown_table(rows), encoding="utf-8")
        write_json(output / "results.json", results_data(rows))
        self.draw_curve(title, rows)
        self.console.print(results_table(rows, title=title))
        self.console.print(conclusion(rows), soft_wrap=True)
        self.print_files()
        return rows

    def draw_curve(self, title: str, rows: list[ResultRow]) -> None:
        """Draw the evaluations during training against the random policy and the data."""
        from vrl_core.curves import Level, draw_learning_curves, learning_curve
        from vrl_core.run_record import read_run

        record = read_run(self.config.output / "run")
        curve = learning_curve(
            self.config.algorithm, [{point.step: point.returns for point in record.curve}]
        )
        random, data, _ = rows
        levels = [
            Level("random policy", random.summary.mean, ":"),
            Level("data", data.summary.mean),
        ]
        path = self.config.output / "learning_curve.png"
        draw_learning_curves([curve], path, levels=levels, title=title)

    def print_files(self) -> None:
        """Say where everything is and what could come next."""
        output = self.config.output
        files = {
            "table": output / "results.md",
            "learning curve": output / "learning_curve.png",
            "video": self.video,
            "data": output / "data",
            "run": output / "run",
            "folder": output.resolve(),
        }
        for name, path in files.items():
            if path.exists():
                self.console.print(f"  {name:15} {path}", soft_wrap=True)
        view, report = f"vrl data view {output / 'data'}", f"vrl report {output / 'run'}"
        self.console.print(f"\nNext: {view}, {report}, vrl train --help", soft_wrap=True)

    def heading(self, number: int, text: str) -> None:
        """Announce a stage."""
        self.console.rule(f"{number}/4  {text}", align="left")


@contextmanager
def naming_packages(registry: Registry) -> Iterator[None]:
    """Add to an unknown name's error which packages hold what the quickstart uses by default."""
    try:
        yield
    except VRLError as error:
        present = {plugin.provider.distribution for plugin in registry.plugins}
        missing = [name for name in PACKAGES if name not in present]
        if not missing:
            raise
        raise VRLError(
            f"{error} The quickstart needs {' and '.join(missing)}: pip install {' '.join(missing)}"
        ) from error


def settings_data(config: QuickstartConfig) -> dict[str, Any]:
    """Return the settings that decide the results, as plain data."""
    data = dataclasses.asdict(config)
    return {key: value for key, value in data.items() if key not in MAY_DIFFER}


def results_data(rows: list[ResultRow]) -> dict[str, Any]:
    """Return the table as plain data."""
    return {row.name: {**row.summary.to_data(), "normalised": row.normalised} for row in rows}


def conclusion(rows: list[ResultRow]) -> str:
    """Return one sentence that says how the learned policy compares."""
    random, data, learned = (row.summary.mean for row in rows)
    text = "The learned policy earns "
    if data > 0:
        text += f"{learned / data:.0%} of its data's mean return"
    else:
        text += f"{learned:.1f} where its data earned {data:.1f}"
    if random > 0:
        times = learned / random
        return f"{text} and {times:.{0 if times >= 10 else 1}f} times the random policy's."
    return f"{text}; the random policy, {random:.1f}."


def write_json(path: Path, data: Any) -> None:
    """Write a JSON file, all of it or none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(data, indent=2))
