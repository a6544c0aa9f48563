"""From an episode to the rows of a store, refusing what a store must not hold."""

from __future__ import annotations

import numpy as np

from vrl_core.episodes import DataSpec, Episode, FieldSpec
from vrl_core.errors import VRLError
from vrl_core.store_manifest import OBSERVATION_PREFIX, field_layout

ACTION_TOLERANCE = 1e-6
"""Actions this far outside [-1, 1] are rounding and are clipped; farther ones are refused."""


Rows = dict[str, np.ndarray]


def episode_rows(
    episode: Episode, spec: DataSpec, index: int, first_step: int = 0
) -> tuple[Rows, Rows]:
    """Return the `(T, ...)` rows of every field, contiguous and little-endian, and the last one.

    The last row `(1, ...)` holds the last observation, and zeros for the step that does not start
    there. The episode may be a piece, whose first step is `first_step`. Raises `VRLError`, naming
    field, episode and step, for an episode that is empty, has other fields, shapes or dtypes than
    `spec`, holds NaN or infinity, or acts outside [-1, 1].
    """
    _check_fields(episode, spec, index)
    values = {OBSERVATION_PREFIX + name: value for name, value in episode.observations.items()}
    values |= {
        "action": episode.actions,
        "reward": episode.rewards,
        "termination": episode.terminations,
        "truncation": episode.truncations,
    }
    rows, last = {}, {}
    for name, row in field_layout(spec).items():
        of_step = not name.startswith(OBSERVATION_PREFIX)
        expected = len(episode) + (0 if of_step else 1)
        value = np.asarray(values[name])
        _check_rows(name, value, row, expected, index, first_step)
        if name == "action":
            value = _clip_actions(value, index, first_step)
        rows[name] = _contiguous(value if of_step else value[:-1])
        last[name] = _contiguous(np.zeros_like(value[:1]) if of_step else value[-1:])
    return rows, last


def _check_fields(episode: Episode, spec: DataSpec, index: int) -> None:
    if len(episode) < 1:
        raise VRLError(f"Episode {index} has no steps. Leave it out of the dataset.")
    given, known = set(episode.observations), set(spec.observations)
    if given != known:
        raise VRLError(
            f"Episode {index} has the observations {sorted(given)}; the dataset's description "
            f"names {sorted(known)}. All episodes of a store have the same fields."
        )


def _check_rows(
    name: str, value: np.ndarray, row: FieldSpec, expected: int, index: int, first_step: int
) -> None:
    if value.shape != (expected, *row.shape) or value.dtype != np.dtype(row.dtype):
        raise VRLError(
            f"Field {name} of episode {index} is {value.dtype} of shape {value.shape}; expected "
            f"{row.dtype} of shape {(expected, *row.shape)}. The dataset and its description "
            "disagree."
        )
    if value.dtype.kind == "f" and not np.isfinite(value).all():
        place = tuple(int(axis) for axis in np.argwhere(~np.isfinite(value))[0])
        raise VRLError(
            f"Field {name} of episode {index} is {value[place]} at step {first_step + place[0]}. "
            "NaN and infinity are refused; mend the data or leave the episode out."
        )


def _clip_actions(actions: np.ndarray, index: int, first_step: int) -> np.ndarray:
    excess = np.abs(actions) - 1
    if (excess > ACTION_TOLERANCE).any():
        step, number = (int(axis) for axis in np.argwhere(excess > ACTION_TOLERANCE)[0])
        raise VRLError(
            f"Field action of episode {index} is {actions[step, number]} at step "
            f"{first_step + step} (number {number}). Actions lie in [-1, 1]; rescale them where "
            "the data is read."
        )
    clipped: np.ndarray = np.clip(actions, -1, 1)
    return clipped


def _contiguous(value: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(value, dtype=value.dtype.newbyteorder("<"))
