"""Which releases of the simulators run together here. Imports none of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from vrl_core.errors import VRLError


@dataclass(frozen=True, kw_only=True)
class Releases:
    """A simulator and the releases that it works with."""

    title: str
    """What the simulator is called."""
    extra: str | None = None
    """Extra of this package that installs it; None where the package itself does."""
    supported: Mapping[str, str]
    """Releases, or ranges such as `>=1.0,<2`, that work together, the simulator's own first.
    Others install without complaint and fail at run time."""

    def require(self) -> None:
        """Raise `VRLError`, saying what to install, unless the supported releases are there."""
        install = f"pip install 'vrl-envs[{self.extra}]'" if self.extra else "pip install vrl-envs"
        found = {name: installed(name) for name in self.supported}
        if found[next(iter(self.supported))] is None:
            raise VRLError(f"{self.title} is not installed. Install it: {install}")
        if not all(_is_of(found[name], wanted) for name, wanted in self.supported.items()):
            there = ", ".join(f"{name} {release or '(none)'}" for name, release in found.items())
            needed = ", ".join(f"{name} {release}" for name, release in self.supported.items())
            raise VRLError(
                f"{self.title} runs with {needed}; here are {there}, which may install together "
                f"and still fail at run time. Install the former: {install}"
            )

    def versions(self) -> dict[str, str]:
        """Return the releases that made data, and this package's, for its manifest."""
        return versions_of(self.supported)


_MUJOCO = {"mujoco": "3.3.0", "dm_control": "1.0.28"}

MUJOCO = Releases(title="MuJoCo", supported=_MUJOCO)
"""dm_control sets no upper bound on mujoco: with another pair its import fails, or physics and
frames are others."""
GYMNASIUM_MUJOCO = Releases(
    title="Gymnasium's MuJoCo", supported={**_MUJOCO, "gymnasium": ">=1.0,<2"}
)
"""The tasks of gymnasium 0.29 cannot draw with this mujoco, and it has no v5."""
METAWORLD = Releases(
    title="MetaWorld", extra="metaworld", supported={"metaworld": "3.1.1", **_MUJOCO}
)
"""metaworld 3.0.0 takes mujoco 4, whose models it cannot load."""
ROBOTICS = Releases(
    title="Gymnasium Robotics",
    extra="robotics",
    supported={"gymnasium-robotics": "1.4.2", **_MUJOCO},
)
"""With mujoco 3.17, which dm_control 1.0.50 takes, Franka Kitchen does not load. Release 1.4.3 of
Gymnasium Robotics changes the rewards of three of Adroit's tasks."""
OGBENCH = Releases(title="OGBench", extra="ogbench", supported={"ogbench": "1.2.2", **_MUJOCO})
"""With other releases rewards and frames may be others."""


def _is_of(release: str | None, wanted: str) -> bool:
    """Whether a release is the wanted one, or in the wanted range."""
    if release is None or wanted[0].isdigit():
        return release == wanted
    from packaging.specifiers import SpecifierSet

    return SpecifierSet(wanted).contains(release, prereleases=True)


def versions_of(distributions: Iterable[str]) -> dict[str, str]:
    """Return the releases of distributions, and this package's, for a manifest."""
    return {name: version(name) for name in (*distributions, "vrl-envs")}


def installed(distribution: str) -> str | None:
    """Return the release of an installed distribution, or None."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None
