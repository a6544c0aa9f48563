"""The training loop: it knows phases, counts, devices and observers, and no algorithm.

    batch k of the phase -> phase.update -> averages, and between updates the recorder

On a CPU a run is a pure function of its configuration: stopped anywhere and resumed, it ends with
the same tensors and the same metrics.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from pathlib import Path

import torch

from vrl_core.callbacks import CallbackList
from vrl_core.device import (
    Captured,
    autocast,
    choose_device,
    preserve_random_state,
    seed_everything,
    use_free_cores,
)
from vrl_core.extension import extend, with_steps
from vrl_core.interruption import Interruption
from vrl_core.preparation import (
    has_precision,
    open_store,
    planned_phases,
    with_precision,
)
from vrl_core.progress import TrainingProgress
from vrl_core.protocols import Metrics, Phase
from vrl_core.provenance import circumstances, describe_data
from vrl_core.recording import Recorder
from vrl_core.registry import Registry
from vrl_core.replay import BatchStream, DeviceStream, Replay
from vrl_core.run_config import RunConfig
from vrl_core.run_evaluator import RunEvaluator
from vrl_core.run_folder import RunFolder
from vrl_core.training_state import TrainingState, phase_seed


def train(
    config: RunConfig,
    *,
    registry: Registry,
    folder: Path,
    resume: bool = False,
    steps: Mapping[str, int] | None = None,
) -> RunFolder:
    """Train in `folder` until the last phase ends, and return the folder.

    `resume` goes on from the newest whole checkpoint there; `config` is then the folder's own
    (`run_folder.load_config`), and `steps` are other numbers of updates, by setting
    (`extension.py`). Raises `VRLError` for bad settings, data, metrics or folders, and
    `KeyboardInterrupt` when it is asked to stop; a checkpoint is written before.
    """
    before, config = config, with_steps(config, steps or {})
    device = choose_device(config.device)
    use_free_cores()
    with ExitStack() as stack:
        run = stack.enter_context(RunFolder(Path(folder)))
        run.check(resume=resume)
        store = open_store(config.dataset, registry)
        evaluator = stack.enter_context(RunEvaluator(config, store.spec, registry))
        seed_everything(config.seed)
        algorithm = with_precision(config.algorithm, config.precision).build(store.spec, device)
        evaluator.check(algorithm.policy(), device)
        state = TrainingState(algorithm, planned_phases(algorithm, config.steps), device)
        replay = Replay(store, device, config.data_placement)
        for phase in state.phases:
            replay.check(phase.batches)

        total = sum(phase.steps for phase in state.phases)
        facts = {**circumstances(registry, device), "dataset": describe_data(store)}
        if resume:
            run.go_on(state, facts, lambda: extend(state, before, config, steps or {}))
            if config != before:
                run.save_config(config, registry)
        else:
            run.begin(config, registry, {"steps": total, **facts})
        callbacks = CallbackList.build(config.callbacks)
        callbacks.on_start(run.path)
        stack.callback(lambda: callbacks.on_end(state.step))
        progress = stack.enter_context(TrainingProgress(total, start=state.step))
        interruption = stack.enter_context(Interruption())
        recorder = Recorder(
            config, run, state, callbacks, progress, interruption, evaluator, replay
        )
        if state.finished:
            more = f"More of them: vrl train --resume {run.path} --steps N"
            progress.say(f"The run has done all its {state.step} updates. {more}")
        try:
            recorder.catch_up()
            while not state.finished:
                run_phase(config, replay, state, recorder, progress)
        except KeyboardInterrupt:
            progress.say(f"Stopped at update {state.step}. Go on: vrl train --resume {run.path}")
            raise
        run.finish(state.step)
    return run


def run_phase(
    config: RunConfig,
    replay: Replay,
    state: TrainingState,
    recorder: Recorder,
    progress: TrainingProgress,
) -> None:
    """Update through the current phase, from wherever `state` stands in it."""
    phase = state.phases[state.phase]
    seed = phase_seed(config.seed, state.phase)
    prepare_phase(phase, replay, seed)
    with closing(replay.stream(phase.batches, seed, start=state.phase_step)) as batches:
        update = make_update(config, phase, batches, state.device)
        over = False
        while not over:
            refresh_phase(phase, state.phase_step)
            state.count(update())
            progress.advance(state.step, phase.name)
            over = state.phase_step >= phase.steps
            if over or state.step % config.log_every == 0:
                recorder.log()
                over = over or (phase.finished is not None and phase.finished())
            if over:
                state.next_phase()
            recorder.between_updates()


def prepare_phase(phase: Phase, replay: Replay, seed: int) -> None:
    """Make what the phase reuses: the same whether the run begins or resumes."""
    if phase.prepare is not None:
        with preserve_random_state(replay.device):
            seed_everything(seed)
            phase.prepare(replay, seed)


def refresh_phase(phase: Phase, phase_step: int) -> None:
    """Make new data if the update number `phase_step` is to have some."""
    if phase.refresh is not None and phase_step % phase.refresh_every == 0:
        phase.refresh(phase_step)


def make_update(
    config: RunConfig, phase: Phase, batches: BatchStream, device: torch.device
) -> Callable[[], Metrics]:
    """Return what draws a batch and updates: as one CUDA graph where that is sound."""
    update = torch.compile(phase.update) if config.compile else phase.update

    def draw_and_update() -> Metrics:
        if config.precision is None or has_precision(config.algorithm):
            return update(next(batches))
        with autocast(config.precision, device):
            return update(next(batches))

    if device.type == "cuda" and phase.replayable and isinstance(batches, DeviceStream):
        return Captured(draw_and_update, device)
    return draw_and_update
