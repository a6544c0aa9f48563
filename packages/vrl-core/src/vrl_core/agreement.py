"""Whether an environment shows a policy what its data showed."""

from __future__ import annotations

from vrl_core.episodes import DataSpec, FieldSpec
from vrl_core.errors import VRLError
from vrl_core.evaluation_workers import Layout
from vrl_core.hooks import EnvironmentConfig

IDENTITY = {"rendering": "render_quality", "action_repeat": "action_repeat"}
"""Fields of an environment's configuration, where it has them, and of the data they must equal.
They change no shape, so nothing but this check would notice."""


def check_identity(spec: DataSpec, environment: EnvironmentConfig) -> None:
    """Compare what changes pixels or time but no shape, before anything is started.

    Raises `VRLError` when the data has another render quality or action repeat.
    """
    for name, of_data in IDENTITY.items():
        mine, theirs = getattr(environment, name, None), getattr(spec, of_data)
        if mine is not None and theirs is not None and mine != theirs:
            words = of_data.replace("_", " ")
            raise VRLError(
                f"The data has {words} {theirs!r}, the environment {mine!r}: a policy would be "
                f"judged on observations it has never seen the like of. Evaluate with {name} "
                f"{theirs!r}, make data with {mine!r}, or, to measure just this, add "
                "--allow-mismatch to vrl evaluate."
            )


def check_layout(spec: DataSpec, layout: Layout) -> None:
    """Compare sizes. Raises `VRLError` naming the field, both sizes and the way out."""
    if layout.action_size != spec.action_size:
        raise VRLError(
            f"The data has actions of {spec.action_size} numbers, the environment of "
            f"{layout.action_size}. The data is of the task {spec.task!r}: evaluate in that one."
        )
    for name, field in spec.observations.items():
        shown = layout.observations.get(name)
        if shown is None:
            known = ", ".join(layout.observations)
            raise VRLError(
                f"The data has the observation {name!r}, the environment only: {known}. Evaluate "
                "in the environment of the data, or train on data with these observations."
            )
        if shown.shape != field.shape:
            raise VRLError(_sizes(name, field, shown))


def _sizes(name: str, data: FieldSpec, environment: FieldSpec) -> str:
    hint = " (the environment's size is an option of it, such as size=64)" * (name == "image")
    return (
        f"Observation {name!r} is {_shape(data)} in the data and {_shape(environment)} in the "
        f"environment. Give the environment the data's size{hint}, or train on data of the other."
    )


def _shape(field: FieldSpec) -> str:
    return "×".join(map(str, field.shape)) or "a number"
