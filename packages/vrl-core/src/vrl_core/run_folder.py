"""The folder of a run, and the way back from it to a trained algorithm.

    config.yaml          the run's configuration; its presence makes the folder a run
    run.json             {"seed", "steps", "finished", "time", "command", "versions", "plugins",
                          "git", "source", "hardware", "dataset": {..., "spec"}, "resumed",
                          "extensions"}
    metrics.jsonl        {"step", "phase", "seconds", "updates_per_second", "<phase>/<metric>"...}
    evaluations.jsonl    {"step", "phase", "seconds", "return_mean", "return_std", "score",
                          "returns", "lengths", "successes", "seeds"}; score may be null
    checkpoints/         step_XXXXXXXX/
    tensorboard/ videos/ from callbacks and `vrl evaluate`

A running process holds a lock on the folder.
"""

from __future__ import annotations

import fcntl
import json
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import torch

from vrl_core.atomic import write_text
from vrl_core.checkpoint import DamagedCheckpointError, checkpoints, load_checkpoint
from vrl_core.config import from_data, load_yaml, save_yaml, to_data
from vrl_core.episodes import DataSpec
from vrl_core.errors import VRLError
from vrl_core.extension import EXTENSIONS, reopen
from vrl_core.json_lines import JsonLines
from vrl_core.preparation import with_precision
from vrl_core.protocols import Algorithm
from vrl_core.registry import Registry
from vrl_core.run_config import RunConfig
from vrl_core.store_manifest import spec_from_data
from vrl_core.training_state import TrainingState
from vrl_core.writing import explained, unwritable

CONFIG = "config.yaml"
FACTS = "run.json"
LOCK = ".lock"
FORMAT = 1


class RunFolder:
    """Paths and logs of a run. Entered, it holds the folder's lock."""

    def __init__(self, path: Path):
        self.path = path
        self.metrics = JsonLines(path / "metrics.jsonl")
        self.evaluations = JsonLines(path / "evaluations.jsonl")
        self.checkpoints = path / "checkpoints"
        self.videos = path / "videos"
        self._lock: IO[str] | None = None

    @property
    def exists(self) -> bool:
        """Whether there is a run here."""
        return (self.path / CONFIG).is_file()

    def __enter__(self) -> Self:
        """Make and lock the folder.

        Raises `VRLError` when it cannot be written or another process holds it.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = (self.path / LOCK).open("a")
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._release()
            advice = "Wait for it to end, or choose another --output."
            raise VRLError(f"{self.path} is in use by another run. {advice}") from error
        except OSError as error:
            raise unwritable(self.path, error) from error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._remove_unused()
        self._release()

    def _release(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _remove_unused(self) -> None:
        """Leave no folder behind when nothing came of the run."""
        if not self.exists:
            (self.path / LOCK).unlink(missing_ok=True)
            with suppress(OSError):  # something else lies in it
                self.path.rmdir()

    def check(self, *, resume: bool) -> None:
        """Refuse to begin where there is a run, and to resume where there is none."""
        if self.exists and not resume:
            raise VRLError(
                f"{self.path} holds a run already. Go on with it by `vrl train --resume "
                f"{self.path}`, or choose another --output."
            )
        if resume and not self.exists:
            raise VRLError(f"There is no run at {self.path}: it has no {CONFIG}. Begin a new one.")

    def begin(self, config: RunConfig, registry: Registry, facts: Mapping[str, Any]) -> None:
        """Write the configuration and the facts of a new run; raises as `check` does."""
        self.check(resume=False)
        self._write_facts(
            {"format": FORMAT, "seed": config.seed, "finished": False, **facts, "resumed": []}
        )
        self.save_config(config, registry)

    def save_config(self, config: RunConfig, registry: Registry) -> None:
        """Write the configuration. Raises `VRLError` when it cannot be written."""
        try:
            save_yaml(self.path / CONFIG, to_data(config, registry))
        except OSError as error:
            raise unwritable(self.path, error) from error

    def go_on(
        self,
        state: TrainingState,
        facts: Mapping[str, Any],
        extend: Callable[[], list[dict[str, Any]]] = list,
    ) -> None:
        """Put `state` where the newest whole checkpoint left it, and forget what was logged later.

        `extend` may then change how long it goes on, and returns what `run.json` is to say of it.
        Without a checkpoint the run begins again. Raises `VRLError` when the data is not what the
        run began with, or all checkpoints are damaged.
        """
        known = self.facts()
        before, now = known["dataset"]["checksum"], facts["dataset"]
        if before != now["checksum"]:
            raise VRLError(
                f"The data of {self.path} has changed: its checksum was {before} and is "
                f"{now['checksum']} ({now['path']}). Restore the data, or start a new run."
            )
        threads, threads_now = (_threads(each) for each in (known, facts))
        if threads != threads_now:
            warnings.warn(
                f"The run had {threads} threads and goes on with {threads_now}: sums may round "
                "otherwise. OMP_NUM_THREADS sets their number."
            )
        found = self.newest_checkpoint(set_aside=True)
        if found is not None:
            state.load_state_dict(found[1])
        reopen(state, known.get(EXTENSIONS, ()))
        if records := extend():
            total = sum(phase.steps for phase in state.phases)
            extensions = [*known.get(EXTENSIONS, ()), *records]
            known |= {"steps": total, "finished": False, EXTENSIONS: extensions}
        here = {name: value for name, value in facts.items() if name != "dataset"}
        resumed = [*known.get("resumed", []), {"step": state.step, **here}]
        self._write_facts({**known, "resumed": resumed})
        with explained(self.path):
            self.metrics.truncate(state.step)
            self.evaluations.truncate(state.step)

    def finish(self, step: int) -> None:
        """Note that training is over after `step` updates; phases may have ended early."""
        self._write_facts({**self.facts(), "steps": step, "finished": True})

    def facts(self) -> dict[str, Any]:
        """Read `run.json`; raises `VRLError` when it is missing or damaged."""
        path = self.path / FACTS
        advice = f"Restore it from a copy, or begin anew: vrl train --config {self.path / CONFIG}"
        try:
            facts: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            facts["dataset"]["checksum"]
        except OSError as error:
            raise VRLError(f"Cannot read {path}: {error.strerror}. {advice}") from error
        except ValueError as error:
            raise VRLError(f"{path} is damaged: it is no JSON ({error}). {advice}") from error
        except (KeyError, TypeError) as error:
            raise VRLError(
                f"{path} is damaged: it does not say what data the run learns from. {advice}"
            ) from error
        return facts

    def config(self, registry: Registry) -> RunConfig:
        """Read `config.yaml`, after loading the plugin files that the run used.

        Raises `VRLError` when there is no run here or a plugin is missing.
        """
        self.check(resume=True)
        data = load_yaml(self.path / CONFIG)
        for file in data.get("plugins") or ():
            registry.load_file(file)
        return from_data(RunConfig, data, registry)

    def spec(self) -> DataSpec:
        """Return the spec of the data the run learns from; the data itself is not needed."""
        try:
            return spec_from_data(self.facts()["dataset"]["spec"])
        except (KeyError, TypeError, ValueError) as error:
            raise VRLError(f"{self.path / FACTS} does not describe the run's data.") from error

    def newest_checkpoint(self, *, set_aside: bool = False) -> tuple[int, Any] | None:
        """Return step and state of the newest checkpoint that is whole; None if there is none.

        Warns of damaged ones; `set_aside` also renames them, so that they are not met again.
        Raises `VRLError` when all are damaged, now or when they were set aside, and when the
        newest may be whole but cannot be read here.
        """
        damaged = []
        for _, path in reversed(checkpoints(self.checkpoints)):
            try:
                found = load_checkpoint(path)
            except DamagedCheckpointError as error:
                warnings.warn(f"{error} Falling back to the one before it.")
                damaged.append(path)
                continue
            with explained(self.checkpoints):
                for lost in damaged if set_aside else ():
                    lost.rename(_free_name(lost))
            return found
        all_damaged = sorted({*damaged, *self.checkpoints.glob("step_*.damaged*")})
        if all_damaged:
            names = ", ".join(path.name for path in all_damaged)
            raise VRLError(
                f"All checkpoints in {self.checkpoints} are damaged: {names}. Restore one from a "
                f"copy, start a new run (vrl train --config {self.path / CONFIG} --output FOLDER), "
                "or delete them to begin this one again from its first update."
            )
        return None

    def _write_facts(self, facts: Mapping[str, Any]) -> None:
        try:
            write_text(self.path / FACTS, json.dumps(facts, indent=2) + "\n")
        except OSError as error:
            raise unwritable(self.path, error) from error


@dataclass(frozen=True, kw_only=True)
class Restored:
    """A trained algorithm, read back from its run."""

    config: RunConfig
    spec: DataSpec
    algorithm: Algorithm
    step: int


def load_config(folder: Path, registry: Registry) -> RunConfig:
    """Return the configuration of the run in `folder`."""
    return RunFolder(Path(folder)).config(registry)


def restore(
    folder: Path,
    registry: Registry,
    device: torch.device,
    checkpoint: str | int = "last",
) -> Restored:
    """Rebuild the algorithm of a run as it was at a checkpoint: `last`, or a step.

    Needs neither the data nor the lock. Raises `VRLError` when there is no run or no such
    checkpoint; a damaged last one is warned of and the one before is taken.
    """
    run = RunFolder(Path(folder))
    config, spec = run.config(registry), run.spec()
    found = run.newest_checkpoint() if checkpoint == "last" else _at_step(run, checkpoint)
    if found is None:
        raise VRLError(
            f"{run.path} has no checkpoint yet; go on with `vrl train --resume {run.path}`."
        )
    step, state = found
    # As in training: what the run was told of precision holds for its policy too.
    algorithm = with_precision(config.algorithm, config.precision).build(spec, device)
    algorithm.load_state_dict(state["algorithm"])
    return Restored(config=config, spec=spec, algorithm=algorithm, step=step)


def _at_step(run: RunFolder, checkpoint: str | int) -> tuple[int, Any]:
    known = dict(checkpoints(run.checkpoints))
    wanted = str(checkpoint).removeprefix("step_")
    if not wanted.isdigit() or int(wanted) not in known:
        steps = ", ".join(str(step) for step in known) or "none"
        raise VRLError(f"{run.path} has no checkpoint {checkpoint!r}. There are: last, {steps}.")
    return load_checkpoint(known[int(wanted)])


def _free_name(path: Path) -> Path:
    """Return the name under which a damaged checkpoint is kept: no earlier one has it."""
    suffixes = chain([""], (f"-{number}" for number in count(2)))
    names = (path.with_name(f"{path.name}.damaged{suffix}") for suffix in suffixes)
    return next(name for name in names if not name.exists())


def _threads(facts: Mapping[str, Any]) -> Any:
    return facts.get("hardware", {}).get("threads")
