"""A search that has really run, as people open it: its report, its gallery, and MLflow's comparison of its trials."""

import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from mlflow import MlflowClient

from tests.search.commands import RESNET18, run

axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
DRAWN = "[...document.querySelectorAll('.chart')].every(chart => chart.querySelector('.main-svg'))"
OF_MLFLOW = re.compile(r"users/current|AG Grid|ResizeObserver")
"""What MLflow's own pages say on every server without accounts: nothing of ours."""
START_SECONDS = 60


@pytest.fixture(scope="module")
def searched(city, tmp_path_factory):
    """Printed end and storage of a search of four trials with two finalists."""
    storage = tmp_path_factory.mktemp("results")
    flags = ["--space", "losses", "--data", str(city), "--trials", "4", "--epochs", "2", "--name", "seen"]
    done = run("run", *flags, "--confirm", "2", "--confirm-seeds", "1", "--storage", str(storage), *RESNET18)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout, storage


@pytest.fixture(scope="module")
def served(searched):
    """Address of `mlflow ui`, started as the search's end says."""
    command = re.search(r"^look +(.*)$", searched[0], re.MULTILINE)[1].split()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"}
    server = subprocess.Popen(
        [sys.executable, "-m", "mlflow", *command[1:], "--port", str(port), "--workers", "1"],
        env=environment,
        cwd=searched[1],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until and not _answers(port):
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait()


def _answers(port):
    with socket.socket() as knock:
        return knock.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def page(browser):
    """A page whose complaints and whose requests to elsewhere are faults."""
    page = browser.new_page(viewport={"width": 1600, "height": 1000})
    faults = []
    page.on(
        "console",
        lambda said: (
            said.type == "error" and not OF_MLFLOW.search(f"{said.text} {said.location}") and faults.append(said.text)
        ),
    )
    page.on("pageerror", lambda error: faults.append(str(error)))
    here = ("file:", "data:", "blob:", "http://127.0.0.1:")
    page.on("request", lambda asked: asked.url.startswith(here) or faults.append(asked.url))
    yield page
    assert not faults
    page.close()


def test_the_report_is_drawn_and_holds_the_gallery(page, searched):
    page.goto((searched[1] / "seen/report.html").as_uri())
    page.wait_for_function(DRAWN)
    assert "recall@1" in page.locator("#answer").inner_text()
    for section in ("trials", "curves", "finalists", "test", "gallery", "time", "environment"):
        assert page.locator(f"#{section}").is_visible(), section
    page.locator("#gallery").get_by_role("button", name="both right").press("Enter")
    assert set(page.locator("#gallery .outcome").all_text_contents()) <= {"both right"}


@pytest.mark.parametrize("name", ["report.html", "gallery.html"])
def test_a_phone_scrolls_in_one_direction_and_axe_finds_nothing_serious(page, searched, name):
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto((searched[1] / "seen" / name).as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    found = axe.Axe().run(page).response["violations"]
    assert [one["id"] for one in found if one["impact"] in ("serious", "critical")] == []


def test_the_gallery_is_a_page_of_its_own(page, searched):
    page.goto((searched[1] / "seen/gallery.html").as_uri())
    assert page.locator("#gallery .row").count() == 12
    assert page.get_by_role("status").inner_text().startswith("12 of ")


def test_mlflow_opens_at_the_comparison_of_the_trials(page, searched, served):
    """With curves, best values and all that varied at once, of the trials alone and named by what they tried."""
    view = re.search(r"^compare +http://127.0.0.1:5000(.*)$", searched[0], re.MULTILINE)[1]
    page.goto(served + view)
    for title in ("Parallel Coordinates", "val/recall_at_1", "best/val_recall_at_1", "train/loss"):
        page.get_by_role("heading", name=title, exact=True).first.wait_for(timeout=30_000)
    page.wait_for_function("document.querySelectorAll('.js-plotly-plot .main-svg').length >= 3", timeout=30_000)
    page.get_by_text("4 matching runs").wait_for(timeout=30_000)
    page.get_by_role("link", name="ntxent · lr 0.02").first.wait_for(timeout=30_000)


def test_mlflow_shows_the_report_and_the_champion(page, searched, served):
    page.goto(f"{served}/#/models/seen")
    page.get_by_text("champion").first.wait_for(timeout=30_000)
    client = MlflowClient(f"sqlite:///{searched[1]}/mlflow.db")
    experiment = client.get_experiment_by_name("vpr-search").experiment_id
    (search,) = client.search_runs([experiment], "tags.role = 'search'")
    files = {Path(file.path).name for file in client.list_artifacts(search.info.run_id)}
    assert {"report.html", "gallery.html", "figures.json", "summary.json", "config"} <= files
    page.goto(f"{served}/#/experiments/{experiment}/runs/{search.info.run_id}/artifacts/report.html")
    page.frame_locator("iframe").locator("#answer").wait_for(timeout=30_000)
