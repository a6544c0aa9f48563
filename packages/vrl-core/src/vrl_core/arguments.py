"""The parser of commands whose flags are few and fixed: argparse, with VRL's errors."""

from __future__ import annotations

import argparse
from typing import NoReturn

from vrl_core.errors import VRLError
from vrl_core.plugin_choices import refuse_unknown_flag


class Arguments(argparse.ArgumentParser):
    """Keeps the description's lines, and raises `VRLError` where argparse would exit with 2."""

    def __init__(self, prog: str, description: str):
        super().__init__(
            prog=prog,
            description=description,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )

    def error(self, message: str) -> NoReturn:
        """Raise `VRLError`: the flag that was probably meant, or what argparse says."""
        unknown, _, words = message.partition(": ")
        if unknown == "unrecognized arguments":
            for word in words.split():
                refuse_unknown_flag(word, self._option_string_actions, self.prog)
        raise VRLError(f"{message[:1].upper()}{message[1:]}. See: {self.prog} --help")
