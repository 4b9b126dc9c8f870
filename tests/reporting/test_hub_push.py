"""Pushing over HTTP to a Hub on the loopback interface."""

from __future__ import annotations

import hashlib
import socket
from types import SimpleNamespace

import pytest
from loopback_hub import LoopbackHub
from pushing import PUBLIC, TOKEN, plain_client, run_folder  # noqa: F401  (fixtures)

from logitmix_hf.errors import UserError
from logitmix_hf.reporting.folder import RunFolder
from logitmix_hf.reporting.hub import HubOptions, OutOfReach, PushFailed, check_access, push_run, strategy_note


def test_access_makes_the_repository_and_gives_its_full_name():
    with LoopbackHub() as hub:
        assert check_access("mine", TOKEN, private=True, endpoint=hub.endpoint) == "ada/mine"
        assert hub.private == {"ada/mine": True}
        assert check_access("ada/mine", TOKEN, endpoint=hub.endpoint) == "ada/mine"


@pytest.mark.parametrize(
    ("repo", "token", "options", "says"),
    [
        ("mine", None, {}, "hf auth login"),
        ("mine", "hf_wrong_token", {}, "does not accept the token"),
        ("mine", TOKEN, {"role": "read"}, "may only read"),
        ("bob/new", TOKEN, {}, "may not write to 'bob/new'"),
        ("bob/his", TOKEN, {"read_only": ["bob/his"]}, "may not write to 'bob/his'"),
        ("not a name", TOKEN, {}, "cannot be the name"),
    ],
)
def test_what_would_fail_at_the_end_is_told_before_training(repo, token, options, says):
    with LoopbackHub(**options) as hub, pytest.raises(UserError) as caught:
        check_access(repo, token, endpoint=hub.endpoint)
    message = str(caught.value)
    assert says in message
    assert "\n" not in message
    assert TOKEN not in message
    assert "hf_wrong_token" not in message


def test_a_hub_out_of_reach_is_told_in_one_line(monkeypatch):
    monkeypatch.setattr("time.sleep", lambda _: None)
    with socket.socket() as listener:  # a port that nobody serves
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    with pytest.raises(OutOfReach, match="cannot be reached") as caught:
        check_access("mine", TOKEN, endpoint=f"http://127.0.0.1:{port}")
    assert "\n" not in str(caught.value)


def test_a_push_brings_exactly_the_public_files(run):
    with LoopbackHub() as hub:
        assert push_run(run, "ada/rte", TOKEN, endpoint=hub.endpoint) == f"{hub.endpoint}/ada/rte"
        pushed = hub.repos["ada/rte"]["main"]
    assert pushed.keys() == PUBLIC.keys()
    assert {name: data for name, data in pushed.items() if name != "README.md"} == {
        name: data for name, data in PUBLIC.items() if name != "README.md"
    }
    assert not any(TOKEN.encode() in data for data in pushed.values())
    # At home the card loads from the folder, on the Hub from the repository.
    assert b'model="ada/rte"' in pushed["README.md"]
    assert b'model="runs/x"' in (run / "README.md").read_bytes()


def test_a_revision_gets_its_own_branch(run):
    with LoopbackHub() as hub:
        push_run(run, "ada/rte", TOKEN, revision="try/2", private=True, endpoint=hub.endpoint)
        assert hub.private["ada/rte"]
        assert hub.repos["ada/rte"]["main"] == {}
        assert hub.repos["ada/rte"]["try/2"].keys() == PUBLIC.keys()


def test_a_commit_that_the_server_fails_is_tried_again(run, monkeypatch):
    monkeypatch.setattr("time.sleep", lambda _: None)
    for path in run.rglob("*"):  # large files the client tries again itself, seconds apart
        if path.suffix in (".parquet", ".png") or path.name == "adapter_model.safetensors":
            path.unlink()
    with LoopbackHub() as hub:
        digest = hashlib.sha256(b"weights").hexdigest()
        hub.blobs[digest] = b"weights"
        hub.fail_uploads = 3
        push_run(run, "ada/rte", TOKEN, endpoint=hub.endpoint)
        assert hub.fail_uploads == 0
        assert "model.safetensors" in hub.repos["ada/rte"]["main"]
        assert sum("/commit/" in request for request in hub.requests) == 4


@pytest.mark.parametrize("large", [False, True])
def test_a_push_that_fails_says_how_to_push_later(run, large, monkeypatch):
    monkeypatch.setattr("time.sleep", lambda _: None)
    with LoopbackHub() as hub:
        if not large:  # all large files are there already: it is the commit that fails
            for data in PUBLIC.values():
                hub.blobs[hashlib.sha256(data).hexdigest()] = data
        hub.fail_uploads = 1000
        with pytest.raises(PushFailed) as caught:
            push_run(run, "ada/rte", TOKEN, revision="two", endpoint=hub.endpoint)
        assert hub.repos["ada/rte"]["two"] == {}
    assert caught.value.command == f"logitmix push {run} --hub_model_id ada/rte --hub_revision two"
    assert caught.value.command in str(caught.value)
    assert "503" in str(caught.value)
    assert TOKEN not in str(caught.value)


def test_a_token_refused_at_the_end_is_not_repeated_in_the_message(run):
    with LoopbackHub() as hub, pytest.raises(PushFailed) as caught:
        push_run(run, "ada/rte", "hf_other", endpoint=hub.endpoint)
    assert "401" in str(caught.value)
    assert "hf_other" not in str(caught.value)


def test_a_folder_without_a_model_is_a_mistake(tmp_path):
    with pytest.raises(UserError, match="no model"):
        push_run(tmp_path, "ada/rte", TOKEN)


def test_options_come_from_training_arguments():
    from transformers import TrainingArguments

    args = TrainingArguments(
        hub_model_id="ada/rte", hub_token="hf_secret", hub_private_repo=True, hub_revision="two", use_cpu=True
    )
    options = HubOptions.from_arguments(args)
    assert options == HubOptions("ada/rte", "hf_secret", True, "two")
    assert "hf_secret" not in repr(options)
    assert strategy_note(args) is None
    note = strategy_note(SimpleNamespace(hub_strategy="all_checkpoints"))
    assert note is not None
    assert "all_checkpoints" in note


def test_files_lists_what_goes_out(run):
    assert RunFolder(run).files() == sorted(PUBLIC)
