"""The way of drawing: first that works, the user's own choice, and what to install without one."""

import os
import subprocess
import sys

import pytest

from vrl_core.errors import VRLError
from vrl_envs.drawing import graphics


@pytest.fixture
def machine(monkeypatch):
    """A machine on which only the named ways of drawing work."""
    monkeypatch.delenv("MUJOCO_GL", raising=False)
    monkeypatch.delenv("PYOPENGL_PLATFORM", raising=False)
    monkeypatch.delenv("MUJOCO_EGL_DEVICE_ID", raising=False)
    monkeypatch.setattr(sys, "platform", "linux")

    def only(*working):
        names = ("egl", "osmesa", "glfw")
        monkeypatch.setattr(graphics, "PROBES", {n: lambda n=n: n in working for n in names})

    return only


@pytest.mark.parametrize(
    ("working", "chosen"),
    [(("egl", "osmesa"), "egl"), (("osmesa", "glfw"), "osmesa"), (("glfw",), "glfw")],
)
def test_first_that_works_is_chosen_and_inherited(machine, working, chosen):
    machine(*working)
    assert graphics.require_backend() == chosen
    assert os.environ["MUJOCO_GL"] == chosen


def test_none_works_names_the_packages(machine):
    machine()
    assert graphics.choose_backend() is None
    assert "MUJOCO_GL" not in os.environ
    with pytest.raises(VRLError, match=r"libegl1 .*libopengl0.*libosmesa6"):
        graphics.require_backend()


def test_own_choice_is_kept_and_checked(machine, monkeypatch):
    machine("egl")
    monkeypatch.setenv("MUJOCO_GL", "osmesa")
    assert graphics.choose_backend() == "osmesa"
    with pytest.raises(VRLError, match=r"MUJOCO_GL=osmesa .* does not work"):
        graphics.check_chosen_backend()
    monkeypatch.setenv("MUJOCO_GL", "off")
    with pytest.raises(VRLError, match="switches drawing off"):
        graphics.require_backend()


def test_a_way_of_drawing_that_does_not_exist_is_named(machine, monkeypatch):
    machine("egl")
    monkeypatch.setenv("MUJOCO_GL", "elg")
    with pytest.raises(VRLError, match=r"named 'elg'\. Did you mean 'egl'\?.*Unset it"):
        graphics.check_chosen_backend()
    for known in ("on", "off", "EGL"):
        monkeypatch.setenv("MUJOCO_GL", known)
        graphics.choose_backend()
        graphics.check_chosen_backend()
    assert os.environ["MUJOCO_GL"] == "egl"


@pytest.mark.parametrize("chosen", ["glfw", "on"])
def test_a_window_without_a_display_is_refused_when_something_is_to_be_drawn(
    machine, monkeypatch, chosen
):
    machine("egl", "osmesa")
    monkeypatch.setenv("MUJOCO_GL", chosen)
    graphics.settle_backend()  # states need no display
    with pytest.raises(VRLError, match=rf"={chosen} asks for a window.*Here work: egl, osmesa"):
        graphics.require_backend()
    machine()
    with pytest.raises(VRLError, match=r"asks for a window.*install EGL.*libosmesa6"):
        graphics.require_backend()
    machine("glfw")
    assert graphics.require_backend() == chosen


def test_a_display_works_when_its_server_answers(monkeypatch):
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("DISPLAY", ":77")
    assert not graphics.window_works()
    monkeypatch.delenv("DISPLAY")
    assert not graphics.window_works()


def test_a_device_that_egl_does_not_draw_on_is_named_with_those_it_does(machine, monkeypatch):
    machine("egl")
    monkeypatch.setattr(graphics, "_devices", lambda: iter((0, 2)))
    for device in ("9", "1", "-1", "abc", ""):
        monkeypatch.setenv("MUJOCO_EGL_DEVICE_ID", device)
        with pytest.raises(VRLError, match=rf"MUJOCO_EGL_DEVICE_ID={device} is none .* here: 0, 2"):
            graphics.settle_backend()
    monkeypatch.setenv("MUJOCO_EGL_DEVICE_ID", "2")
    graphics.settle_backend()
    monkeypatch.setenv("MUJOCO_EGL_DEVICE_ID", "9")
    monkeypatch.setenv("MUJOCO_GL", "off")
    graphics.settle_backend()  # nothing is drawn


def test_pyopengl_with_another_platform_is_refused(machine, monkeypatch):
    machine("egl", "osmesa")
    monkeypatch.setenv("MUJOCO_GL", "egl")
    monkeypatch.setenv("PYOPENGL_PLATFORM", "osmesa")
    with pytest.raises(VRLError, match=r"MUJOCO_GL=egl and PYOPENGL_PLATFORM=osmesa contradict"):
        graphics.settle_backend()


@pytest.mark.parametrize("module", ["dclaw.model", "kitchen.arm", "drawing.rendering"])
def test_whatever_imports_mujoco_checks_the_choice_first(module):
    done = subprocess.run(
        [sys.executable, "-c", f"import vrl_envs.{module}"],
        env={**os.environ, "MUJOCO_GL": "elg"},
        capture_output=True,
        text=True,
    )
    assert "VRLError: There is no way of drawing (MUJOCO_GL) named 'elg'" in done.stderr


def test_platform_of_pyopengl_binds(machine, monkeypatch):
    machine("egl", "osmesa")
    monkeypatch.setenv("PYOPENGL_PLATFORM", "osmesa")
    assert graphics.choose_backend() == "osmesa"


SCRIPT = """
{first}
from vrl_envs.dmc.config import DMC
kept = DMC(size=16, rendering="fast").build()
closed = DMC(size=16, rendering="fast", camera=1).build()
kept.reset(seed=0), closed.reset(seed=0)
closed.close()
print(kept.render().shape)
"""


@pytest.mark.parametrize("first", ["", "import vrl_envs.behaviours.training"])
def test_a_fresh_process_draws_and_ends_silently_with_an_open_environment(first):
    environment = {k: v for k, v in os.environ.items() if k not in ("MUJOCO_GL", "DISPLAY")}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(first=first)],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "(16, 16, 3)"
    assert done.stderr == ""


def test_drawing_works_when_dm_control_was_imported_first():
    environment = {k: v for k, v in os.environ.items() if k not in ("MUJOCO_GL", "DISPLAY")}
    script = SCRIPT.format(first="from dm_control import suite")
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True
    )
    assert done.stdout.strip() == "(16, 16, 3)", done.stderr
