"""Train the tiny algorithm and die by SIGKILL at the n-th call of something.

python train_and_die.py STORE FOLDER {fsync,replace,update} N [--resume]
"""

import os
import signal
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent))

import tiny_training
from tiny_runs import registry, run_config, train_tiny
from vrl_core.run_folder import load_config


def die_at(owner: object, name: str, count: int) -> None:
    """Kill this process when `owner.name` is called for the `count`-th time, before it acts."""
    original = getattr(owner, name)
    calls = iter(range(1, count + 1))

    def counted(*arguments, **options):
        if next(calls) == count:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*arguments, **options)

    setattr(owner, name, counted)


def main() -> None:
    store, folder, what, count, *rest = sys.argv[1:]
    owners = {"fsync": (os, "fsync"), "replace": (Path, "replace")}
    owner, name = owners.get(what, (tiny_training.Tiny, "_step"))
    config = load_config(Path(folder), registry()) if rest else run_config(store)
    die_at(owner, name, int(count))
    train_tiny(config, Path(folder), resume=bool(rest))


if __name__ == "__main__":
    main()
