"""The picture of the rooms stays true."""

import re
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def test_the_import_rule():
    done = subprocess.run([Path(sys.executable).with_name("lint-imports")], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_no_file_in_search_carries_a_librarys_name():
    """`python search/run.py` puts search/ first on the import path."""
    taken = {*packages_distributions(), *sys.stdlib_module_names} - {"search", "spaces", "vpr"}
    assert not {file.stem for file in (ROOT / "search").glob("*.py")} & (taken | {"spaces", "vpr"})


@pytest.mark.slow
def test_the_driver_needs_no_torch():
    code = "import sys, search.plan, search.tuning, search.finals, search.summary; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    "script", ["run", "export", "gallery", "report", "doctor", "serve", "train", "evaluate", "describe", "locate"]
)
def test_help_describes_every_flag(script):
    room = "vpr" if script in ("train", "evaluate", "describe", "locate") else "search"
    done = subprocess.run([sys.executable, f"{room}/{script}.py", "--help"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0 and "--help" in done.stdout and not done.stderr


def test_help_waits_for_no_heavy_import():
    code = "import sys, search.run; sys.exit(bool({'torch', 'ray', 'mlflow', 'optuna'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def test_the_wrong_spaces_package_is_named(tmp_path):
    (tmp_path / "spaces").mkdir()
    (tmp_path / "spaces/__init__.py").touch()
    (tmp_path / "spaces/losses.py").write_text("def suggest(trial): pass")
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); from search.space import load_space; load_space('losses')"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd="/", capture_output=True, text=True)
    assert "is another package" in done.stderr


@pytest.mark.parametrize("file", ["cluster.yaml", "docs/clusters/on-prem.yaml"])
def test_the_cluster_files_are_valid_for_ray(file):
    import yaml
    from ray.autoscaler._private.util import prepare_config, validate_config

    validate_config(prepare_config(yaml.safe_load((ROOT / file).read_text())))


def test_links_between_the_pages_lead_somewhere():
    for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\((?!https?://|#)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links {target}"
