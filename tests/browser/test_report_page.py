"""The report as a person meets it: in a real browser, by day and night, on a phone, by keyboard."""

import pytest

from search.report import write
from tests.search.recorded_search import write_search

axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
DRAWN = "[...document.querySelectorAll('.chart')].every(chart => chart.querySelector('.main-svg'))"
FIRST_CHART_SECONDS = 2.0


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    return write(write_search(tmp_path_factory.mktemp("browser") / "many", 200))


@pytest.fixture
def opened(browser, report):
    """A function that opens the page and waits for all its charts; what was said and asked for is on the page object."""
    pages = []

    def open_page(scheme="light", width=1100):
        page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
        page.said, page.asked = [], []
        page.on("console", lambda message: page.said.append(message.text))
        page.on("pageerror", lambda error: page.said.append(str(error)))
        page.on("request", lambda request: page.asked.append(request.url))
        page.goto(report.as_uri())
        page.wait_for_function(DRAWN)
        pages.append(page)
        return page

    yield open_page
    for page in pages:
        page.close()


def test_every_chart_is_drawn_and_nothing_is_loaded_or_said(opened, report):
    page = opened()
    assert page.locator(".chart").count() == page.locator(".chart .plot-container").count() > 10
    assert page.asked == [report.as_uri()] and page.said == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(opened, scheme):
    found = axe.Axe().run(opened(scheme)).response["violations"]
    assert [one["id"] for one in found if one["impact"] in ("serious", "critical")] == []


def test_the_theme_is_changed_by_click_and_keyboard(opened):
    page = opened()
    ground = "getComputedStyle(document.body).backgroundColor"
    text = "getComputedStyle(document.querySelector('#curves .xtitle')).fill"
    light = page.evaluate(ground), page.evaluate(text)
    button = page.get_by_role("button", name="Dark theme")
    button.click()
    dark = page.evaluate(ground), page.evaluate(text)
    assert dark[0] != light[0] and dark[1] != light[1] and button.get_attribute("aria-pressed") == "true"
    button.focus()
    page.keyboard.press("Enter")
    assert (page.evaluate(ground), page.evaluate(text)) == light


def test_a_phone_scrolls_in_one_direction(opened):
    assert opened(width=390).evaluate("document.documentElement.scrollWidth") == 390


def test_a_chart_is_there_two_seconds_after_the_page(opened):
    page = opened()
    ready = "performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd"
    seconds = page.evaluate(f"performance.getEntriesByName('first-chart')[0].startTime - {ready}") / 1000
    print(f"first chart {seconds:.2f} s after DOMContentLoaded")
    assert seconds < FIRST_CHART_SECONDS


def test_it_prints(opened):
    pdf = opened("dark").pdf(format="A4")
    assert pdf.startswith(b"%PDF") and 3 <= pdf.count(b"/Type /Page\n") + pdf.count(b"/Type /Page ") <= 40
