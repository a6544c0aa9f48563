"""Whether an environment shows a policy what its data showed."""

from __future__ import annotations

import warnings
from dataclasses import MISSING, fields
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from vrl_core.episodes import DataSpec, FieldSpec
from vrl_core.errors import VRLError
from vrl_core.evaluation_workers import Layout
from vrl_core.hooks import EnvironmentConfig
from vrl_core.observations import is_camera
from vrl_core.protocols import Policy
from vrl_core.registry import Registry

IDENTITY = {"task": "task", "rendering": "render_quality", "action_repeat": "action_repeat"}
"""Fields of an environment's configuration, where it has them, that a `DataSpec` says itself."""


def differences(
    spec: DataSpec, environment: EnvironmentConfig, registry: Registry
) -> dict[str, tuple[Any, Any]]:
    """Return the settings in which an environment is not the data's: the data's value and its own.

    Those that change sizes or fields are left to `check_layout`; nothing but this comparison
    would notice the others. An environment of another name than the data's is meant to be another
    one: of it, only what the `DataSpec` itself says is compared.
    """
    recorded = {name: getattr(spec, of_data) for name, of_data in IDENTITY.items()}
    same = registry.name_of(type(environment)) == ("environments", _recorded(spec).get("name"))
    if same:
        settings = _defaults(environment) | _recorded(spec)
        recorded |= {name: value for name, value in settings.items() if name not in IDENTITY}
    pairs = {
        name: (value, getattr(environment, name, None))
        for name, value in recorded.items()
        if name not in environment.layout_settings
    }
    return {name: pair for name, pair in pairs.items() if None not in pair and pair[0] != pair[1]}


def _recorded(spec: DataSpec) -> dict[str, Any]:
    return dict(spec.environment or {})


def _defaults(environment: EnvironmentConfig) -> dict[str, Any]:
    return {
        field.name: field.default for field in fields(environment) if field.default is not MISSING
    }


def check_identity(spec: DataSpec, environment: EnvironmentConfig, registry: Registry) -> None:
    """Compare what changes task, pixels or time but no shape, before anything is started.

    Raises `VRLError` when the data is of another task, camera, render quality, action repeat, ...
    """
    found = differences(spec, environment, registry)
    if not found:
        return
    words = {name: IDENTITY.get(name, name).replace("_", " ") for name in found}
    data = ", ".join(f"{words[name]} {theirs!r}" for name, (theirs, _) in found.items())
    here = ", ".join(repr(mine) for _, mine in found.values())
    wanted = " ".join(f"{name}={theirs}" for name, (theirs, _) in found.items())
    raise VRLError(
        f"The data has {data}, the environment {here}: a policy would be judged by what its data "
        f"never showed. Evaluate with {wanted}, make data with {here}, or, to measure just this, "
        "add --allow-mismatch to vrl evaluate."
    )


def warn_of_other_versions(
    spec: DataSpec, environment: EnvironmentConfig, registry: Registry
) -> None:
    """Warn when the data's environment has other versions here than it was recorded with."""
    recorded = _recorded(spec).get("name")
    if not spec.versions or registry.name_of(type(environment)) != ("environments", recorded):
        return
    here = {name: _installed(name) for name in spec.versions} | dict(environment.versions())
    found = {
        name: (spec.versions.get(name, "an older one"), now)
        for name, now in here.items()
        if now is not None and now != spec.versions.get(name)
    }
    # This project's own releases keep frames and episodes, or count a revision up.
    found = {name: pair for name, pair in found.items() if not name.startswith("vrl-")}
    if found:
        data = ", ".join(f"{name} {then}" for name, (then, _) in found.items())
        now = ", ".join(f"{name} {now}" for name, (_, now) in found.items())
        warnings.warn(
            f"The data was made with {data}, and here is {now}: the policy may see other frames "
            "than it learnt from. Make the data anew, or say so beside the numbers."
        )


def _installed(distribution: str) -> str | None:
    try:
        return version(distribution)
    except (PackageNotFoundError, ValueError):  # of names that are no distribution's, such as ""
        return None


def check_layout(spec: DataSpec, layout: Layout, policy: Policy | None = None) -> None:
    """Compare sizes, of the fields that the policy reads (all of the data's, unless it says).

    Raises `VRLError` naming the field, both sizes and the way out.
    """
    if layout.action_size != spec.action_size:
        raise VRLError(
            f"The data has actions of {spec.action_size} numbers, the environment of "
            f"{layout.action_size}. The data is of the task {spec.task!r}: evaluate in that one."
        )
    read = getattr(policy, "observations", None)
    for name, field in spec.observations.items():
        if read is not None and name not in read:
            continue
        shown = layout.observations.get(name)
        if shown is None:
            known = ", ".join(layout.observations)
            raise VRLError(
                f"The data has the observation {name!r}, the environment only: {known}. Evaluate "
                "in the environment of the data (what it shows may be an option of it, such as "
                "observation=both), or train on data with these observations"
                f"{_alone(spec, layout)}."
            )
        if shown.shape != field.shape:
            raise VRLError(_sizes(name, field, shown))


def _alone(spec: DataSpec, layout: Layout) -> str:
    """Name the fields that data and environment share, if any, as a way out."""
    shared = " ".join(name for name in spec.observations if name in layout.observations)
    return f", or on what both have (--observations {shared})" if shared else ""


def _sizes(name: str, data: FieldSpec, environment: FieldSpec) -> str:
    hint = " (the environment's size is an option of it, such as size=64)" * is_camera(data)
    return (
        f"Observation {name!r} is {_shape(data)} in the data and {_shape(environment)} in the "
        f"environment. Give the environment the data's size{hint}, or train on data of the other."
    )


def _shape(field: FieldSpec) -> str:
    return "×".join(map(str, field.shape)) or "a number"
