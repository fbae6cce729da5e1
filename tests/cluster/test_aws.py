"""cluster.yaml against a mock of AWS: which machines it starts, what is open to the world, and that nothing stays behind.

As root: `ray up` itself runs in namespaces that nothing can leave.
"""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).parent
FILE = ROOT / "cluster.yaml"
COMMANDS = ("setup_commands", "head_start_ray_commands", "worker_start_ray_commands")


@pytest.fixture(scope="module")
def config():
    return yaml.safe_load(FILE.read_text())


@pytest.fixture(scope="module")
def aws(tmp_path_factory):
    """What AWS holds after `ray up`, after the launch of two workers, and after `ray down`."""
    if os.geteuid() != 0 or not all(map(shutil.which, ("unshare", "ip", "ssh"))):
        pytest.skip("namespaces need root and Debian's iproute2 and openssh-client")
    if subprocess.run(["unshare", "--net", "--pid", "--fork", "--mount", "true"], capture_output=True).returncode != 0:
        pytest.skip("unshare is not permitted here")
    if missing := [name for name in ("boto3", "moto", "flask_cors") if importlib.util.find_spec(name) is None]:
        pytest.skip(f"the mock of AWS needs {', '.join(missing)}")
    place = tmp_path_factory.mktemp("aws")
    project, token = place / "project", place / "home/.ray/auth_token"
    project.mkdir()
    shutil.copy(FILE, project)
    for name in yaml.safe_load(FILE.read_text())["file_mounts"].values():
        if not name.startswith("~"):
            (project / name).symlink_to(ROOT / name)
    token.parent.mkdir(parents=True)
    token.write_text("a" * 64)
    done = subprocess.run(
        ["bash", str(HERE / "in_netns.sh"), sys.executable, str(HERE / "aws_up.py"), FILE.name, "found.json"],
        cwd=project,
        env={**os.environ, "HOME": str(place / "home"), "TMPDIR": str(place)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=85,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return json.loads((project / "found.json").read_text())


def test_ray_finds_the_file_valid(config):
    prepared = prepare_config(config)
    validate_config(prepared)
    limits = {
        name: (kind["min_workers"], kind["max_workers"]) for name, kind in prepared["available_node_types"].items()
    }
    assert limits == {"head": (0, 0), "gpu_worker": (0, prepared["max_workers"])}
    assert prepared["available_node_types"]["head"]["resources"] == {"CPU": 0}
    assert prepared["available_node_types"]["gpu_worker"]["resources"] == {"CPU": 4, "GPU": 1}


def test_all_commands_are_of_bash(config):
    for command in (command for name in COMMANDS for command in config[name]):
        checked = subprocess.run(["bash", "-n", "-c", command], capture_output=True, text=True)
        assert checked.stderr == "", command


def test_the_environment_is_there_once_however_often_a_machine_is_set_up(config, tmp_path):
    home = {"HOME": str(tmp_path), "PATH": os.environ["PATH"]}
    for command in 2 * [command for command in config["setup_commands"] if ">> ~/" in command or "> ~/" in command]:
        subprocess.run(["bash", "-c", command], env=home, check=True)
    assert (tmp_path / ".bashrc").read_text() == ". ~/.vpr-search\n"
    printed = subprocess.run(["bash", "-c", ". ~/.bashrc; env"], env=home, capture_output=True, text=True, check=True)
    given = dict(line.split("=", 1) for line in printed.stdout.splitlines())
    assert given["RAY_AUTH_MODE"] == "token"
    assert given["VPR_STORAGE"] == "/mnt/results"
    assert given["MLFLOW_TRACKING_URI"] == "http://127.0.0.1:5000"


def test_only_a_head_that_nobody_can_take_away_starts_at_first(aws, config):
    (head,) = aws["up"]
    assert head["InstanceType"] == config["available_node_types"]["head"]["node_config"]["InstanceType"]
    assert head.get("InstanceLifecycle") != "spot"
    assert head["IamInstanceProfile"]["Arn"].endswith("/vpr-search-head")


def test_the_autoscaler_launches_workers_on_spot(aws, config):
    workers = [found for found in aws["scaled"] if {"Key": "ray-node-type", "Value": "worker"} in found["Tags"]]
    assert len(workers) == 2 and len(aws["scaled"]) == 3
    for worker in workers:
        assert worker["InstanceType"] == config["available_node_types"]["gpu_worker"]["node_config"]["InstanceType"]
        assert worker["InstanceLifecycle"] == "spot"
        assert worker["IamInstanceProfile"]["Arn"].endswith("/vpr-search-worker")
        assert worker["ImageId"] == aws["up"][0]["ImageId"]


def test_the_world_reaches_ssh_and_nothing_else(aws, config):
    (group,) = {found["GroupId"] for machine in aws["scaled"] for found in machine["SecurityGroups"]}
    (rules,) = [found["IpPermissions"] for found in aws["groups"] if found["GroupId"] == group]
    outside = [rule for rule in rules if rule["IpRanges"] or rule.get("Ipv6Ranges") or rule.get("PrefixListIds")]
    assert [(rule["IpProtocol"], rule["FromPort"], rule["ToPort"]) for rule in outside] == [("tcp", 22, 22)]
    assert [given["CidrIp"] for given in outside[0]["IpRanges"]] == ["0.0.0.0/0"]
    inside = [rule for rule in rules if rule not in outside]
    assert {pair["GroupId"] for rule in inside for pair in rule["UserIdGroupPairs"]} == {group}
    assert [rule["IpProtocol"] for rule in inside] == ["-1"]
    (name,) = [found["GroupName"] for found in aws["groups"] if found["GroupId"] == group]
    assert name == config["cluster_name"]


def test_ray_makes_no_role_of_its_own(aws):
    assert aws["roles"] == []


def test_ray_down_leaves_no_machine(aws):
    assert {machine["State"]["Name"] for machine in aws["down"]} == {"terminated"}
    assert len(aws["down"]) == 3
