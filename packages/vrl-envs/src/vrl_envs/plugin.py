"""What this package adds to VRL."""

from collections.abc import Mapping

from vrl_core.hooks import DatasetConfig, EnvironmentConfig, hookimpl
from vrl_envs.adroit.config import Adroit, AdroitDataset
from vrl_envs.dclaw.config import DClaw, DClawDataset
from vrl_envs.desk.config import Desk, DeskDataset
from vrl_envs.dmc.config import DMC, DMCDataset
from vrl_envs.gym_mujoco.config import GymMuJoCo, GymMuJoCoDataset
from vrl_envs.gym_mujoco.relabelling_config import Relabelled
from vrl_envs.hiv.config import HIV, HIVDataset
from vrl_envs.kitchen.config import Kitchen, KitchenDataset
from vrl_envs.metaworld.config import MetaWorld, MetaWorldDataset
from vrl_envs.ogbench.config import OGBench, OGBenchDataset
from vrl_envs.readers.d4rl_config import D4RL
from vrl_envs.readers.d5rl_config import D5RL
from vrl_envs.readers.lerobot_config import LeRobot
from vrl_envs.readers.lompo_config import LOMPO
from vrl_envs.readers.minari_config import Minari
from vrl_envs.readers.ogbench_config import OGBenchFiles
from vrl_envs.readers.tdmpc2_config import TDMPC2
from vrl_envs.readers.vd4rl_config import VD4RL
from vrl_envs.robohive.config import RoboHive, RoboHiveDataset


@hookimpl
def vrl_environments() -> Mapping[str, type[EnvironmentConfig]]:
    """Name the environments."""
    return {
        "dmc": DMC,
        "metaworld": MetaWorld,
        "dclaw": DClaw,
        "adroit": Adroit,
        "kitchen": Kitchen,
        "robohive": RoboHive,
        "ogbench": OGBench,
        "desk": Desk,
        "gym-mujoco": GymMuJoCo,
        "hiv": HIV,
    }


@hookimpl
def vrl_datasets() -> Mapping[str, type[DatasetConfig]]:
    """Name the collected and the published datasets."""
    return {
        "dmc": DMCDataset,
        "metaworld": MetaWorldDataset,
        "dclaw": DClawDataset,
        "adroit": AdroitDataset,
        "kitchen": KitchenDataset,
        "robohive": RoboHiveDataset,
        "ogbench": OGBenchDataset,
        "desk": DeskDataset,
        "gym-mujoco": GymMuJoCoDataset,
        "hiv": HIVDataset,
        "v-d4rl": VD4RL,
        "lompo": LOMPO,
        "d5rl": D5RL,
        "d4rl": D4RL,
        "minari": Minari,
        "ogbench-npz": OGBenchFiles,
        "td-mpc2": TDMPC2,
        "lerobot": LeRobot,
        "relabelled": Relabelled,
    }
