"""An export in an environment that has none of the search. `python -m tests.fresh`, or `make fresh`.

The environment gets the dependencies that pyproject.toml names for `vpr/`, without any extra. There the export's three formats
are measured on val, by `vpr` and by the libraries alone, against what was written when the model was exported.
"""

import argparse
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ABSENT = ("ray", "optuna", "mlflow")
CHECK = """
import importlib.util, json, sys
from pathlib import Path
import torch, vpr
from vpr.data import open_retrieval
from vpr.evaluate import evaluate
from vpr.export import check_export, load_export
folder, val = Path(sys.argv[1]), Path(sys.argv[2])
for name in sys.argv[3:]:
    found = importlib.util.find_spec(name)
    print(f"import {name}: {'is there' if found else 'ModuleNotFoundError'}")
    assert found is None
model, config = load_export(folder)
written = json.loads((folder / "metrics.json").read_text())
retrieval = open_retrieval(val, config.data)
found = check_export(folder, model, retrieval)
for name in ("model.safetensors", "model.onnx", "model.pt2"):
    now = {n: value for n, value in found[name].items() if n.startswith("recall")}
    then = {n: written["formats"][name][n] for n in now}
    print(f"{name:<18} {now}  {'as written' if now == then else f'when written {then}'}")
    assert now == then
recalls = evaluate(vpr.load(folder), retrieval, config.training.precision, torch.device("cpu"))
trial = {n: written[f"val/recall_at_{n}"] for n in recalls}
print(f"vpr from {Path(vpr.__file__).parent.parent.name}")
print(f"vpr.load, in the precision of the trial ({config.training.precision}): {recalls}; the trial: {trial}")
assert recalls == trial
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--export", type=Path, help="folder of an export; a small search makes one if not given")
    parser.add_argument(
        "--val", type=Path, help="folder of the val set that it was selected on; MiniCity's if not given"
    )
    parser.add_argument("--work", type=Path, default=Path("results/fresh"), help="folder for environment and search")
    given = parser.parse_args()
    export = given.export or _searched(given.work)
    python = given.work / "venv/bin/python"
    if not python.exists():
        venv.create(given.work / "venv", with_pip=True)
    subprocess.run([python, "-m", "pip", "install", "-q", str(ROOT)], check=True)
    val = given.val or _minicity() / "sf_xs/val"
    paths = (export.resolve(), val.resolve())
    # -I: the installed vpr, whatever PYTHONPATH says.
    return subprocess.run([python.absolute(), "-I", "-c", CHECK, *paths, *ABSENT], cwd=given.work).returncode


def _searched(work: Path) -> Path:
    flags = ["--trials", "2", "--epochs", "2", "--confirm", "1", "--confirm-seeds", "1", "--name", "small", "--fresh"]
    subprocess.run([sys.executable, "search/run.py", *flags, "--storage", work.resolve()], cwd=ROOT, check=True)
    return work / "small/export"


def _minicity() -> Path:
    from vpr.minicity.preset import minicity_folder

    return minicity_folder()


if __name__ == "__main__":
    sys.exit(main())
