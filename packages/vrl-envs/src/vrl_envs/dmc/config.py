"""Settings of the environment and the dataset `dmc`. Imports no simulator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

from vrl_core.errors import VRLError
from vrl_core.hooks import DatasetConfig, EnvironmentConfig, ReferenceReturns
from vrl_envs.dmc.shift import (
    DIFFICULTIES,
    LIMBS,
    NONE,
    PARTS,
    STOCK,
    STOCK_LIMBS,
    Shift,
    refuse_without_distraction,
    settle,
)
from vrl_envs.dmc.tasks import SHOWN_TASKS, TASKS, check_task
from vrl_envs.drawing.revision import drawing_versions
from vrl_envs.idle_settings import refuse_idle
from vrl_envs.qualities import qualities_in
from vrl_envs.releases import MUJOCO
from vrl_envs.scores import paper_score, references
from vrl_envs.settings import (
    QUALITIES,
    Observation,
    Rendering,
    check_at_least,
    check_view,
    settle_quality,
)

if TYPE_CHECKING:
    import gymnasium

    from vrl_core.episodes import Dataset


@dataclass(frozen=True, kw_only=True)
class DMC(Shift, EnvironmentConfig):
    """A task of the DeepMind Control Suite."""

    layout_settings: ClassVar[tuple[str, ...]] = ("size", "observation")

    task: str = "walker_walk"
    """Domain and task, such as `walker_walk`, `cheetah_run` or `humanoid_walk`."""
    size: int = 64
    """Height and width of the image in pixels."""
    action_repeat: int = 2
    """Simulator steps for each action; their rewards are summed."""
    camera: int = 0
    """Number of the task's camera; -1 is a free camera."""
    rendering: Rendering = "reference"
    """`reference` draws as dm_control does; `fast` leaves out multisampling, shadows, reflections,
    cells of large floors and, of the dog's meshes, what is smaller than 4 mm."""
    observation: Observation = "pixels"
    """An image, the task's state vector, or a dictionary of both."""

    def __post_init__(self) -> None:
        check_task(self.task)
        check_view(self.size, self.rendering, self.observation)
        check_at_least("action_repeat", self.action_repeat, 1)
        settle(self, self.task, self.observation)

    def versions(self) -> Mapping[str, str]:
        """Return the revision of the way images are drawn, if it has one."""
        return drawing_versions(self)

    def build(self) -> gymnasium.Env[Any, Any]:
        """Create the environment.

        Raises `VRLError` for a camera that the task has not, or a distraction cannot move, and for
        releases that do not run together.
        """
        MUJOCO.require()
        from vrl_envs.dmc.environment import DMCEnvironment
        from vrl_envs.dmc.several_limbs import SeveralLimbs

        return SeveralLimbs(self) if len(self.limbs) > 1 else DMCEnvironment(self)

    @classmethod
    def gallery(cls) -> Mapping[str, Self]:
        """Return V-D4RL's tasks with its distractions and limb lengths, and the cartpole."""
        shown = {task: cls(task=task) for task in SHOWN_TASKS}
        for task in SHOWN_TASKS:
            if TASKS[task][0] in STOCK_LIMBS:
                shown |= {
                    f"{task} {name}": cls(task=task, distraction=name) for name in DIFFICULTIES
                }
                shown |= {f"{task} limb {name}": cls(task=task, limb=name) for name in LIMBS}
        return shown

    def references(self) -> ReferenceReturns | None:
        """Return V-D4RL's random and expert returns, for the tasks it has."""
        return references(self.task)

    def published_score(self, value: float) -> float:
        """Map a return to V-D4RL's score: a tenth of it."""
        return paper_score(value)


@dataclass(frozen=True, kw_only=True)
class DMCDataset(Shift, DatasetConfig):
    """Episodes collected here from the DeepMind Control Suite with this project's behaviours."""

    tasks: ClassVar[tuple[str, ...]] = tuple(sorted(TASKS))
    qualities: ClassVar[tuple[str, ...]] = QUALITIES

    task: str = "walker_walk"
    """Domain and task, such as `walker_walk`."""
    quality: str = "expert"
    """Behaviour: `random`, `mixed` (what the medium agent saw while it learnt), `medium`,
    `medium_expert` (half the episodes of each), `expert` or `random_expert` (half of each)."""
    size: int = 64
    """Height and width of the image in pixels."""
    episodes: int | None = None
    """Episodes to collect; by default the paper's 200 (of 500 steps: 100,000 transitions), of
    two behaviours twice as many, of `mixed` the whole replay. Fewer of it are spread evenly."""
    seed: int = 0
    """Seed of the first states and of the behaviour's choices."""
    rendering: Rendering = "fast"
    """`fast` leaves out multisampling, shadows and reflections; `reference` draws as dm_control
    (and V-D4RL) does, many times more slowly."""
    camera: int = 0
    """Number of the task's camera."""
    action_repeat: int = 2
    """Simulator steps for each action; their rewards are summed."""
    observation: Observation = "pixels"
    """An image, the task's state vector, or both."""
    behaviours: str | None = None
    """Folder of behaviours laid out as the shipped ones, to collect with your own policies."""
    shifted_share: float = 1.0
    """Share of the episodes that are distracted, spread evenly; the others are as the suite
    shows them."""

    def __post_init__(self) -> None:
        settle_quality(self, QUALITIES)
        check_task(self.task)
        refuse_idle(self, {"behaviours": ("mixed", "medium", "expert")})
        refuse_without_distraction(self)
        settle(self, self.task, self.observation)
        self._check_shares()
        check_at_least("seed", self.seed, 0)
        self.environment()

    def _check_shares(self) -> None:
        if not 0 <= self.shifted_share <= 1:
            raise VRLError(f"shifted_share is {self.shifted_share}; it must lie in 0 to 1.")
        if self.distraction == NONE and self.shifted_share != 1:
            raise VRLError(
                "shifted_share is a share of distracted episodes, but distraction is none. Choose "
                "one, such as --distraction moderate."
            )
        if self.quality == "mixed" and self.limb != STOCK:
            raise VRLError(
                "The 'mixed' episodes are joint positions of the suite's own model: they have no "
                "other limb lengths. Choose another quality, such as random."
            )
        if self.episodes is not None:
            # One episode cannot be half of each.
            least = len(qualities_in(self.quality)) * len(self.limbs)
            check_at_least("episodes", self.episodes, least)

    def environment(self) -> DMC:
        """Return the environment that the episodes come from, the distracted one if some are."""
        settings = {field.name: getattr(self, field.name) for field in fields(DMC)}
        undistracted = {} if self.shifted_share else {"distraction": NONE, "video_folder": None}
        return DMC(**(settings | undistracted))

    def episode_environment(self, limb: str, distracted: bool) -> DMC:
        """Return the environment of a single episode."""
        one = replace(self.environment(), limb=limb)
        return one if distracted else replace(one, distraction=NONE, video_folder=None)

    def variant(self) -> str:
        """Return what sets these episodes apart from the suite's, for the name of their folder."""
        words = []
        if self.distraction != NONE:
            words.append(self.distraction)
            words += [part for part in self.parts if len(self.parts) < len(PARTS)]
            words.append("videos" if self.distraction_background == "videos" else "")
            words.append("fresh" if self.distraction_draw == "fresh" else "")
            words.append("" if self.shifted_share == 1 else f"{100 * self.shifted_share:g}percent")
        words.append("" if self.limb == STOCK else f"limbs{self.limb}")
        return "-".join(word for word in words if word)

    def build(self) -> Dataset:
        """Return the episodes, each made when it is asked for.

        Raises `VRLError` when no such behaviour is shipped or the replay has fewer episodes, and
        for releases that do not run together.
        """
        MUJOCO.require()
        from vrl_envs.dmc.dataset import open_dataset

        return open_dataset(self)

    def fingerprint(self) -> Mapping[str, Any]:
        """Return what the episodes depend on: the behaviours that act, and the simulator too."""
        from vrl_core.fingerprint import describe
        from vrl_envs.behaviours.shipped import behaviour_files

        files = behaviour_files(self.task, self.quality, self.behaviours)
        if self.distraction_background == "videos":
            from vrl_envs.dmc.backgrounds import video_frames

            files += video_frames(self.distraction, self.video_folder).values()
        return drawing_versions(self) | describe(
            self, files=files, packages=tuple(MUJOCO.supported)
        )
