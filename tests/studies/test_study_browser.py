"""The page of a study in a real browser: no complaint, nothing asked of a network, every picture drawn, wide and narrow."""

from __future__ import annotations

import os
import shutil

import pytest
from tablestudies import write_study

from logitmix_hf.studies.table import write_table

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright, of the extra dev, is not installed")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here (Debian: apt install chromium)")


def test_it_draws_and_fits_a_desk_and_a_phone(tmp_path):
    study = write_study(tmp_path, {"vanilla": 0.6, "a-method-of-a-rather-long-name-indeed": 0.9}, seeds=(1, 2, 3))
    write_table(study, tmp_path / "out", draws=200)
    address, complaints, requests = (tmp_path / "out" / "study.html").as_uri(), [], []
    with sync_api.sync_playwright() as play:
        arguments = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
        browser = play.chromium.launch(executable_path=CHROMIUM, args=arguments)
        page = browser.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        page.set_viewport_size({"width": 1280, "height": 900})
        page.goto(address)
        places = page.query_selector_all(".plot")
        assert len(places) == 10  # differences and ranks, of accuracy, and of NLL and ECE on both sides of T
        for place in places:
            place.scroll_into_view_if_needed()
            place.wait_for_selector("svg.main-svg .point, svg.main-svg .scatterlayer path", state="attached")
        for width in (1280, 390):
            page.set_viewport_size({"width": width, "height": 900})
            assert page.evaluate("document.documentElement.scrollWidth") == width
        browser.close()
    assert complaints == []
    assert set(requests) == {address}
