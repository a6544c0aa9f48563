"""Writes small files of D4RL's tables whose numbers tell the row."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np

ROWS = 9


def write_tables(
    path: Path,
    *,
    following: bool = False,
    timeouts: tuple[int, ...] | None = (4,),
    terminals: tuple[int, ...] = (7,),
    column: bool = False,
    **changes: Any,
) -> Path:
    """Rows 0 to 4 time out, 5 to 7 terminate, 8 is cut off; observation t is t, reward 10 t."""
    rows = np.arange(ROWS, dtype=np.float32)
    marks = {name: np.zeros(ROWS, bool) for name in ("terminals", "timeouts")}
    marks["terminals"][list(terminals)] = True
    tables = {
        "observations": np.repeat(rows[:, None], 17, 1),
        "actions": np.repeat(rows[:, None] / 10, 6, 1),
        "rewards": rows * 10,
        "terminals": marks["terminals"],
    }
    if timeouts is not None:
        marks["timeouts"][list(timeouts)] = True
        tables["timeouts"] = marks["timeouts"]
    if following:
        tables["next_observations"] = tables["observations"] + 0.5
    if column:
        tables |= {name: tables[name][:, None] for name in ("rewards", "terminals")}
    with h5py.File(path, "w") as file:
        for name, table in (tables | changes).items():
            if table is not None:
                file.create_dataset(name, data=table)
    return path
