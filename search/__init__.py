"""What Ray must know before it is imported."""

import os
import tempfile
from pathlib import Path

# No usage reports, no second set of files for each trial and no banners (History has both).
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
# Spot machines that are taken away count as lost like any other; Ray would try their trials again by itself, for ever.
os.environ.setdefault("RAY_TRAIN_COUNT_PREEMPTION_AS_FAILURE", "1")
# A worker hands its slot to the next trial once the stopped one has let go, on a slow disk too. Workers import this with their trial.
os.environ.setdefault("TUNE_FUNCTION_THREAD_TIMEOUT_S", "60")
# Ctrl-C and SIGTERM come to us first (search.tuning).
os.environ.setdefault("TUNE_DISABLE_SIGINT_HANDLER", "1")
# Each trial of a reused worker is a new thread; with an arena for each, memory grew by half within a few trials.
os.environ.setdefault("MALLOC_ARENA_MAX", "1")
# A Ray of our own is for this machine alone: this is what lets it listen on the loopback address only.
os.environ.setdefault(
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER",
    str(int("RAY_ADDRESS" in os.environ or (Path(tempfile.gettempdir()) / "ray/ray_current_cluster").is_file())),
)
