"""A Ray of our own, on this machine."""

import os

import psutil
import pytest
import ray

from search import cluster, ray_start
from search.settings import SearchSettings

pytestmark = pytest.mark.search


def test_what_we_start_listens_on_loopback_alone():
    try:
        slots = cluster.connect(SearchSettings(max_concurrent=1))
        cluster.wait(slots)
        counted = ray.cluster_resources()
        ray.get(ray.remote(lambda: os.getpid()).remote())
        own = {child.pid for child in psutil.Process().children(recursive=True)} | {os.getpid()}
        addresses = {
            one.laddr.ip for one in psutil.net_connections("tcp") if one.status == psutil.CONN_LISTEN and one.pid in own
        }
    finally:
        ray.shutdown()
    assert ray_start.resources() == (counted["CPU"], counted.get("GPU", 0))
    assert slots.where == "this machine" and addresses and addresses <= {"127.0.0.1", "::1", "::ffff:127.0.0.1"}
