"""The machines of a cluster while a search runs: who came, who went, and how many trials fit now."""

import time
from collections.abc import Callable

import ray

from search.cluster import Slots

PAUSE_SECONDS = 2.0


class NodeWatch:
    """Looks at the cluster at most every two seconds; a search's own Ray on this machine does not change."""

    def __init__(self, slots: Slots, say: Callable[[str], None]) -> None:
        self.slots, self.say = slots, say
        self.known = self._alive() if slots.is_cluster else {}
        self.fitting = slots.count
        """Trials that may run at once now."""
        self.looked_at = time.monotonic()

    def look(self) -> None:
        """Say who joined and who is gone since the last time."""
        if not self.slots.is_cluster or time.monotonic() - self.looked_at < PAUSE_SECONDS:
            return
        self.looked_at = time.monotonic()
        before, self.known = self.known, self._alive()
        self.fitting = self.slots.now()
        for node in self.known.keys() - before.keys():
            self.say(f"node      {self.known[node]} joined: room for {self.fitting} now")
        for node in before.keys() - self.known.keys():
            self.say(f"node      {before[node]} is gone: room for {self.fitting} now, its trials go on elsewhere")

    def _alive(self) -> dict[str, str]:
        """Name and address by Ray's id: a machine that comes back is another node."""
        return {
            node["NodeID"]: f"{node['NodeManagerHostname']} ({node['NodeManagerAddress']})"
            for node in ray.nodes()
            if node["Alive"]
        }
