"""`python -m vpr.minicity.beside FOLDER SEED SCALE`: the cities that are not trained on, drawn beside the other by `vpr.minicity.write`."""

import signal
import sys
from pathlib import Path

from vpr.minicity import BESIDE, draw
from vpr.spread import end_with_parent

if __name__ == "__main__":
    end_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the command, which ends this process
    for number in BESIDE:
        for _ in draw(Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), number):
            pass
