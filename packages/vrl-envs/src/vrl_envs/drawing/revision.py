"""Which way of drawing `fast` is: data of one differs in pixels from that of another. Light."""

from __future__ import annotations

from typing import Any

FAST_REVISION = 3
"""To be counted up with every change of what `fast` draws: `QUALITIES`, the thinning of meshes, the
details that environments ask for. 1 drew meshes whole, 2 thinned those of 5,000 triangles, 3 thins
those of 200 and divides large floors less finely. Data that names none is older than the count."""
DRAWING = "fast drawing"
"""Name of the revision among the versions in a manifest."""


def drawing_versions(config: Any) -> dict[str, str]:
    """Return the revision that draws a configuration's images, by its name; nothing if none does.

    `config` is a dataset's or an environment's, with `rendering` and `observation`. `reference`
    has no revision: it is what the simulator draws.
    """
    is_drawn = config.rendering == "fast" and config.observation != "state"
    return {DRAWING: str(FAST_REVISION)} if is_drawn else {}
