"""Visual distractions of a task: colours, camera and background (V-D4RL, Section 4.1).

They change what is drawn and nothing that is simulated. Each part has a generator of its own,
started with the draw's seed, in the order in which V-D4RL's public environments draw: the `fixed`
distraction is the one of its published datasets, but for the pictures where those are procedural.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np

from vrl_core.errors import VRLError
from vrl_envs.dmc.backgrounds import procedural_texture, texture_names, video_frames, video_picture
from vrl_envs.dmc.camera_shift import CameraPose, camera_place, draw_pose
from vrl_envs.dmc.config import DMC
from vrl_envs.dmc.shift import DIFFICULTY_ALIASES
from vrl_envs.dmc.tasks import TASKS
from vrl_envs.drawing.rendering import check_camera

SCALES: Mapping[str, float] = {"low": 0.1, "moderate": 0.2, "high": 0.3}
"""Largest change of a colour channel, and of angles in quarters of a turn."""
GROUND_ALPHA: Mapping[str, float] = {"walker": 1.0, "cheetah": 1.0, "reacher": 0.0}
SEE_THROUGH = 0.3
"""How much of the ground is seen in the other domains, so that the background is too."""
_PLAIN_RGBA = (0.5, 0.5, 0.5, 1.0)
"""Colour of a body that has only its material's."""


def fixed_seed(difficulty: str) -> int:
    """Return the seed of a difficulty's one training distraction, as V-D4RL's code makes it."""
    (published,) = [old for old, new in DIFFICULTY_ALIASES.items() if new == difficulty]
    return int.from_bytes(f"{published}_0".encode(), "little") % 2**31


class Distraction:
    """The distraction of one environment, applied to its model anew at each draw."""

    def __init__(self, config: DMC, model: Any) -> None:
        """Look at the model before anything is changed in it.

        Raises `VRLError` for a camera that cannot be moved, and for missing videos.
        """
        check_camera(config.task, model, config.camera)
        self._config, self._model = config, model
        self._scale = SCALES[config.distraction]
        self._material_colours = model.mat_rgba[:, :3].copy()
        self._body_colours = model.geom_rgba[:, :3].copy()
        self._own_colour = (model.geom_matid < 0) | (model.geom_rgba != _PLAIN_RGBA).any(1)
        self._place = (
            camera_place(config.task, model, config.camera) if "camera" in config.parts else None
        )
        self._pose: CameraPose | None = None
        self._videos = (
            video_frames(config.distraction, config.video_folder)
            if "background" in config.parts and config.distraction_background == "videos"
            else {}
        )
        self.background: str | None = None
        """Name of the picture behind the scene, if that is distracted."""
        self.texture = sky_texture(model) if "background" in config.parts else None
        """The model's texture that holds it."""

    @property
    def renderer_group(self) -> Hashable:
        """What renderers must have in common with this one's: they keep the textures."""
        return self._config if self._config.distraction_draw == "fixed" else self

    def draw(self, seed: int) -> None:
        """Draw colours, pose and picture from a seed; the model has them from then on."""
        if "colour" in self._config.parts:
            self._draw_colours(np.random.RandomState(seed))
        if self._place is not None:
            self._pose = draw_pose(self._place, self._scale, np.random.RandomState(seed))
        if self.texture is not None:
            self._draw_background(self.texture, np.random.RandomState(seed))

    def camera_moved(self, data: Any) -> AbstractContextManager[None]:
        """Move the camera of a simulation's state while something is drawn."""
        return nullcontext() if self._pose is None else self._pose.applied(data)

    def _draw_colours(self, random: np.random.RandomState) -> None:
        model = self._model
        model.mat_rgba[:, :3] = near_colours(self._material_colours, self._scale, random)
        drawn = near_colours(self._body_colours, self._scale, random)
        model.geom_rgba[self._own_colour, :3] = drawn[self._own_colour]

    def _draw_background(self, texture: int, random: np.random.RandomState) -> None:
        model, config = self._model, self._config
        domain = TASKS[config.task][0]
        model.mat_rgba[model.mat("grid").id, 3] = GROUND_ALPHA.get(domain, SEE_THROUGH)
        names = list(self._videos) or texture_names(config.distraction)
        number = int(random.choice(len(names)))
        self.background, width = names[number], int(model.tex_width[texture])
        picture = (
            video_picture(self._videos[self.background], width)
            if self._videos
            else procedural_texture(number, width)
        )
        start = int(model.tex_adr[texture])
        sides = model.tex_data[start : start + 6 * picture.size]
        sides.reshape(6, *picture.shape)[:] = picture


def near_colours(colours: np.ndarray, scale: float, random: np.random.RandomState) -> np.ndarray:
    """Draw colours `(n, 3)`, each channel uniform within `scale` of its own and within [0, 1]."""
    low, high = np.clip(colours - scale, 0.0, 1.0), np.clip(colours + scale, 0.0, 1.0)
    return np.asarray(low + random.uniform(size=low.shape) * (high - low))


def sky_texture(model: Any) -> int:
    """Return the model's texture around the scene. Raises `VRLError` when it has none."""
    import mujoco  # here, after the way of drawing has been chosen

    skies = np.flatnonzero(model.tex_type == mujoco.mjtTexture.mjTEXTURE_SKYBOX)
    if not len(skies):
        raise VRLError("This task's model has no sky to show another background on.")
    return int(skies[0])
