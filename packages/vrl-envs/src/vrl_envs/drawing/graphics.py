"""Choose how MuJoCo draws without a display, before anything imports it. Imports no simulator.

MuJoCo and dm_control read `MUJOCO_GL` when they are imported; without it they may try a display
that is not there and fail much later with an unrelated error.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable, Iterator, Mapping

from vrl_core.errors import VRLError, unknown_name

_DEVICE_PLATFORM = 0x313F  # EGL_PLATFORM_DEVICE_EXT
_MAXIMUM_DEVICES = 16
_OFF = ("off", "disable", "disabled", "false", "0")
_WINDOW = ("glfw", "on", "enable", "enabled", "true", "1")
_DEVICE = "MUJOCO_EGL_DEVICE_ID"

INSTALL_HINT = (
    "On Debian or Ubuntu install EGL, `apt-get install -y libegl1 libegl-mesa0 libgl1-mesa-dri "
    "libglvnd0 libopengl0`, or OSMesa, `apt-get install -y libosmesa6`, and run the command again. "
    "State observations (`observation` state) need neither."
)


def settle_backend() -> None:
    """Choose the way of drawing and check it: to be called before MuJoCo is imported.

    Raises `VRLError` as `check_chosen_backend` does.
    """
    choose_backend()
    check_chosen_backend()


def choose_backend() -> str | None:
    """Set `MUJOCO_GL` to the first way of drawing that works here and return it.

    A value that is set already is kept, so child processes do not ask again. Returns None, and
    sets nothing, when there is no way to draw.
    """
    chosen = os.environ.get("MUJOCO_GL", "").strip().lower()
    if chosen:
        os.environ["MUJOCO_GL"] = chosen  # dm_control knows small letters only
        return None if chosen in _OFF else chosen
    # Small images gain nothing from rasteriser threads; processes run side by side instead.
    os.environ.setdefault("LP_NUM_THREADS", "0")
    for name in _candidates():
        if PROBES[name]():
            os.environ["MUJOCO_GL"] = name
            return name
    return None


def require_backend() -> str:
    """Return the way of drawing in use.

    Raises `VRLError` that names the packages to install when there is none, and what works when
    a window was chosen where there is no display.
    """
    backend = choose_backend()
    if backend is None and os.environ.get("MUJOCO_GL"):
        raise VRLError(
            f"Images were asked for, but MUJOCO_GL={os.environ['MUJOCO_GL']} switches drawing off. "
            "Unset it, or ask for state observations."
        )
    if backend is None:
        raise VRLError(f"MuJoCo cannot draw on this machine. {INSTALL_HINT}")
    # Only here: a window's library is imported without a display, and states need none.
    if backend in _WINDOW and not PROBES["glfw"]():
        raise _unusable(backend, "a window, and no display can be opened here")
    return backend


def check_chosen_backend() -> None:
    """Raise `VRLError` when what was chosen for drawing does not exist or work here.

    It is `MUJOCO_GL`, and where that is EGL `MUJOCO_EGL_DEVICE_ID`. dm_control's own failure at
    import is an error from deep inside.
    """
    chosen = os.environ.get("MUJOCO_GL", "").strip().lower()
    if chosen and chosen not in (*PROBES, *_OFF, *_WINDOW):
        hint = "Unset it to let the first be chosen that works here."
        raise unknown_name("way of drawing (MUJOCO_GL)", chosen, (*PROBES, "off"), hint)
    if chosen in ("egl", "osmesa") and not PROBES[chosen]():
        raise _unusable(chosen, "a way of drawing that does not work on this machine")
    platform = os.environ.get("PYOPENGL_PLATFORM", "").lower()
    if chosen in ("egl", "osmesa") and platform not in ("", chosen):
        raise VRLError(
            f"MUJOCO_GL={chosen} and PYOPENGL_PLATFORM={platform} contradict each other. Unset "
            "PYOPENGL_PLATFORM."
        )
    if chosen == "egl" and os.environ.get(_DEVICE) is not None:
        _check_device(os.environ[_DEVICE])


def _unusable(chosen: str, what: str) -> VRLError:
    """Word what was asked of `MUJOCO_GL`, what works instead, and what to do."""
    working = [name for name, works in PROBES.items() if works()]
    way_out = f"Here work: {', '.join(working)}." if working else INSTALL_HINT
    return VRLError(f"MUJOCO_GL={chosen} asks for {what}. Unset it to let it be chosen. {way_out}")


def _check_device(asked: str) -> None:
    working = [str(number) for number in _devices()]
    if asked.strip() not in working:
        raise VRLError(
            f"{_DEVICE}={asked} is none of the devices that EGL draws on here: "
            f"{', '.join(working)}. Name one of them, or unset it to take the first."
        )


def _candidates() -> tuple[str, ...]:
    if sys.platform == "darwin":
        return ("glfw",)
    # PyOpenGL serves one platform in a process; a choice already made for it binds us too.
    platform = os.environ.get("PYOPENGL_PLATFORM", "").lower()
    if platform in ("egl", "osmesa"):
        return (platform,)
    return ("egl", "osmesa", "glfw")


def egl_works() -> bool:
    """Whether EGL initialises on some device, software included, and OpenGL is beside it.

    libEGL alone proves nothing: it loads happily on a machine without a driver.
    """
    return next(_devices(), None) is not None


def _devices() -> Iterator[int]:
    """Yield the numbers of the devices on which EGL initialises."""
    egl = _load("libEGL.so.1", "libEGL.so")
    if egl is None or _load("libOpenGL.so.0", "libOpenGL.so", "libGL.so.1") is None:
        return
    egl.eglGetProcAddress.restype = ctypes.c_void_p
    names = (b"eglQueryDevicesEXT", b"eglGetPlatformDisplayEXT")
    query_address, display_address = map(egl.eglGetProcAddress, names)
    if not (query_address and display_address):
        return
    integer, pointer = ctypes.c_int, ctypes.c_void_p
    query = ctypes.CFUNCTYPE(ctypes.c_uint, integer, pointer, ctypes.POINTER(integer))
    get_display = ctypes.CFUNCTYPE(pointer, ctypes.c_uint, pointer, pointer)(display_address)
    egl.eglInitialize.argtypes = [pointer, pointer, pointer]
    devices, count = (pointer * _MAXIMUM_DEVICES)(), integer(0)
    if not query(query_address)(_MAXIMUM_DEVICES, devices, ctypes.byref(count)):
        return
    for number in range(count.value):
        display = get_display(_DEVICE_PLATFORM, devices[number], None)
        if display and egl.eglInitialize(display, None, None):
            yield number


def osmesa_works() -> bool:
    """Whether Mesa's off-screen renderer loads."""
    return _load("libOSMesa.so.8", "libOSMesa.so.6", "libOSMesa.so") is not None


def window_works() -> bool:
    """Whether there is a display that a hidden window can be opened on."""
    if sys.platform == "darwin":
        return True
    x11 = _load("libX11.so.6", "libX11.so")
    if x11 is None or not os.environ.get("DISPLAY"):
        return False
    x11.XOpenDisplay.restype = ctypes.c_void_p
    display = x11.XOpenDisplay(None)  # the variable may name a server that is gone
    if display:
        x11.XCloseDisplay(ctypes.c_void_p(display))
    return bool(display)


def _load(*names: str) -> ctypes.CDLL | None:
    for name in names:
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    return None


PROBES: Mapping[str, Callable[[], bool]] = {
    "egl": egl_works,
    "osmesa": osmesa_works,
    "glfw": window_works,
}
