"""What this package adds to VRL."""

from collections.abc import Mapping

from vrl_core.hooks import CallbackConfig, CommandConfig, hookimpl
from vrl_theory.config import Theory, TheoryBoundConfig


@hookimpl
def vrl_callbacks() -> Mapping[str, type[CallbackConfig]]:
    """Name the callback that follows the empirical bound."""
    return {"theory-bound": TheoryBoundConfig}


@hookimpl
def vrl_commands() -> Mapping[str, type[CommandConfig]]:
    """Name the command that checks the theory."""
    return {"theory": Theory}
