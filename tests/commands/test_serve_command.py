"""The server as its own process, asked over the network, stopped by a signal, and its page in a browser."""

from __future__ import annotations

import importlib.util
import re
import shutil
import signal
import socket
import subprocess
import sys
import time

import pytest
from servingmodels import text_classifier

from logitmix_hf.cli import main as logitmix
from logitmix_hf.serving.classifier import load_classifier

pytest.importorskip("fastapi", reason="the extra serve is not installed")
httpx = pytest.importorskip("httpx")


CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@pytest.fixture(scope="module")
def model(tiny_model, tmp_path_factory) -> str:
    return str(text_classifier(tmp_path_factory.mktemp("served") / "reviews", tiny_model))


@pytest.fixture(scope="module")
def place(model):
    """The address of a server, which ends in order."""
    page = ["--ui"] if importlib.util.find_spec("gradio") else []
    command = [sys.executable, "-m", "logitmix_hf.cli", "serve", model, "--port", "0", "--device", "cpu", *page]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    line = process.stdout.readline()  # type: ignore[union-attr]
    found = re.search(r"http://127\.0\.0\.1:\d+", line)
    assert found, (line, process.poll())
    for _ in range(100):
        try:
            httpx.get(f"{found[0]}/health", timeout=5)
            break
        except httpx.TransportError:
            time.sleep(0.1)
    yield found[0]
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) in (0, 143, -signal.SIGTERM)


def test_it_answers_as_predict_does(model, place):
    told = httpx.post(f"{place}/predict", json={"inputs": ["good film", "bad meal"], "probabilities": True})
    expected = load_classifier(model, device="cpu")
    for row, p in zip(told.json(), expected.probabilities(["good film", "bad meal"]), strict=True):
        assert [row[f"p_{name}"] for name in expected.label_names] == pytest.approx(list(p), abs=1e-6)


def test_one_request_cannot_keep_the_model_for_minutes(place):
    """32 MiB of one text took 117 s of the tokenizer."""
    told = httpx.post(f"{place}/predict", json={"inputs": ["good film " * 500_000]})
    assert told.status_code == 413
    assert "larger than 4194304 bytes" in told.json()["error"]


@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here (Debian: apt install chromium)")
def test_the_page_in_a_browser(model, place, tmp_path):
    pytest.importorskip("gradio")
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page()
        page.goto(f"{place}/ui", wait_until="domcontentloaded")
        page.get_by_label("text").fill("good film")
        page.get_by_role("button", name="Submit").click()
        p = load_classifier(model, device="cpu").probabilities(["good film"])[0]
        page.get_by_text(f"{100 * p.max():.0f}%").first.wait_for(timeout=20_000)
        page.screenshot(path=tmp_path / "page.png")
        browser.close()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "needs a model"),
        (["nowhere/at/all"], "nowhere/at/all"),
        (["m", "--port", "70000"], "port must be"),
        (["m", "--max_rows", "0"], "max_rows must be"),
        (["m", "--hots", "x"], "Did you mean '--host'"),
        (["m", "--host", "no such host"], "cannot be listened on"),
    ],
)
def test_a_mistake_is_one_line(words, said, capsys):
    assert logitmix(["serve", *words]) == 2
    error = capsys.readouterr().err.strip().split("\n")
    assert len(error) == 1
    assert said in error[0]


def test_a_port_that_is_taken(model, capsys):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert logitmix(["serve", model, "--port", str(port)]) == 2
    assert f"--port {port} cannot be listened on" in capsys.readouterr().err
