"""Hypothesis without deadlines, and one thread, since several test processes share the cores."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

from hypothesis import HealthCheck, Phase, settings

settings.register_profile(
    "vrl",
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
    phases=[Phase.explicit, Phase.generate],  # a smaller seed makes no simpler MDP
)
settings.load_profile("vrl")
