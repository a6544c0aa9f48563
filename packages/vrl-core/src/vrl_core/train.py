"""The training loop: it knows phases, counts, devices and observers, and no algorithm.

    batch k of the phase -> phase.update -> metrics, and between updates the recorder

A run is a pure function of its configuration on a CPU: stopped anywhere and resumed, it ends with
the same tensors and the same metrics.
"""

from __future__ import annotations

from collections.abc import Callable
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
from vrl_core.evaluate import EvaluationPool
from vrl_core.interruption import Interruption
from vrl_core.preparation import (
    check_agreement,
    check_policy,
    evaluation_environment,
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
from vrl_core.run_folder import RunFolder
from vrl_core.training_state import TrainingState, phase_seed


def train(
    config: RunConfig, *, registry: Registry, folder: Path, resume: bool = False
) -> RunFolder:
    """Train in `folder` until the last phase ends, and return the folder.

    `resume` goes on from the newest whole checkpoint there; `config` is then the folder's own
    (`load_config`). Raises `VRLError` for bad settings, data, metrics or folders, and
    `KeyboardInterrupt` when it is asked to stop: a checkpoint is written before.
    """
    device = choose_device(config.device)
    use_free_cores()
    run = RunFolder(Path(folder))
    with ExitStack() as stack:
        stack.enter_context(run)
        store = open_store(config.dataset, registry)
        seed_everything(config.seed)
        algorithm = with_precision(config.algorithm, config.precision).build(store.spec, device)
        phases = planned_phases(algorithm.phases, config.steps)
        environment = evaluation_environment(config, store.spec, registry)
        evaluator = None
        if environment is not None:
            pool = EvaluationPool(environment, workers=config.evaluation_workers)
            evaluator = stack.enter_context(pool)
            with preserve_random_state(device):
                check_agreement(store.spec, environment, evaluator.layout)
                check_policy(algorithm.policy(), evaluator.layout)
        replay = Replay(store, device, config.data_placement)
        state = TrainingState(algorithm, device)
        facts, data = circumstances(registry, device), describe_data(store)
        if resume:
            found = run.newest_checkpoint(set_aside=True)
            if found is not None:
                state.load_state_dict(found[1])
            run.go_on(facts, data, state.step)
        else:
            run.begin(config, registry, {**facts, "data": data})
        callbacks = CallbackList.build(config.callbacks)
        callbacks.on_start(run.path)
        stack.callback(lambda: callbacks.on_end(state.step))
        total = sum(phase.steps for phase in phases)
        progress = stack.enter_context(TrainingProgress(total, start=state.step))
        interruption = stack.enter_context(Interruption())
        recorder = Recorder(
            config, run, state, callbacks, progress, interruption, environment, evaluator
        )
        try:
            run_phases(config, phases, replay, state, recorder, progress)
        except KeyboardInterrupt:
            progress.say(f"Stopped at update {state.step}. Go on: vrl train --resume {run.path}")
            raise
    return run


def run_phases(
    config: RunConfig,
    phases: list[Phase],
    replay: Replay,
    state: TrainingState,
    recorder: Recorder,
    progress: TrainingProgress,
) -> None:
    """Update through the phases, from wherever `state` stands."""
    recorder.catch_up("", last=state.phase == len(phases))
    while state.phase < len(phases):
        phase, seed = phases[state.phase], phase_seed(config.seed, state.phase)
        over = phase.steps == 0
        with closing(replay.stream(phase.batches, seed, state.phase_step)) as batches:
            update = make_update(config, phase, batches, state.device)
            while not over:
                state.count(update())
                progress.advance(state.step, phase.name)
                over = state.phase_step >= phase.steps
                if over or state.step % config.log_every == 0:
                    recorder.log(phase.name)
                    over = over or bool(phase.finished and phase.finished())
                if over:
                    state.next_phase()
                recorder.between_updates(phase.name, last=state.phase == len(phases))
        ...


def make_update(
    config: RunConfig, phase: Phase, batches: BatchStream, device: torch.device
) -> Callable[[], Metrics]:
    """Return the function that draws a batch and updates: as one CUDA graph where that is sound."""
    update = torch.compile(phase.update) if config.compile else phase.update

    def draw_and_update() -> Metrics:
        if config.precision is None or has_precision(config.algorithm):
            return update(next(batches))
        with autocast(config.precision, device):
            return update(next(batches))

    if device.type == "cuda" and phase.replayable and isinstance(batches, DeviceStream):
        return Captured(draw_and_update, device)
    return draw_and_update
