from pathlib import Path
from typing import Any

import pytest
import yaml

_PATH = Path(__file__).parents[1] / "cluster.yaml"


@pytest.fixture
def cluster() -> Any:
    return yaml.safe_load(_PATH.read_text())


@pytest.mark.filterwarnings("ignore")  # Ray's autoscaler modules warn of their own future
def test_rays_own_validation_accepts_the_cluster_file(cluster: Any) -> None:
    from ray.autoscaler._private.util import prepare_config, validate_config

    config = prepare_config(cluster)
    validate_config(config)
    assert config["head_node_type"] in config["available_node_types"]


def test_only_who_knows_the_token_joins_the_cluster(cluster: Any) -> None:
    commands = cluster["head_start_ray_commands"] + cluster["worker_start_ray_commands"]
    starts = [command for command in commands if "ray start" in command]
    assert len(starts) == 2
    assert all("RAY_AUTH_MODE=token" in command for command in starts)


def test_nodes_install_wheels_of_known_hashes_alone(cluster: Any) -> None:
    installs = [command for command in cluster["setup_commands"] if "pip install" in command]
    by_hash, project = installs
    assert "--require-hashes -r ~/tune/requirements.txt" in by_hash
    # Without these pip would fetch the project's dependencies, or what builds it, unchecked.
    assert {"--no-index", "--no-deps", "--no-build-isolation"} <= set(project.split())
    assert not any("make" in command.split() for command in cluster["setup_commands"])
