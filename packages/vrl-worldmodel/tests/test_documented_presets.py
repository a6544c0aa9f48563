"""The tables of presets in docs/algorithms.md say what the presets are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from vrl_worldmodel.config import LOMPOConfig, OfflineDV2Config
from vrl_worldmodel.image_sizes import smallest_size
from vrl_worldmodel.penalty_names import name_of

PAGE = Path(__file__).parents[3] / "docs" / "algorithms.md"


def layers(sizes: Sequence[int]) -> str:
    assert len(set(sizes)) == 1
    return f"{len(sizes)} x {sizes[0]}"


def listed(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers))


def latent(model: Any) -> str:
    kind = f"{model.stochastic_size}"
    kind += f" x {model.classes}" if model.latent == "categorical" else ""
    return f"{model.deterministic_size}, {kind}, {model.hidden_size}"


def rate(*rates: float) -> str:
    return "; ".join(f"{each:.0e}".replace("e-0", "e-") for each in rates)


def penalty(config: LOMPOConfig) -> str:
    return f"`{name_of(config.penalty)}`, weight {config.penalty.weight:g}"


def of_model(config: Any) -> dict[str, str]:
    model = config.model
    return {
        "model updates": f"{config.model_steps:,}",
        "windows": f"{model.batch_size} of {model.sequence_length}",
        "h, z, hidden": latent(model),
        "convolutions; vectors": f"{listed(model.channels)}; {layers(model.vector_layers)}",
    }


def of_offline_dv2(config: OfflineDV2Config) -> dict[str, str]:
    networks = (config.model.reward_layers, config.actor_layers, config.critic_layers)
    rates = {value for name, value in vars(config).items() if name.endswith("learning_rate")}
    weight = config.penalty.weight
    return of_model(config) | {
        "behaviour updates": f"{config.steps:,}",
        "penalty weight": "10; 3 on random data; 8 on walker-walk mixed"  # test_the_papers_weights
        if weight is None
        else f"{weight:g}",
        "reward head; actor; critic": "; ".join(map(layers, networks)),
        "learning rates: model; actor and critic": rate(config.model.learning_rate, *rates),
    }


def of_lompo(config: LOMPOConfig) -> dict[str, str]:
    networks = (config.model.reward_layers, config.actor_layers, config.critic_layers)
    return of_model(config) | {
        "agent updates": f"{config.steps:,}",
        "penalty (LOMPO)": penalty(config),
        "agent": f"`{config.agent}`",
        "imagined reward": f"`{config.imagined_reward}`",
        "batch, first imagined": f"{config.batch_size}, {config.first_imagined:,}",
        "reward head; actor; critics": "; ".join(map(layers, networks)),
        "learning rates: model; agent": rate(config.model.learning_rate, config.learning_rate),
    }


def documented(heading: str) -> Iterator[list[str]]:
    """Yield the cells of the rows of the table whose first heading is this."""
    lines = iter(PAGE.read_text().splitlines())
    header = next(line for line in lines if line.startswith(f"| {heading} |"))
    assert "`paper` (default) | `reference-code` |" in header
    next(lines)
    for line in lines:
        if not line.startswith("|"):
            return
        yield [cell.strip() for cell in line.strip("|").split("|")]


@pytest.mark.parametrize(
    ("heading", "config", "told"),
    [
        ("Offline DV2", OfflineDV2Config, of_offline_dv2),
        ("LOMPO, LMBRL, Offline SLAC", LOMPOConfig, of_lompo),
    ],
)
def test_the_table_of_presets_is_true(
    heading: str, config: Any, told: Callable[[Any], dict[str, str]]
) -> None:
    presets = config.presets()
    paper, code = told(presets["paper"]), told(presets["reference-code"])
    rows = list(documented(heading))
    assert {row[0] for row in rows} == set(paper)
    for name, of_paper, of_code in rows:
        assert of_paper == paper[name], name
        assert (of_paper if of_code == "the same" else of_code) == code[name], name


def test_the_smallest_image_that_is_documented_is_the_smallest() -> None:
    four = len(OfflineDV2Config().model.channels)
    words = f"from 2^(n+2) - 3 pixels a side: {smallest_size(four)} for the presets' four"
    assert words in PAGE.read_text()
    assert smallest_size(four) == 2 ** (four + 2) - 3
