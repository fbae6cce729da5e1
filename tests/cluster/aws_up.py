"""`ray up` of a file for AWS, two workers and `ray down`, against a mock of AWS (moto); writes what AWS then holds, as JSON.

For in_netns.sh: `python aws_up.py cluster.yaml found.json`, in a folder that stands for the project, with a home of its own.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

SERVER = "http://127.0.0.1:5000"
os.environ |= {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_ENDPOINT_URL": SERVER,
    "RAY_USAGE_STATS_ENABLED": "0",
}

import boto3
import yaml
from botocore.exceptions import EndpointConnectionError
from ray.autoscaler._private.commands import _bootstrap_config, _set_up_config_for_head_node
from ray.autoscaler._private.providers import _get_node_provider
from ray.autoscaler.v2.instance_manager.config import FileConfigReader
from ray.autoscaler.v2.instance_manager.node_provider import NodeProviderAdapter

RAY = [sys.executable, "-m", "ray.scripts.scripts"]
WORKERS = 2


def main(file: str, found: str) -> None:
    config = yaml.safe_load(Path(file).read_text())
    region = config["provider"]["region"]
    ec2, iam = boto3.client("ec2", region), boto3.client("iam", region)
    with Path("moto.log").open("w") as log:
        server = subprocess.Popen([sys.executable, "-m", "moto.server", "-p", "5000"], stdout=log, stderr=log)
    try:
        wait_for(lambda: is_served(ec2))
        for node_type in config["available_node_types"].values():
            iam.create_instance_profile(InstanceProfileName=node_type["node_config"]["IamInstanceProfile"]["Name"])
        held = {"up": up(file, ec2)}
        launch(config)
        held["scaled"] = instances(ec2)
        held["groups"] = ec2.describe_security_groups()["SecurityGroups"]
        held["roles"] = [role["RoleName"] for role in iam.list_roles()["Roles"]]
        subprocess.run([*RAY, "down", "-y", file], stdin=subprocess.DEVNULL, check=True, timeout=60)
        held["down"] = instances(ec2)
    finally:
        server.kill()
    Path(found).write_text(json.dumps(held, default=str))


def up(file: str, ec2: Any) -> list[dict[str, Any]]:
    """What runs once `ray up` waits for the head's ssh, which never answers here."""
    with Path("up.log").open("w") as log:
        command = [*RAY, "up", "-y", "--no-config-cache", file]
        with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log) as ray:
            wait_for(lambda: ray.poll() is not None or "waiting-for-ssh" in str(instances(ec2)))
            is_waiting = ray.poll() is None
            ray.kill()
    assert is_waiting, Path("up.log").read_text()
    return instances(ec2)


def launch(config: dict[str, Any]) -> None:
    """Workers, as the autoscaler on the head launches them: from the files that `ray up` would have sent there."""
    config = _bootstrap_config(config, no_config_cache=True)
    provider = _get_node_provider(config["provider"], config["cluster_name"])
    config, file = _set_up_config_for_head_node(config, provider, no_restart=False)
    key = Path("~/ray_bootstrap_key.pem")
    key.expanduser().write_bytes(Path(config["file_mounts"][str(key)]).read_bytes())
    cloud = NodeProviderAdapter(provider, FileConfigReader(file.name))
    for number in range(WORKERS):  # one by one, as moto starts MinCount machines, and Ray says 1
        cloud.launch({"gpu_worker": 1}, f"request {number}")
    faults: list[Any] = []
    wait_for(lambda: len(cloud.get_non_terminated()) == 1 + WORKERS or faults.extend(cloud.poll_errors()) or faults)
    assert not faults, [fault.__cause__ for fault in faults]


def instances(ec2: Any) -> list[dict[str, Any]]:
    return [found for page in ec2.describe_instances()["Reservations"] for found in page["Instances"]]


def is_served(ec2: Any) -> bool:
    try:
        return bool(ec2.describe_vpcs())
    except EndpointConnectionError:
        return False


def wait_for(what: Callable[[], Any], seconds: float = 40) -> None:
    until = time.monotonic() + seconds
    while not what():
        if time.monotonic() > until:
            raise TimeoutError(f"not within {seconds} s")
        time.sleep(0.2)


if __name__ == "__main__":
    main(*sys.argv[1:])
