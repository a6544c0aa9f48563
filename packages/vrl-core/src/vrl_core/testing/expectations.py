"""How the kit says what is wrong."""

from __future__ import annotations

from multiprocessing.reduction import ForkingPickler
from typing import Any


class ConformanceError(AssertionError):
    """A plugin does not do what VRL expects of it."""


def expect(condition: object, message: str) -> None:
    """Raise `ConformanceError` with this message unless the condition holds."""
    if not condition:
        raise ConformanceError(message)


def expect_pickles(config: Any) -> None:
    """Expect that a configuration can be sent to a worker process."""
    try:
        ForkingPickler.dumps(config)
    except Exception as error:
        raise ConformanceError(f"{config!r} cannot go to a worker process: {error}") from error
