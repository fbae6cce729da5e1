"""The pages of docs/ are followed command by command. `make test-docs` (minutes)."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"^```(bash|python)\n(.*?)^```", re.MULTILINE | re.DOTALL)
NAMED = re.compile(r"# (\w+\.py)\n")
PAGES = sorted(page.name for page in (ROOT / "docs").glob("*.md") if BLOCK.search(page.read_text()))


@pytest.mark.parametrize("page", PAGES)
def test_every_command_of_a_page_works(page, city, tmp_path):
    """In a folder of its own that looks like the project's; a python block that begins with a file's name is that file."""
    for name in ("search", "spaces", "vpr", "docs"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / ".venv").symlink_to(Path(sys.executable).parents[1])
    for kind, text in BLOCK.findall((ROOT / "docs" / page).read_text()):
        if named := NAMED.match(text):
            (tmp_path / named[1]).write_text(text)
            continue
        command = ["bash", "-ec", text] if kind == "bash" else [".venv/bin/python", "-c", text]
        environment = {**os.environ, "DATA": str(city), "PATH": f"{tmp_path}/.venv/bin:{os.environ['PATH']}"}
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=900)
        assert done.returncode == 0, f"{text}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
