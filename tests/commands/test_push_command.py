"""``logitmix push RUN`` in this process: how it ends, and what it says last."""

from __future__ import annotations

import os
import signal

import pytest
from cardrun import record, write_run
from huggingface_hub import constants
from loopback_hub import LoopbackHub
from pushing import TOKEN, plain_client  # noqa: F401  (a fixture)

from logitmix_hf.cli import main
from logitmix_hf.reporting import hub as hub_module


@pytest.fixture
def run(tmp_path):
    return write_run(tmp_path / "rte-logitmix")


@pytest.fixture
def to(monkeypatch):
    """Let the client talk to a hub, and wait for nothing."""
    monkeypatch.setattr("time.sleep", lambda _: None)
    return lambda hub: monkeypatch.setattr(constants, "ENDPOINT", hub.endpoint)


def pushed(run, *words):
    return main(["push", str(run), "--hub_token", TOKEN, *words])


def last_line(capsys):
    return capsys.readouterr().err.strip().splitlines()[-1]


def test_benchmark_scores_go_along_when_they_are_asked_for(run, to, capsys):
    with LoopbackHub() as hub:
        to(hub)
        assert pushed(run) == 0
        assert ".eval_results/glue.yaml" not in hub.repos["ada/rte-logitmix"]["main"]
        assert pushed(run, "--eval_results") == 0
        assert b"nyu-mll/glue" in hub.repos["ada/rte-logitmix"]["main"][".eval_results/glue.yaml"]
        assert hub.committed[1] == [".eval_results/glue.yaml"]  # and nothing twice


def test_scores_of_no_benchmark_are_refused_before_anything_is_asked(tmp_path, to, capsys):
    run = write_run(tmp_path / "run", record(data={"kind": "files", "source": "a.csv"}))
    with LoopbackHub() as hub:
        to(hub)
        assert pushed(run, "--eval_results") == 2
        assert hub.requests == []
    assert "'a.csv' came from files" in last_line(capsys)


@pytest.mark.parametrize(
    "faults", [{"whoami": [503] * 9}, {"auth-check": ["page"] * 9}, {"repos/create": ["drop"] * 9}]
)
def test_trouble_of_the_hub_ends_with_3_and_the_command(run, to, capsys, faults):
    with LoopbackHub(faults=faults) as hub:
        to(hub)
        assert pushed(run) == 3
    line = last_line(capsys)
    assert line.startswith(f"error: The Hub at {hub.endpoint} cannot be reached or does not work")
    assert line.endswith(f"Nothing was pushed. Try again with: logitmix push {run} --hub_model_id rte-logitmix")


@pytest.mark.parametrize("faults", [{"/commit/": [503] * 9}, {"PUT": [403] * 9}, {"/preupload/": [400]}])
def test_a_push_that_fails_half_way_ends_with_3_and_the_command(run, to, capsys, faults):
    with LoopbackHub(faults=faults) as hub:
        to(hub)
        assert pushed(run) == 3
        assert hub.repos["ada/rte-logitmix"]["main"] == {}
    line = last_line(capsys)
    assert line.startswith(f"error: The run is saved in '{run}'")
    assert line.endswith(f"logitmix push {run} --hub_model_id ada/rte-logitmix")


@pytest.mark.parametrize("token", ["hf_wrong", "hf_readonly"])
def test_a_token_that_will_not_do_ends_with_2(run, to, capsys, token):
    with LoopbackHub(token="hf_readonly", role="read") as hub:
        to(hub)
        assert main(["push", str(run), "--hub_token", token]) == 2
    line = last_line(capsys)
    assert line.startswith("error: ")
    assert token not in line


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_push_says_how_it_goes_on(run, to, capsys, monkeypatch, number, code):
    monkeypatch.setattr(hub_module, "_commit", lambda *_, **__: os.kill(os.getpid(), number))
    with LoopbackHub() as hub:
        to(hub)
        assert pushed(run) == code
    assert last_line(capsys).endswith(f"Go on with: logitmix push {run} --hub_model_id ada/rte-logitmix")


@pytest.mark.parametrize("flag", ["--hub_model_id", "--hub_token", "--hub_revision"])
@pytest.mark.parametrize("empty", ["", "  "])
def test_an_unset_variable_is_no_wish_for_the_default(run, to, capsys, flag, empty):
    with LoopbackHub() as hub:
        to(hub)
        assert pushed(run, flag, empty) == 2
        assert hub.requests == []
    assert last_line(capsys).startswith(f"error: {flag} is empty")


@pytest.mark.parametrize("who", ["me:s3cret", "s3cret", "me:p@s3cret"])
@pytest.mark.parametrize("faults", [{}, {"whoami": [503] * 9}, {"/commit/": [503] * 9}, {"PUT": [503, "drop"]}])
def test_what_stands_before_the_hub_in_its_address_is_never_said(run, monkeypatch, capfd, who, faults):
    monkeypatch.setattr("time.sleep", lambda _: None)
    with LoopbackHub(faults=faults) as hub:
        monkeypatch.setattr(constants, "ENDPOINT", hub.endpoint.replace("://", f"://{who}@"))
        assert pushed(run) in (0, 2, 3)
    said = capfd.readouterr()
    assert "s3cret" not in said.out + said.err
    assert "***@127.0.0.1" in said.out + said.err
