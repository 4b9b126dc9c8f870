"""The page in a real browser: it loads without a complaint, sorts, draws, fits a phone, and can be read in the dark."""

from __future__ import annotations

import os
import re
import shutil
import time

import pytest
from reportruns import write_multi, write_regression, write_run

from logitmix_hf.reporting.comparison.runs import find_runs
from logitmix_hf.reporting.comparison.scores import Options
from logitmix_hf.reporting.pages.page import write_report

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright, of the extra dev, is not installed")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here (Debian: apt install chromium)")

EVIL = "<img src=x onerror=\"document.title='taken'\">"


@pytest.fixture(scope="module")
def address(tmp_path_factory) -> str:
    home = tmp_path_factory.mktemp("runs")
    runs = [write_run(home / f"vanilla-s{seed}", seed=seed) for seed in (1, 2)]
    runs += [write_run(home / "logitmix", method="logitmix")]
    runs += [write_run(home / "a-run-with-quite-a-long-name-that-goes-on-and-on", method=EVIL, seed=3)]
    runs += [write_multi(home / "multi"), write_regression(home / "number")]
    found = find_runs(runs)
    found.skipped.append((str(home / ("unbroken" * 12)), "it is not finished"))
    write_report(found, home / "report", Options(resamples=100))
    return (home / "report" / "report.html").as_uri()


@pytest.fixture(scope="module")
def opened(address):
    """The page after one start of the browser, beside all that it complained of and all that it asked for."""
    with sync_api.sync_playwright() as play:
        arguments = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
        browser = play.chromium.launch(executable_path=CHROMIUM, args=arguments)
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.set_default_timeout(60_000)
        complaints, requests = [], []
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        page.goto(address)
        page.wait_for_selector(".plot svg")
        yield page, complaints, requests
        browser.close()


@pytest.fixture
def page(opened):
    found = opened[0]
    found.set_viewport_size({"width": 1280, "height": 900})
    found.emulate_media(media="screen", color_scheme="light")
    found.evaluate("window.scrollTo({top: 0, behavior: 'instant'})")
    return found


def until(page, condition: str, argument=None) -> None:
    """Wait until it holds. Playwright's own wait evaluates text inside the page, which the page's policy forbids."""
    ends = time.monotonic() + 60
    while not page.evaluate(condition, argument):
        assert time.monotonic() < ends, f"never held: {condition}"
        page.wait_for_timeout(20)


SHOWN = "[...document.querySelectorAll('.plot')].filter(p => !p.closest('details:not([open])'))"


def draw_all(page) -> None:
    """Come near every picture that is not folded away."""
    for number in range(page.evaluate(f"{SHOWN}.length")):
        page.evaluate(f"n => {SHOWN}[n].scrollIntoView({{behavior: 'instant'}})", number)
        until(page, f"n => {SHOWN}[n].querySelector('svg.main-svg') !== null", number)


def contrast(one: str, other: str) -> float:
    """WCAG 2.2's ratio of two colours as the browser computes them, rgb(…)."""

    def luminance(colour: str) -> float:
        parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_it_loads_without_a_complaint_and_asks_for_nothing_but_itself(opened, address):
    page, complaints, requests = opened
    draw_all(page)
    assert complaints == []
    assert requests == [address]
    assert "taken" not in page.title()
    assert page.query_selector_all("img") == []


def test_every_picture_is_there_with_what_it_shows(page):
    draw_all(page)
    drawn = page.evaluate(
        SHOWN
        + """.map(p => [p.getAttribute('aria-label'),
                        p.querySelectorAll('.point path, .scatterlayer path').length])"""
    )
    assert len(drawn) == 21
    assert all(count > 0 and words for words, count in drawn), drawn
    assert sum(words.startswith("Reliability") for words, _ in drawn) == 8


def test_pictures_tell_their_values_under_the_mouse(page):
    place = page.query_selector(".plot[aria-label^=Reliability]")
    place.scroll_into_view_if_needed()
    until(page, "p => p.querySelector('svg')", place)
    box = place.bounding_box()
    page.mouse.move(box["x"] + 0.8 * box["width"], box["y"] + 0.3 * box["height"])
    page.mouse.move(box["x"] + 0.8 * box["width"] + 2, box["y"] + 0.3 * box["height"])
    page.wait_for_selector(".hovertext")
    text = page.text_content(".hovertext")
    assert re.search(r"accuracy 0\.\d{3} \[\d\.\d{3}, \d\.\d{3}\]", text), text


def order(page, column: int) -> list[str]:
    return page.evaluate(
        "c => [...document.querySelector('table.sortable').tBodies[0].rows].map(r => r.children[c].dataset.value)",
        column,
    )


def test_tables_sort_by_mouse_and_by_keyboard_and_say_so(page):
    heads = page.query_selector_all("#task-1 ~ .scroll:first-of-type thead tr:last-child th")
    names = [head.inner_text().strip() for head in heads]
    accuracy, ece = names.index("accuracy"), names.index("ECE")
    heads[accuracy].query_selector("button").click()
    found = [float(value) for value in order(page, accuracy)]
    assert found == sorted(found, reverse=True)  # of what should be high, the highest first
    assert heads[accuracy].get_attribute("aria-sort") == "descending"
    heads[ece].query_selector("button").focus()
    for key, way in (("Enter", "ascending"), (" ", "descending")):
        page.keyboard.press(key)
        found = [float(value) for value in order(page, ece)]
        assert found == sorted(found, reverse=way == "descending")
        assert heads[ece].get_attribute("aria-sort") == way
    assert heads[accuracy].get_attribute("aria-sort") is None
    heads[0].query_selector("button").click()
    assert order(page, 0)[0].startswith("<img")  # names as text, in their order


def test_nothing_overflows_on_a_phone(page):
    page.set_viewport_size({"width": 390, "height": 844})
    draw_all(page)
    page.evaluate("document.querySelectorAll('details').forEach(part => { part.open = true; })")
    until(page, "[...document.querySelectorAll('.plot svg.main-svg')].every(s => s.clientWidth <= 390)")
    wide = page.evaluate(
        """[...document.querySelectorAll('body *')].filter(e => !e.closest('.scroll, .plot, script'))
           .filter(e => e.getBoundingClientRect().right > 390.5).map(e => e.outerHTML.slice(0, 90))"""
    )
    page.evaluate("document.querySelectorAll('details').forEach(part => { part.open = false; })")
    assert wide == []
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    # What is wider than the page scrolls inside its own frame, which the keyboard reaches.
    assert page.evaluate("[...document.querySelectorAll('.scroll')].every(s => s.tabIndex === 0)")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_and_pictures_can_be_read(page, scheme):
    """WCAG AA: 4.5 for text, 3 for what is drawn."""
    page.emulate_media(media="screen", color_scheme=scheme)
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (contrast(paper, "rgb(0, 0, 0)") > 10) == (scheme == "light")
    for words in ("body", ".made", "a", "summary", "td small", "figcaption"):
        colour = page.evaluate("s => getComputedStyle(document.querySelector(s)).color", words)
        assert contrast(colour, paper) >= 4.5, words
    until(page, "p => getComputedStyle(document.body).backgroundColor === p", paper)
    axis = page.evaluate("getComputedStyle(document.querySelector('.plot .xtick text')).fill")
    assert contrast(axis, paper) >= 4.5
    drawn = "[...document.querySelectorAll('.plot .scatterlayer .point')].map(e => getComputedStyle(e).fill)"
    points = {colour for colour in page.evaluate(drawn) if colour.startswith("rgb(")}
    assert points
    assert all(contrast(colour, paper) >= 3 for colour in points), points


def test_paper_is_white_and_shows_what_is_folded(page):
    page.emulate_media(media="print", color_scheme="dark")
    until(page, "document.documentElement.classList.contains('paper')")
    shown = page.evaluate(
        """({ paper: getComputedStyle(document.body).backgroundColor,
              folded: document.querySelectorAll('details:not([open])').length,
              missing: [...document.querySelectorAll('.plot')].filter(p => !p.querySelector('svg.main-svg')).length,
              wide: Math.max(...[...document.querySelectorAll('table, .plot')].map(e => e.getBoundingClientRect().right)) })"""
    )
    page.emulate_media(media="screen", color_scheme="light")
    until(page, "!document.documentElement.classList.contains('paper')")
    assert shown["paper"] == "rgb(255, 255, 255)"
    assert (shown["folded"], shown["missing"]) == (0, 0)
    assert page.query_selector_all("details[open]") == []
