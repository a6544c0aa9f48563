import pytest

from vrl_core.errors import VRLError
from vrl_envs.readers.vd4rl_names import (
    Labels,
    labels_of,
    parse_identifier,
    published_transitions,
)


@pytest.mark.parametrize(
    ("identifier", "folder", "task", "quality"),
    [
        (
            "v-d4rl/walker_walk/medium_expert/84px",
            "main/walker_walk/medium_expert/84px",
            "walker_walk",
            "medium_expert",
        ),
        (
            "v-d4rl/walker_walk/medexp/84px",
            "main/walker_walk/medium_expert/84px",
            "walker_walk",
            "medium_expert",
        ),
        ("cheetah-run/mixed/64", "main/cheetah_run/medium_replay/64px", "cheetah_run", "mixed"),
        (
            "v-d4rl/vd4rl/main/humanoid_walk/medium_replay/64px",
            "main/humanoid_walk/medium_replay/64px",
            "humanoid_walk",
            "mixed",
        ),
        (
            "v-d4rl/distracting/walker_walk_random/64px/easy",
            "distracting/walker_walk_random/64px/easy",
            "walker_walk",
            "random",
        ),
        (
            "v-d4rl/distracting/cheetah_medium_expert/84px/medium",
            "distracting/cheetah_medium_expert/84px/medium",
            "cheetah_run",
            "medium_expert",
        ),
        (
            "v-d4rl/multitask/cheetah_run_random/64px",
            "multitask/cheetah_run_random/64px",
            "cheetah_run",
            "random",
        ),
    ],
)
def test_an_identifier_names_a_folder_of_the_published_tree(identifier, folder, task, quality):
    published = parse_identifier(identifier)
    assert (published.folder, published.task, published.quality) == (folder, task, quality)


@pytest.mark.parametrize(
    ("identifier", "said"),
    [
        ("v-d4rl/walker_wakl/expert/64px", "Did you mean 'walker_walk'?"),
        ("v-d4rl/walker_walk/medium_expret/64px", "Did you mean 'medium_expert'?"),
        ("v-d4rl/walker_walk/expert/48px", "Known: 64px, 84px"),
        ("v-d4rl/walker_walk/expert", "v-d4rl/<task>/<quality>/<size>"),
        ("v-d4rl/distracting/walker_walk_random/64px/esay", "Did you mean 'easy'?"),
        ("v-d4rl/distracting/walker_walk_randon/64px/easy", "Did you mean 'walker_walk_random'?"),
        ("v-d4rl", "walker_walk, cheetah_run, humanoid_walk"),
    ],
)
def test_an_unknown_name_is_answered_with_the_nearest(identifier, said):
    with pytest.raises(VRLError) as error:
        parse_identifier(identifier)
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("path", "labels"),
    [
        ("vd4rl/main/walker_walk/medium_replay/64px", ("main", "walker_walk", "mixed", None)),
        ("x/medium/cheetah_run/expert", ("main", "cheetah_run", "expert", None)),
        (
            "vd4rl/distracting/walker_walk_random/84px/medium",
            ("distracting", "walker_walk", "random", "medium"),
        ),
        ("multitask/cheetah_run_random/64px", ("multitask", "cheetah_run", "random", None)),
        ("backups/tuesday", ("main", None, None, None)),
    ],
)
def test_labels_are_read_off_a_path(path, labels):
    suite, task, quality, difficulty = labels
    expected = Labels(suite=suite, task=task, quality=quality, difficulty=difficulty)
    assert labels_of(path.split("/")) == expected


def test_published_sizes_are_those_of_table_5():
    sizes = {
        ("walker_walk", "mixed"): 100_000,
        ("walker_walk", "medium_expert"): 200_000,
        ("cheetah_run", "mixed"): 200_000,
        ("cheetah_run", "random"): 100_000,
        ("humanoid_walk", "mixed"): 600_000,
        ("humanoid_walk", "expert"): 100_000,
    }
    assert {names: published_transitions(*names) for names in sizes} == sizes
