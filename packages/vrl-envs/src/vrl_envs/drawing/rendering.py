"""Draw MuJoCo scenes as small images, at dm_control's own quality or many times faster.

A renderer is kept for as long as somebody uses it and shared by all environments of a process
that draw alike: what dm_control's `physics.render` spends on each call is spent once.
"""

from __future__ import annotations

import atexit
import importlib
import threading
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from vrl_core.errors import VRLError
from vrl_envs.drawing.graphics import require_backend, settle_backend
from vrl_envs.drawing.mesh_detail import coarse_meshes, coarse_planes

settle_backend()

# MuJoCo reads the choice when it is imported.
import mujoco  # noqa: E402
from dm_control.mujoco import wrapper  # noqa: E402

from vrl_envs.drawing.culling import MeshCulling  # noqa: E402


@dataclass(frozen=True, kw_only=True)
class RenderQuality:
    """What is drawn. Data records the quality's name and, of `fast`, `revision.FAST_REVISION`."""

    shadows: bool = True
    reflections: bool = True
    samples: int | None = None
    """Samples a pixel; None is the model's own, 4 by default."""
    slices: int | None = None
    """Facets around a round body; None is the model's own, 28 by default."""
    stacks: int | None = None
    """Facets along a round body; None is the model's own, 16 by default."""
    quads: int | None = None
    """Rectangles along a box's or a plane's side; None is the model's own, 4 by default."""
    plane_cells: int | None = None
    """Cells along each side of a plane with many; None is as many as the model says, up to 200."""
    mesh_detail: float = 0.0
    """Metres; of meshes with many triangles, those within cubes of this size are not drawn."""


QUALITIES = {
    "reference": RenderQuality(),
    "fast": RenderQuality(
        shadows=False,
        reflections=False,
        samples=0,
        slices=14,
        stacks=8,
        quads=1,
        plane_cells=60,
        mesh_detail=0.004,
    ),
}
"""Render qualities by name. `reference` equals dm_control's `physics.render` bit for bit."""


_CONTEXTS = {
    "egl": (".pyopengl.egl_renderer", "EGLContext"),
    "osmesa": (".pyopengl.osmesa_renderer", "OSMesaContext"),
    "glfw": (".glfw_renderer", "GLFWContext"),
}
MAXIMUM_GEOMS = 10_000
"""Room for drawn bodies, the simulator's own default."""


@dataclass(frozen=True, kw_only=True)
class FreeCamera:
    """A camera of no model: it stands still and looks at a point of the world."""

    target: tuple[float, float, float]
    """Point in the middle of the image, in metres."""
    distance: float
    """Metres from that point."""
    azimuth: float
    """Direction of the view around the vertical, in degrees."""
    elevation: float
    """Direction of the view above the horizontal, in degrees; negative looks down."""


@dataclass(frozen=True)
class RendererKey:
    """What renderers must share to be one: the model, the picture, and the thread that draws.

    A renderer keeps the textures of the model it was created with; `group` tells apart models of a
    task that have others.
    """

    task: str
    size: int
    camera: int | FreeCamera
    quality: str
    group: Hashable
    thread: int
    mesh_detail: float = 0.0


class SceneRenderer:
    """Draws the states of one model, seen by one camera, at one size and quality."""

    def __init__(
        self,
        model: Any,
        size: int,
        camera: int | FreeCamera,
        quality: str,
        mesh_detail: float = 0.0,
    ) -> None:
        """Create the OpenGL context. `model` is a `mujoco.MjModel`."""
        self._size, settings = size, QUALITIES[quality]
        detail = max(mesh_detail, settings.mesh_detail) if settings.mesh_detail else 0.0
        self._gl = _drawing_context()(max_width=size, max_height=size)
        with (
            coarse_meshes(model, detail),
            coarse_planes(model, settings.plane_cells),
            _settings_of(model, size, settings),
            self._gl.make_current() as gl,
        ):
            self._context: Any = gl.call(_make_context, model)
        self._scene = mujoco.MjvScene(model, maxgeom=MAXIMUM_GEOMS)
        self._scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] &= settings.shadows
        self._scene.flags[mujoco.mjtRndFlag.mjRND_REFLECTION] &= settings.reflections
        self._option, self._perturb = wrapper.MjvOption(), wrapper.MjvPerturb()
        self._camera = _camera(model, camera)
        self._rectangle = mujoco.MjrRect(0, 0, size, size)
        self._pixels = np.empty((size, size, 3), np.uint8)
        self._terrain: np.ndarray = model.hfield_data.copy()
        hidden_matter = settings.shadows or settings.reflections
        self._culling = None if hidden_matter else MeshCulling(model)
        # At exit too the context must go before the OpenGL library does.
        atexit.register(self.close)

    def render(self, model: Any, data: Any) -> np.ndarray:
        """Return the image `(size, size, 3)` uint8 of a state of a model like the first one."""
        mujoco.mjv_updateScene(
            model,
            data,
            self._option,
            self._perturb,
            self._camera,
            mujoco.mjtCatBit.mjCAT_ALL,
            self._scene,
        )
        if self._culling is not None:
            self._culling.apply(data, self._scene)
        with self._own_context() as gl:
            gl.call(self._draw, model)
        return self._pixels[::-1].copy()  # OpenGL's first row is the lowest

    def upload_texture(self, model: Any, texture: int) -> None:
        """Draw with a model's texture as it is now."""
        with self._own_context() as gl:
            gl.call(mujoco.mjr_uploadTexture, model, self._context, texture)

    def _draw(self, model: Any) -> None:
        if not np.array_equal(model.hfield_data, self._terrain):  # differs between episodes
            for field in range(model.nhfield):
                mujoco.mjr_uploadHField(model, self._context, field)
            self._terrain = model.hfield_data.copy()
        mujoco.mjr_render(self._rectangle, self._scene, self._context)
        mujoco.mjr_readPixels(self._pixels, None, self._rectangle, self._context)

    @contextmanager
    def _own_context(self) -> Iterator[Any]:
        """Make this renderer's context the current one, whatever other libraries did since.

        dm_control knows of its own contexts alone: after a drawing of `mujoco.Renderer` it would
        draw into nothing, and every image would be the one before.
        """
        with self._gl.make_current() as gl:
            gl.call(self._gl._platform_make_current)
            yield gl

    def close(self) -> None:
        """Free the OpenGL context; drawing is over."""
        if self._context is not None:
            with self._own_context() as gl:
                gl.call(self._context.free)
            self._context = None
            self._gl.free()
            atexit.unregister(self.close)


class SharedRenderer:
    """A user's share of a renderer: the last one to close frees it."""

    _renderers: dict[RendererKey, SceneRenderer] = {}  # noqa: RUF012 - the process's renderers
    _users: dict[RendererKey, int] = {}  # noqa: RUF012

    def __init__(
        self,
        task: str,
        model: Any,
        size: int,
        camera: int | FreeCamera,
        quality: str,
        group: Hashable = None,
        mesh_detail: float = 0.0,
    ) -> None:
        """Join the renderer of these settings, or create it.

        A `mesh_detail` coarser than the quality's takes its place, if that has one: a scene seen
        from afar needs less. Raises `VRLError` when the machine cannot draw or the model has no
        such camera.
        """
        require_backend()
        check_camera(task, model, camera)
        self._key = RendererKey(
            task, size, camera, quality, group, threading.get_ident(), mesh_detail
        )
        if self._key not in self._renderers:
            self._renderers[self._key] = SceneRenderer(model, size, camera, quality, mesh_detail)
        self._users[self._key] = self._users.get(self._key, 0) + 1
        self._open = True

    def render(self, model: Any, data: Any) -> np.ndarray:
        """Return the image `(size, size, 3)` uint8 of a state. Raises `VRLError` when closed."""
        if not self._open:
            raise VRLError("This environment is closed; create it again to draw.")
        return self._renderers[self._key].render(model, data)

    def upload_texture(self, model: Any, texture: int) -> None:
        """Draw with a model's texture as it is now, for all who share this renderer."""
        self._renderers[self._key].upload_texture(model, texture)

    def close(self) -> None:
        """Give up the share."""
        if not self._open:
            return
        self._open = False
        self._users[self._key] -= 1
        if self._users[self._key] == 0:
            del self._users[self._key]
            self._renderers.pop(self._key).close()


def _drawing_context() -> Any:
    """Return dm_control's class of OpenGL contexts for the chosen way of drawing.

    dm_control chose at its own import, which may have been before ours and then for a display.
    """
    module, name = _CONTEXTS.get(require_backend(), ("", "Renderer"))
    return getattr(importlib.import_module(f"dm_control._render{module}"), name)


def _make_context(model: Any) -> Any:
    context = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_150)
    mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, context)
    return context


@contextmanager
def _settings_of(model: Any, size: int, quality: RenderQuality) -> Iterator[None]:
    """Set what a context reads from the model while it is created, then put it back.

    A buffer of the image's own size changes no pixel and spares clearing 640 x 480 of them.
    """
    changes = [
        (model.vis.global_, "offwidth", size),
        (model.vis.global_, "offheight", size),
        (model.vis.quality, "offsamples", quality.samples),
        (model.vis.quality, "numslices", quality.slices),
        (model.vis.quality, "numstacks", quality.stacks),
        (model.vis.quality, "numquads", quality.quads),
        (model.vis.quality, "shadowsize", None if quality.shadows else 0),
    ]
    previous = [(group, name, getattr(group, name)) for group, name, _ in changes]
    for group, name, value in changes:
        if value is not None:
            setattr(group, name, value)
    try:
        yield
    finally:
        for group, name, value in previous:
            setattr(group, name, value)


def _camera(model: Any, camera: int | FreeCamera) -> Any:
    view = wrapper.MjvCamera()
    if isinstance(camera, FreeCamera):
        view.type = mujoco.mjtCamera.mjCAMERA_FREE
        view.lookat[:] = camera.target
        view.distance = camera.distance
        view.azimuth, view.elevation = camera.azimuth, camera.elevation
        return view
    view.fixedcamid = camera
    if camera == -1:
        view.type = mujoco.mjtCamera.mjCAMERA_FREE
        mujoco.mjv_defaultFreeCamera(model, view)
    else:
        view.type = mujoco.mjtCamera.mjCAMERA_FIXED
    return view


def check_camera(task: str, model: Any, camera: int | FreeCamera) -> None:
    """Raise `VRLError`, naming those that exist, for a camera that the model has not."""
    if not isinstance(camera, FreeCamera) and not -1 <= camera < model.ncam:
        names = ", ".join(f"{i} ({model.camera(i).name or 'unnamed'})" for i in range(model.ncam))
        raise VRLError(
            f"{task} has no camera {camera}. It has {names or 'no fixed camera'}, "
            "and -1, a free camera."
        )
