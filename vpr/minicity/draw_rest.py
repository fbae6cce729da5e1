"""`python -m vpr.minicity.draw_rest FOLDER SEED SCALE`: the cities that are not trained on, drawn for `vpr.minicity.write`."""

import sys
from pathlib import Path

from vpr.minicity import REST, draw
from vpr.spread import end_with_parent

if __name__ == "__main__":
    end_with_parent()
    for number in REST:
        for _ in draw(Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), number):
            pass
