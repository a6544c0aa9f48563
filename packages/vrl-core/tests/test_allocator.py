import json
import os
import subprocess
import sys

import pytest

from vrl_core.allocator import OPT_OUT, SETTINGS

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="glibc")

PROGRAM = """
import json, os, sys
print("started", flush=True)
from vrl_core.allocator import reexec_with_allocator
reexec_with_allocator()
reexec_with_allocator()
names = [name for name in os.environ if "MALLOC_" in name or "VRL_ALLOC" in name or "THP" in name]
kernel = open("/proc/self/environ").read()
print(json.dumps({"left": sorted(names), "read": "MALLOC_TOP_PAD_=268435456" in kernel,
                  "arguments": sys.argv[1:], "heavy": "torch" in sys.modules}))
"""


def run(**environment):
    # Commands called in this process leave the opt-out behind.
    ours = {*SETTINGS, OPT_OUT}
    clean = {name: value for name, value in os.environ.items() if name not in ours}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, "one", "two words"],
        env={**clean, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    *starts, facts = done.stdout.splitlines()
    return len(starts), json.loads(facts)


def test_starts_again_once_with_the_settings():
    starts, facts = run()
    assert starts == 2
    assert facts == {
        "left": ["THP_MEM_ALLOC_ENABLE"],
        "read": True,
        "arguments": ["one", "two words"],
        "heavy": False,
    }


def test_a_users_own_settings_are_kept():
    starts, facts = run(MALLOC_TOP_PAD_="65536")
    assert starts == 2
    assert facts["left"] == ["MALLOC_TOP_PAD_", "THP_MEM_ALLOC_ENABLE"]
    assert not facts["read"]


def test_opting_out():
    starts, facts = run(VRL_ALLOCATOR="default")
    assert starts == 1
    assert facts["left"] == ["VRL_ALLOCATOR"]
