"""Errors of unknown names list all there are, or of many the nearest."""

from __future__ import annotations

from vrl_core.errors import known_names, unknown_name


def test_few_names_are_all_listed():
    error = unknown_name("penalty", "max_std", ["none", "max-std"], "See: vrl plugins")
    said = "There is no penalty named 'max_std'. Did you mean 'max-std'? Known: max-std, none."
    assert str(error) == f"{said} See: vrl plugins"
    assert str(unknown_name("penalty", "x", [])) == "There is no penalty named 'x'. Known: none."


def test_of_many_names_the_nearest_are_listed_and_the_command_that_lists_all():
    names = [f"{thing}_task{number}" for thing in ("cube", "scene", "maze") for number in range(99)]
    error = str(unknown_name("task", "scene_tusk7", names, listed_by="vrl data tasks"))
    assert error.startswith("There is no task named 'scene_tusk7'. Did you mean 'scene_task7'? ")
    assert "Known: 297, such as scene_task7, scene_task" in error
    assert error.endswith(" (all of them: vrl data tasks).")
    assert len(error) < 300
    assert error.count("scene_task") == 9


def test_a_name_that_is_a_whole_part_of_another_means_that_one():
    names = ["door_open", "adroit_pen", "robohive:pen-v1", "pendulum", "close"]
    assert "Did you mean 'adroit_pen'?" in str(unknown_name("task", "pen", names))
    assert "Did you mean 'door_open'?" in str(unknown_name("task", "Door", names))
    assert "Did you mean 'close'?" in str(unknown_name("task", "clsoe", names))
    cameras = ["object_target", "oblique", "targeting"]
    assert "Did you mean 'targeting'?" in str(unknown_name("camera", "target", cameras))
    assert "Did you mean" not in str(unknown_name("task", "", names))
    many = [*names, *(f"task_{number}" for number in range(40))]
    assert "45, such as adroit_pen, robohive:pen-v1, " in known_names(many, "pen")


def test_of_many_names_none_is_near():
    names = [f"task_{number:02}" for number in range(40)]
    assert known_names(names).startswith("40, such as task_00, task_01, ")
    assert known_names(names, "zzz").count(",") == 8
