"""A push that is cut off, or that the Hub does not take at once: what is sent again, how often, and what is said."""

from __future__ import annotations

import hashlib

import pytest
from hubclient import httpx
from loopback_hub import LoopbackHub
from pushing import PUBLIC, TOKEN, plain_client, run_folder  # noqa: F401  (fixtures)

from logitmix_hf.reporting.hub import OutOfReach, PushFailed, check_access, push_run
from logitmix_hf.reporting.retry import retried

BLOBS = {
    hashlib.sha256(PUBLIC[name]).hexdigest() for name in PUBLIC if name.endswith((".safetensors", ".parquet", ".png"))
}


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    """The client's own pauses between the tries of an upload are seconds long."""
    monkeypatch.setattr("time.sleep", lambda _: None)


def pushed(run, hub, said=None, **options):
    say = (lambda line: None) if said is None else said.append
    return push_run(run, "ada/rte", TOKEN, endpoint=hub.endpoint, say=say, **options)


def puts(hub):
    return [request.split("/")[-1] for request in hub.requests if request.startswith("PUT")]


def test_what_arrived_before_the_cut_is_not_sent_again(run):
    with LoopbackHub(faults={"/commit/": [403]}) as hub:
        with pytest.raises(PushFailed):
            pushed(run, hub)
        assert set(puts(hub)) == BLOBS
        assert hub.repos["ada/rte"]["main"] == {}  # nothing half way
        hub.requests.clear()
        pushed(run, hub)
        assert puts(hub) == []
        assert hub.repos["ada/rte"]["main"].keys() == PUBLIC.keys()


def test_a_second_push_sends_only_what_changed(run):
    said = []
    with LoopbackHub() as hub:
        pushed(run, hub)
        hub.requests.clear()
        pushed(run, hub, said)
        assert said == []
        assert not any("/commit/" in request or request.startswith("PUT") for request in hub.requests)
        (run / "eval_results.json").write_bytes(b'{"eval_accuracy": 1.0}')
        (run / "model.safetensors").write_bytes(b"WEIGHTS")  # as long as before
        pushed(run, hub, said)
        assert sorted(hub.committed[-1]) == ["eval_results.json", "model.safetensors"]
        assert puts(hub) == [hashlib.sha256(b"WEIGHTS").hexdigest()]
        assert hub.repos["ada/rte"]["main"]["eval_results.json"] == b'{"eval_accuracy": 1.0}'


@pytest.mark.parametrize(
    ("part", "faults", "says"),
    [
        ("/commit/", [500, 429, 504], ["HTTP 500", "HTTP 429", "HTTP 504"]),
        ("/commit/", ["drop", 503], ["disconnected", "HTTP 503"]),
        ("validate-yaml", ["page"], ["not JSON"]),
        ("PUT", [503, 503, 503, 503], ["an upload: HTTP 503"] * 4),
        ("PUT", ["drop"], ["an upload: "]),
        ("/preupload/", [503], ["a request: HTTP 503"]),
    ],
)
def test_trouble_that_passes_is_one_line_a_try(run, part, faults, says):
    said = []
    with LoopbackHub(faults={part: faults}) as hub:
        pushed(run, hub, said)
        assert hub.repos["ada/rte"]["main"].keys() == PUBLIC.keys()
        assert hub.faults[part] == []
    assert len(said) == len(says)
    for line, part_of_it in zip(said, says, strict=True):
        assert part_of_it in line
        assert " in " in line
        assert "\n" not in line


def test_a_commit_whose_answer_was_lost_is_not_made_twice(run):
    with LoopbackHub(faults={"/commit/": ["lost"]}) as hub:
        pushed(run, hub)
        assert sum("/commit/" in request for request in hub.requests) == 1
        assert hub.repos["ada/rte"]["main"].keys() == PUBLIC.keys()


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413])
def test_a_refusal_is_not_tried_again(run, status):
    with LoopbackHub(faults={"/commit/": [status] * 9}) as hub:
        with pytest.raises(PushFailed, match=f"HTTP {status}"):
            pushed(run, hub)
        assert sum("/commit/" in request for request in hub.requests) == 1


def test_it_is_given_up(run):
    with LoopbackHub(faults={"/commit/": [503] * 9}) as hub:
        with pytest.raises(PushFailed, match="HTTP 503"):
            pushed(run, hub)
        assert sum("/commit/" in request for request in hub.requests) == 5


def test_what_the_server_asks_for_is_waited(monkeypatch):
    from huggingface_hub.errors import HfHubHTTPError

    waited = []
    monkeypatch.setattr("time.sleep", waited.append)

    answer = httpx.Response(429, headers={"Retry-After": "7"}, request=httpx.Request("GET", "http://127.0.0.1"))

    def call():
        if len(waited) < 2:
            raise HfHubHTTPError("too many", response=answer)
        return "done"

    assert retried(call) == "done"
    assert waited == [7, 14]


def test_a_hub_with_trouble_is_no_mistake_of_the_user():
    with LoopbackHub(faults={"auth-check": [503] * 9}) as hub, pytest.raises(OutOfReach, match="HTTP 503") as caught:
        check_access("mine", TOKEN, endpoint=hub.endpoint, undone="Nothing was pushed")
    assert str(caught.value).endswith("Nothing was pushed.")
