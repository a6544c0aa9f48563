import json

import numpy as np
import pytest

from vrl_core.cli import main
from vrl_theory.estimators import count_estimator
from vrl_theory.mdp_study import factor_effects, guarantees, make_study, study_rows
from vrl_theory.output_files import print_table
from vrl_theory.random_mdp import PRIOR, RandomMDPs, estimated_model, random_policies


def test_the_command_writes_table_numbers_and_figure(tmp_path, capsys):
    words = ["theory", "mdp", "--mdps", "40", "--output", str(tmp_path), "--seed", "3", "--json"]
    assert main(words) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads((tmp_path / "mdp.json").read_text())
    rows = {row["estimator"]: row for row in printed["rows"]}
    assert rows["true error"]["admissible_mdps"] == 1
    assert rows["true error"]["correlation"] == pytest.approx(1)
    assert rows["true error"]["violated_lower_bound"] == 0
    assert rows["none"]["admissible_mdps"] < 1
    assert rows["none"]["violated_lower_bound"] > 0.2
    assert rows["none"]["gap_bound"] == 0
    assert (tmp_path / "mdp.md").read_text().startswith("| estimator |")
    assert (tmp_path / "mdp.png").stat().st_size > 0
    assert "<svg" in (tmp_path / "mdp.svg").read_text()


@pytest.mark.parametrize("metric", ["total-variation", "wasserstein", "maximum-mean-discrepancy"])
def test_admissible_estimators_violate_nothing(metric):
    study = make_study(RandomMDPs(count=60, states=3), 300, metric, np.random.default_rng(0))
    for row in study_rows(study, guarantees(study)):
        if row.admissible_mdps == 1:
            assert (row.violated_lower_bound, row.violated_theorem) == (0, 0)
            assert row.gap <= row.gap_bound
    effects = factor_effects(study, (0.0, 1.0))
    assert [effect.factor for effect in effects] == [0.0, 1.0, 0.0, 1.0]
    assert effects[0].violated_lower_bound > effects[1].violated_lower_bound == 0


def test_the_bound_from_counts_allows_for_the_models_prior():
    settings, random = RandomMDPs(count=5), np.random.default_rng
    study = make_study(settings, 200, "total-variation", random(0))
    again = random(0)
    mdp = settings.draw(again)
    model, seen = estimated_model(mdp, random_policies(mdp, again), 200, again, prior=PRIOR)
    assert np.array_equal(model, study.model)
    bound = count_estimator(seen, 4, prior=PRIOR)
    assert study.estimators["counts"] == pytest.approx(bound)
    assert (bound > count_estimator(seen, 4))[bound < 2].all()


@pytest.mark.parametrize("unit", [1e-6, 1.0, 1e9])
def test_violations_do_not_depend_on_the_unit_of_the_rewards(unit):
    rewards = RandomMDPs(count=60, states=3, lowest_reward=-unit, highest_reward=unit)
    study = make_study(rewards, 300, "total-variation", np.random.default_rng(0))
    rows = {row.estimator: row for row in study_rows(study, guarantees(study))}
    assert rows["true error"].violated_lower_bound == 0
    assert rows["true error"].violated_theorem == 0
    assert rows["none"].violated_lower_bound > 0.2


def test_a_narrow_terminal_sees_every_number(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "40")
    numbers = [f"{number}.2345e+10" for number in range(9)]
    print_table([["name", *"abcdefghi"], ["mopo halfcheetah medium", *numbers]], "Title")
    printed = capsys.readouterr().out
    assert all(number in printed for number in [*numbers, "mopo halfcheetah medium"])


def test_a_single_action_has_no_gap_and_wrong_words_are_refused(tmp_path, capsys):
    study = make_study(
        RandomMDPs(count=5, actions=1), 50, "total-variation", np.random.default_rng(1)
    )
    assert all(row.gap == pytest.approx(0) for row in study_rows(study, guarantees(study)))
    assert main(["theory", "mdp", "--states", "20", "--output", str(tmp_path)]) == 1
    assert "deterministic policies" in capsys.readouterr().err
