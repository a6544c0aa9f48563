"""What this package adds to VRL."""

from collections.abc import Mapping

from vrl_core.hooks import DatasetConfig, EnvironmentConfig, hookimpl
from vrl_envs.config import DMC, DMCDataset
from vrl_envs.gym_mujoco_config import GymMuJoCo, GymMuJoCoDataset
from vrl_envs.hiv_config import HIV, HIVDataset
from vrl_envs.kitchen_config import Kitchen, KitchenDataset
from vrl_envs.metaworld_config import MetaWorld, MetaWorldDataset
from vrl_envs.readers.d4rl_config import D4RL
from vrl_envs.readers.d5rl_config import D5RL
from vrl_envs.readers.lerobot_config import LeRobot
from vrl_envs.readers.lompo_config import LOMPO
from vrl_envs.readers.minari_config import Minari
from vrl_envs.readers.tdmpc2_config import TDMPC2
from vrl_envs.readers.vd4rl_config import VD4RL
from vrl_envs.relabelling_config import Relabelled


@hookimpl
def vrl_environments() -> Mapping[str, type[EnvironmentConfig]]:
    """Name the environments."""
    return {
        "dmc": DMC,
        "gym-mujoco": GymMuJoCo,
        "hiv": HIV,
        "kitchen": Kitchen,
        "metaworld": MetaWorld,
    }


@hookimpl
def vrl_datasets() -> Mapping[str, type[DatasetConfig]]:
    """Name the collected and the published datasets."""
    return {
        "dmc": DMCDataset,
        "gym-mujoco": GymMuJoCoDataset,
        "hiv": HIVDataset,
        "kitchen": KitchenDataset,
        "metaworld": MetaWorldDataset,
        "v-d4rl": VD4RL,
        "lompo": LOMPO,
        "d5rl": D5RL,
        "d4rl": D4RL,
        "minari": Minari,
        "td-mpc2": TDMPC2,
        "lerobot": LeRobot,
        "relabelled": Relabelled,
    }
