"""Another number of updates for a run that has begun: `vrl train --resume RUN --steps N`.

The setting `steps` is the number of updates of an algorithm's last phase, a setting
`<phase>_steps` that of the phase of this name. Whatever is not over may be made longer or shorter,
and a run that has finished goes on in its last phase as if it had never stopped.
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from vrl_core.errors import VRLError, unknown_name
from vrl_core.protocols import Phase
from vrl_core.run_config import RunConfig
from vrl_core.training_state import TrainingState

STEPS = "steps"
SUFFIX = "_steps"
EXTENSIONS = "extensions"
"""Key of `run.json` for what was changed, and where the run stood then."""


def with_steps(config: RunConfig, steps: Mapping[str, int]) -> RunConfig:
    """Return a run with other numbers of updates, by setting.

    Raises `VRLError` for a setting that the algorithm has not, or a number that it refuses.
    """
    known = {field.name for field in dataclasses.fields(config.algorithm)}
    for name, number in steps.items():
        if name == STEPS and (config.steps is not None or STEPS not in known):
            config = dataclasses.replace(config, steps=number)
        elif name in known:
            changed: Any = {name: number}
            try:
                algorithm = dataclasses.replace(config.algorithm, **changed)
            except ValueError as error:
                raise VRLError(str(error)) from error
            config = dataclasses.replace(config, algorithm=algorithm)
        else:
            numbers = {each for each in known if each.endswith(SUFFIX)} | {STEPS}
            raise unknown_name("number of updates", name, numbers)
    return config


def extend(
    state: TrainingState, before: RunConfig, after: RunConfig, steps: Mapping[str, int]
) -> list[dict[str, Any]]:
    """Let `state`, whose phases are those of `after`, go on from where `before` had left it.

    Returns a record for each number of updates that is another one. Warns where a schedule depends
    on it. Raises `VRLError` for a phase that is over, and for no more updates than it has done.
    """
    phases, records = state.algorithm.phases, []
    planned = [phase.name for phase in phases if _updates(before, phase, phases) > 0]
    for setting, number in steps.items():
        phase = _phase_of(setting, phases)
        was = _updates(before, phase, phases)
        if _updates(after, phase, phases) != number:
            raise VRLError(f"{setting} is not the number of updates of the phase {phase.name!r}.")
        if number == was:
            continue  # it is resumed, also by the very command that has extended it
        done = _done_of(state, phase, was, finished=state.phase == len(planned))
        if number <= done:
            raise VRLError(
                f"The run has done {done} updates of the phase {phase.name!r} already, of {was}. "
                f"{_flag(setting)} is the number of all of them: ask for more than {done}."
            )
        record = {"step": state.step, "phase": phase.name, "done": done, "setting": setting}
        records.append({**record, "from": was, "to": number, **_schedule(after)})
    for record in records:
        _warn_of_schedule(record)
    return records


def reopen(state: TrainingState, records: Sequence[Mapping[str, Any]]) -> None:
    """Go back into a phase that was over, where an earlier process did and left no checkpoint."""
    for record in records:
        stands_behind = state.step == record["step"] and state.phase_step == 0 < state.phase
        phase = state.phases[state.phase - 1] if stands_behind else None
        if phase and phase.name == record["phase"] and phase.steps > record["done"]:
            state.phase, state.phase_step = state.phase - 1, record["done"]


def _done_of(state: TrainingState, phase: Phase, was: int, *, finished: bool) -> int:
    """Return the updates done of a phase; the last one of a finished run is under way again."""
    index = [each.name for each in state.phases].index(phase.name)
    if index >= state.phase:
        return state.phase_step if index == state.phase else 0
    if index < state.phase - 1 or not finished:
        raise VRLError(
            f"The phase {phase.name!r} is over, and what follows learns from what it made: its "
            "number of updates stays. Begin another run for another number."
        )
    if phase.finished is not None and phase.finished():
        raise VRLError(
            f"The phase {phase.name!r} has ended by itself: more updates would change nothing."
        )
    state.phase, state.phase_step = index, was
    return was


def _phase_of(setting: str, phases: Sequence[Phase]) -> Phase:
    """Return the phase whose updates a setting numbers. Raises `VRLError` when there is none."""
    if setting == STEPS:
        return phases[-1]
    for phase in phases:
        if f"{phase.name}{SUFFIX}" == setting:
            return phase
    known = " and ".join(phase.name for phase in phases)
    raise VRLError(
        f"{setting} is not the number of updates of a phase of this run: it has {known}. --resume "
        f"takes {_flag(STEPS)}, of the last phase, or --<phase>-steps."
    )


def _updates(config: RunConfig, phase: Phase, phases: Sequence[Phase]) -> int:
    """Return how many updates of a phase a configuration asks for."""
    is_last = phase.name == phases[-1].name
    if is_last and config.steps is not None:
        return config.steps
    setting = STEPS if is_last else f"{phase.name}{SUFFIX}"
    number: int = getattr(config.algorithm, setting, phase.steps)
    return number


def _schedule(config: RunConfig) -> dict[str, str]:
    schedule = config.algorithm.schedule()
    return {"schedule": schedule} if schedule else {}


def _warn_of_schedule(record: Mapping[str, Any]) -> None:
    if "schedule" in record:
        warnings.warn(
            f"{record['schedule']}: from update {record['done']} of the phase {record['phase']!r} "
            f"on it is that of {record['to']} updates, and was that of {record['from']} until "
            f"then. The run will not be one of {record['to']} from the beginning; for that, begin "
            "another with vrl train --config RUN/config.yaml --output FOLDER."
        )


def _flag(setting: str) -> str:
    return "--" + setting.replace("_", "-")
