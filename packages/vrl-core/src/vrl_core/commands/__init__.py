"""The commands of VRL's own, one module each, imported only when used.

Each module defines `main(arguments, registry) -> int`: `arguments` are the words after the
command's name (`--plugin` and `--traceback` already taken out), `registry` holds the plugins,
and the answer is the exit status. A `VRLError` is printed by `cli.main`, which exits with 1.
Modules import nothing heavy at the top, so that `vrl <command> --help` is quick.
"""

from collections.abc import Mapping

COMMANDS: Mapping[str, str] = {
    "train": "Train an algorithm on logged episodes, or resume a run",
    "evaluate": "Evaluate the policy of one or several runs in the simulator",
    "report": "Make a page of tables, curves and videos from runs",
    "data": "Collect, convert, download, check, describe, view and export datasets",
    "gallery": "Make a page with a picture of every task that is installed",
    "reward": "Learn a reward from labelled frames, and see how far it can be trusted",
    "plugins": "List what is installed, what it adds, and what is broken",
    "quickstart": "The whole way once: collect, train, evaluate, report",
}
"""Every command of VRL's own with its line of help; `commands/<name>.py` holds it."""
