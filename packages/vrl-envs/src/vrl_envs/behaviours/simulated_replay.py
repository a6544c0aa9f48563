"""A learning agent's episodes as a dataset, simulated again from the actions in its replay."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vrl_core.episodes import DataSpec, Episode, spread
from vrl_core.errors import VRLError
from vrl_envs.behaviours.action_replay import read_or_pack_actions
from vrl_envs.behaviours.state_replay import read_environment
from vrl_envs.collection import check_index


class SimulatedReplay:
    """Episodes that an agent saw while it learnt, simulated in the environment asked for."""

    def __init__(
        self, path: Path, environment: Any, spec: DataSpec, episodes: int | None = None
    ) -> None:
        """Read a replay; `episodes` of it are taken, spread evenly over it, or all.

        Raises `VRLError` when it cannot be read, is of another task, or has fewer.
        """
        require_same_pace(path, environment.config)
        self.replay = read_or_pack_actions(path)
        self.environment, self.spec = environment, spec
        self.chosen = chosen_episodes(spec.task, episodes, len(self.replay))
        if self.replay.actions.shape[1] != spec.action_size:
            raise VRLError(
                f"The replay {path} has {self.replay.actions.shape[1]} numbers in an action; "
                f"{spec.task} has {spec.action_size}."
            )

    def __len__(self) -> int:
        return len(self.chosen)

    def __getitem__(self, index: int, /) -> Episode:
        """Simulate episode `index` of those chosen from the replay."""
        check_index(index, len(self))
        index = self.chosen[index]
        info = {"replay_episode": index, "behaviour": "mixed"}
        return self.replay.simulate(self.environment, index, info)

    def close(self) -> None:
        """Free the simulator and its renderer."""
        self.environment.close()


def require_same_pace(path: Path, settings: Any) -> None:
    """Raise `VRLError` unless recorded actions last as long, and episodes at most as long, here."""
    recorded = read_environment(path)
    for name, is_other in (("action_repeat", operator.ne), ("horizon", operator.gt)):
        wanted = getattr(settings, name, None)
        if wanted is not None and is_other(wanted, recorded.get(name, wanted)):
            raise VRLError(
                f"The replay of {settings.task} was recorded with {name} {recorded[name]!r}, not "
                f"{wanted!r}. Ask for {recorded[name]!r}, or for another quality."
            )


def chosen_episodes(task: str, wanted: int | None, available: int) -> Sequence[int]:
    """Return which episodes of a replay are taken: all, or some spread evenly over it.

    Raises `VRLError` when there are fewer than were asked for.
    """
    wanted = available if wanted is None else wanted
    if wanted > available:
        raise VRLError(
            f"{wanted} episodes of {task} 'mixed' were asked for; its replay has {available}. "
            f"Ask for at most {available}."
        )
    return spread(wanted, available)
