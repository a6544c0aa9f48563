"""Exit with 0 when this machine can render without a display, with 1 when libraries are missing.

Asks the libraries themselves, by ctypes: libEGL only dispatches, and loads happily on a machine
without any driver. Runs on a bare Python, before anything is installed.
"""

from __future__ import annotations

import ctypes
import sys

PLATFORM_DEVICE = 0x313F
"""EGL_PLATFORM_DEVICE_EXT"""
MAXIMUM_DEVICES = 16


def egl_works() -> bool:
    """Whether EGL initialises on some device, software included, and OpenGL is beside it."""
    try:
        egl = ctypes.CDLL("libEGL.so.1")
        ctypes.CDLL("libOpenGL.so.0")
    except OSError:
        return False
    egl.eglGetProcAddress.restype = ctypes.c_void_p
    addresses = [
        egl.eglGetProcAddress(name) for name in (b"eglQueryDevicesEXT", b"eglGetPlatformDisplayEXT")
    ]
    if not all(addresses):
        return False
    query_devices = ctypes.CFUNCTYPE(
        ctypes.c_uint, ctypes.c_int, ctypes.c_void_p, ctypes.POINTER(ctypes.c_int)
    )(addresses[0])
    get_display = ctypes.CFUNCTYPE(
        ctypes.c_void_p, ctypes.c_uint, ctypes.c_void_p, ctypes.c_void_p
    )(addresses[1])
    devices = (ctypes.c_void_p * MAXIMUM_DEVICES)()
    count = ctypes.c_int(0)
    if not query_devices(MAXIMUM_DEVICES, devices, ctypes.byref(count)):
        return False
    initialize = egl.eglInitialize
    initialize.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p]
    displays = (get_display(PLATFORM_DEVICE, devices[i], None) for i in range(count.value))
    return any(display and initialize(display, None, None) for display in displays)


def osmesa_works() -> bool:
    """Whether Mesa's off-screen renderer loads."""
    for name in ("libOSMesa.so.8", "libOSMesa.so.6", "libOSMesa.so"):
        try:
            ctypes.CDLL(name)
        except OSError:
            continue
        return True
    return False


if __name__ == "__main__":
    # macOS renders through the system's own OpenGL.
    sys.exit(0 if sys.platform == "darwin" or egl_works() or osmesa_works() else 1)
