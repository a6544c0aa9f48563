"""Train the tiny algorithm in lives that end by SIGKILL at the n-th call of something.

    python train_and_die.py STORE FOLDER=update:17,fsync:3,end ...

Each life is a forked process: the first begins the run, the later ones resume it; `end` lives on
to the end of the run. Fails when a life ends otherwise.
"""

import os
import signal
import sys
import traceback
from pathlib import Path

sys.path.append(str(Path(__file__).parent))

import torch

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


def live(store: str, folder: Path, death: str) -> None:
    what, _, count = death.partition(":")
    owners = {"fsync": (os, "fsync"), "replace": (Path, "replace")}
    resume = (folder / "config.yaml").exists()
    config = load_config(folder, registry()) if resume else run_config(store)
    if what != "end":
        owner, name = owners.get(what, (tiny_training.Tiny, "_step"))
        die_at(owner, name, int(count))
    train_tiny(config, folder, resume=resume)


def main() -> None:
    store, *runs = sys.argv[1:]
    # Imports the compiler, which takes seconds; once here instead of once a life.
    torch.optim.Adam([torch.zeros(1)])
    for run in runs:
        folder, _, deaths = run.partition("=")
        for death in deaths.split(","):
            # With one thread torch has started no others, which a fork would miss.
            child = os.fork()
            if child == 0:
                try:
                    live(store, Path(folder), death)
                    os._exit(0)
                except BaseException:
                    traceback.print_exc()
                    os._exit(1)
            _, status = os.waitpid(child, 0)
            expected = 0 if death == "end" else -signal.SIGKILL
            if os.waitstatus_to_exitcode(status) != expected:
                sys.exit(f"{run}: {death} ended with {os.waitstatus_to_exitcode(status)}")


if __name__ == "__main__":
    main()
