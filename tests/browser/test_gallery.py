"""The gallery as a person meets it: by mouse, by keyboard, in light and dark, on a phone."""

import numpy as np
import pytest

from search.answers import Answers
from search.gallery_page import AnsweredSet, Model, as_html, as_page
from vpr.datasets import read_retrieval_set
from vpr.recall import first_hits

axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
MODELS = [Model("trial 3, seed 1", "ntxent · lr 0.02"), Model("trial 1, seed 1", "circle · lr 0.0025")]


def answered(folder, name):
    """A set that two models answer by the true distance and an error of their own."""
    pictures = read_retrieval_set(folder)
    metres = np.linalg.norm(pictures.query_utm[:, None] - pictures.database_utm, axis=2)
    rankings = [np.argsort(metres + np.random.default_rng(seed).normal(0, 30, metres.shape), axis=1) for seed in (0, 1)]
    right = pictures.positives(25)
    return AnsweredSet(
        name, folder, pictures, [Answers(first_hits(ranked[:, :20], right), ranked[:, :5], 25.0) for ranked in rankings]
    )


@pytest.fixture(scope="module")
def file(city, tmp_path_factory):
    sets = [answered(city / "sf_xs/val", "val"), answered(city / "tokyo_xs/test", "svox/night")]
    file = tmp_path_factory.mktemp("page") / "gallery.html"
    file.write_text(as_page("a search", as_html(MODELS, sets, 2**20)), encoding="utf-8")
    return file


@pytest.fixture(params=[(1100, "light"), (1100, "dark"), (390, "light")], ids=["light", "dark", "phone"])
def page(browser, file, request):
    width, scheme = request.param
    context = browser.new_context(viewport={"width": width, "height": 844}, color_scheme=scheme)
    page = context.new_page()
    faults = []
    page.on("console", lambda message: faults.append(message.text))
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("request", lambda asked: asked.url.startswith(("file:", "data:")) or faults.append(asked.url))
    page.goto(file.as_uri())
    yield page
    assert not faults
    context.close()


def kinds(page):
    return set(page.locator("#gallery .outcome").all_text_contents())


def test_filters_by_mouse_and_keyboard(page):
    won, everything = page.get_by_role("button", name="won"), page.get_by_role("button", name="all").first
    assert everything.get_attribute("aria-pressed") == "true"
    differ = [text in ("won", "lost") for text in page.locator("#gallery .outcome").all_text_contents()]
    assert differ == sorted(differ, reverse=True) and differ[0], "those on which the models differ come first"
    won.click()
    assert won.get_attribute("aria-pressed") == "true" and kinds(page) == {"won"}
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent").startswith("lost")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid", "the focus is seen"
    page.keyboard.press("Enter")
    assert kinds(page) == {"lost"} and won.get_attribute("aria-pressed") == "false"
    page.get_by_role("button", name="both right").press("Space")
    assert kinds(page) == {"both right"}
    everything.click()
    page.get_by_role("button", name="night").last.click()
    assert {"svox/night" in text for text in page.locator("#gallery .query figcaption").all_text_contents()} == {True}
    count = page.get_by_role("button", name="both wrong").locator(".count").inner_text()
    page.get_by_role("button", name="both wrong").click()
    assert page.get_by_role("status").inner_text() in (
        f"{count} of {count} queries shown",
        f"12 of {count} queries shown",
        "No query here is like this; choose another filter",
    )


def test_more_are_shown_on_demand_and_the_focus_follows(page):
    assert page.locator("#gallery .row").count() == 12
    more = page.get_by_role("button", name="Show 12 more")
    more.press("Enter")
    assert page.locator("#gallery .row").count() == 24
    assert page.evaluate("[...document.querySelectorAll('#gallery .row')].indexOf(document.activeElement)") == 12
    assert page.get_by_role("status").inner_text().startswith("24 of ")


def test_right_and_wrong_differ_in_more_than_colour(page):
    for word, style, mark in (("right", "solid", "✓"), ("wrong", "dashed", "✗")):
        one = page.locator(f"#gallery .nearest .{word}").first
        one.scroll_into_view_if_needed()
        assert one.locator(".frame").evaluate("element => getComputedStyle(element).borderTopStyle") == style
        assert one.locator(".mark").inner_text() == mark
        alt = one.locator("img").get_attribute("alt")
        assert alt.startswith("database picture, ") and " m" in alt and alt.endswith(f"of the query, {word}")
        assert one.locator("img").evaluate("element => element.decode().then(() => element.naturalWidth)") > 100


def test_no_page_scrolls_sideways_and_axe_finds_nothing_serious(page):
    page.get_by_role("button", name="Show 12 more").click()
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    for _ in range(2):
        found = axe.Axe().run(page).response["violations"]
        assert [one["id"] for one in found if one["impact"] in ("serious", "critical")] == []
        page.locator("#theme").click()
