"""Writes small files of LOMPO, D5RL and TD-MPC2 whose numbers tell row and episode."""

from __future__ import annotations

import numpy as np
from safetensors.numpy import save_file

from tiny_vd4rl import STEPS, rows

FOLDER = "friday_microwave_kettle_switch"
MAIN, WRIST = "extra_image_12_rgb", "extra_image_wrist_rgb"
TENSOR_ROWS = 4


def lompo_columns(steps=STEPS, *, episode=0, size=4, **changes):
    """The columns of MetaWorld's episodes: no flags, a state, a success, a second picture."""
    recorded = rows(steps, episode=episode, size=size)
    count = steps + 1
    return {
        **{name: recorded[name] for name in ("image", "action", "reward", "discount")},
        "state": np.repeat(np.arange(count, dtype=np.float64)[:, None], 3, axis=1) + 100 * episode,
        "success": np.arange(count) == steps if episode else np.zeros(count),
        "image_128": np.zeros((count, 8, 8, 3), np.uint8),
    } | changes


def write_lompo(folder, episodes=2, **changes):
    """Write files whose names state lengths that are not theirs."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for episode in range(episodes):
        path = folder / f"20210101T00000{episode}-{'cd' * 16}-{(3, 999)[episode % 2]}.npz"
        kept = {k: v for k, v in lompo_columns(episode=episode, **changes).items() if v is not None}
        np.savez_compressed(path, **kept)
        paths.append(path)
    return paths


def picture(red, count):
    images = np.zeros((count, 4, 4, 3), np.uint8)
    images[..., 0], images[..., 1] = np.arange(count)[:, None, None], red
    return images


def write_d5rl(folder, episodes=2, steps=STEPS, **changes):
    """Write files; the microwave pays from row 2 on, the kettle in the last row, the rest never."""
    folder.mkdir(parents=True, exist_ok=True)
    count = steps + 1
    row = np.arange(count)
    paths = []
    for episode in range(episodes):
        columns = {
            MAIN: picture(12, count),
            WRIST: picture(99, count),
            "action": np.repeat(row[:, None] / 100, 9, axis=1).astype(np.float32),
            "proprio": np.repeat(row[:, None] + 10.0 * episode, 9, axis=1),
            "reward_microwave": (row >= 2).astype(np.float64),
            "reward_kettle": (row == steps).astype(np.float64)[:, None],
            "reward_switch": np.zeros(count),
            "reward_hinge": np.ones(count),
        } | changes
        path = folder / f"20230528T00000{episode}-{'ef' * 16}-218.npz"
        np.savez_compressed(path, **{k: v for k, v in columns.items() if v is not None})
        paths.append(path)
    return paths


def write_tensors(path, tasks=(1, 41, 1), **changes):
    """Episode e's observation in row t is 10 e + t; its action is t/10; its reward e + t/10."""
    path.parent.mkdir(parents=True, exist_ok=True)
    episode, row = np.mgrid[: len(tasks), :TENSOR_ROWS].astype(np.float32)
    obs = np.stack([10 * episode + row, -row, np.zeros_like(row)], axis=-1)
    action = np.stack([row / 10, -row / 10], axis=-1)
    reward = episode + row / 10
    action[:, 0] = reward[:, 0] = np.nan
    task = np.repeat(np.array(tasks, np.int32)[:, None], TENSOR_ROWS, axis=1)
    tensors = {"obs": obs, "action": action, "reward": reward, "task": task} | changes
    save_file({name: np.ascontiguousarray(v) for name, v in tensors.items() if v is not None}, path)
    return path
