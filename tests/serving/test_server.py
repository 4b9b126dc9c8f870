"""The server's answers are those of the model, for any number of clients; what it refuses it says why."""

from __future__ import annotations

import asyncio
import base64
import json

import numpy as np
import pytest
from picturefiles import encoded, noise
from servingmodels import text_classifier
from tiny import CONFIGS, build

from logitmix_hf.serving.classifier import load_classifier

pytest.importorskip("fastapi", reason="the extra serve is not installed")
httpx = pytest.importorskip("httpx")
server = pytest.importorskip("logitmix_hf.serving.server")
Limits, make_app = server.Limits, server.make_app


TEXTS = ["good film", "bad meal is not good", "the film was very poor", "fine"]


@pytest.fixture(scope="module")
def classifier(tiny_model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    text_classifier(folder, tiny_model, build(CONFIGS["bert"]))
    return load_classifier(str(folder), device="cpu")


def ask(app, *calls, headers=None):
    """The responses of several requests at once; a call is (method, path, options)."""

    async def all_of_them():
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000", headers=headers) as client:
            return await asyncio.gather(*(client.request(method, path, **options) for method, path, options in calls))

    return asyncio.run(all_of_them())


def post(app, **body):
    sent = {"content": json.dumps(body), "headers": {"content-type": "application/json"}}
    return ask(app, ("POST", "/predict", sent))[0]


def test_answers_are_those_of_the_model_however_requests_fall_together(classifier):
    app = make_app(classifier, batch_size=3)
    lists = [TEXTS, TEXTS[:1], TEXTS[1:], TEXTS[::-1]] * 5
    told = ask(app, *(("POST", "/predict", {"json": {"inputs": some, "probabilities": True}}) for some in lists))
    for some, response in zip(lists, told, strict=True):
        assert response.status_code == 200
        expected = np.concatenate([classifier.probabilities([text]) for text in some])
        found = [[row[f"p_{name}"] for name in classifier.label_names] for row in response.json()]
        assert np.array(found) == pytest.approx(expected, abs=1e-6)
        assert [row["label"] for row in response.json()] == [
            classifier.label_names[number] for number in expected.argmax(1)
        ]


def test_health_info_and_options(classifier):
    app = make_app(classifier)
    health, info = ask(app, ("GET", "/health", {}), ("GET", "/info", {}))
    assert health.json() == {"status": "ok", "waiting": 0}
    assert info.json()["labels"] == list(classifier.label_names)
    assert post(app, inputs="good film").json()[0]["index"] == 0
    two = post(app, inputs=TEXTS[:1], top_k=2).json()[0]
    assert two["probability"] >= two["probability_2"]
    assert post(app, inputs=TEXTS[:1], abstain_below=1.0).json()[0]["label"] is None


BAD = {
    "no inputs": ({}, 422, '"inputs"'),
    "empty": ({"inputs": []}, 422, "1 to 8 rows"),
    "too many": ({"inputs": TEXTS * 3}, 413, "got 12"),
    "a number": ({"inputs": [3]}, 422, "row 0"),
    "none": ({"inputs": ["a", None]}, 422, "row 1"),
    "three texts": ({"inputs": [["a", "b", "c"]]}, 422, "row 0"),
    "unknown": ({"inputs": ["a"], "topk": 1}, 422, "'topk'"),
    "top_k": ({"inputs": ["a"], "top_k": 0}, 422, "top_k"),
    "top_k beyond floats": ({"inputs": ["a"], "top_k": 10**400}, 422, "top_k"),
    "top_k of words": ({"inputs": ["a"], "top_k": "two"}, 422, "top_k"),
    "top_k true": ({"inputs": ["a"], "top_k": True}, 422, "top_k"),
    "threshold": ({"inputs": ["a"], "threshold": 0.5}, 422, "threshold"),
    "half a pair": ({"inputs": ["\ud800"]}, 422, "row 0"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_wrong_is_said_in_one_line(name, classifier):
    body, status, said = BAD[name]
    response = post(make_app(classifier, limits=Limits(rows=8)), **body)
    assert (response.status_code, "\n" in response.json()["error"]) == (status, False)
    assert said in response.json()["error"]


def test_bodies_that_are_none(classifier):
    app = make_app(classifier, limits=Limits(body=200))
    json_type = {"content-type": "application/json"}
    kinds = [
        ({"content": b"{", "headers": json_type}, 400),
        ({"content": b'{"inputs": ["a"]}', "headers": {"content-type": "text/plain"}}, 415),
        ({"content": b"x" * 201, "headers": json_type}, 413),
        ({"content": b"[" * 190, "headers": json_type}, 400),
        ({"content": b"[]", "headers": json_type}, 422),
    ]
    responses = ask(app, *(("POST", "/predict", options) for options, _ in kinds))
    assert [response.status_code for response in responses] == [status for _, status in kinds]


def test_another_address_or_verb_is_told_what_there_is(classifier):
    for response, status in zip(
        ask(make_app(classifier), ("GET", "/predict", {}), ("POST", "/predct", {})), (405, 404), strict=True
    ):
        assert response.status_code == status
        assert "there are POST /predict, GET /info" in response.json()["error"]


def test_a_name_that_was_turned_to_this_machine_gets_nothing(classifier):
    elsewhere = {"host": "evil.example"}
    assert ask(make_app(classifier), ("GET", "/info", {"headers": elsewhere}))[0].status_code == 400
    assert ask(make_app(classifier, host="0.0.0.0"), ("GET", "/info", {"headers": elsewhere}))[0].status_code == 200


def test_more_rows_than_may_wait_are_refused_and_the_others_answered(classifier):
    app = make_app(classifier, batch_size=1, limits=Limits(waiting=8))
    told = ask(app, *(("POST", "/predict", {"json": {"inputs": TEXTS}}) for _ in range(8)))
    codes = {response.status_code for response in told}
    assert codes == {200, 503}
    assert all(response.headers["retry-after"] for response in told if response.status_code == 503)
    assert post(app, inputs=TEXTS).status_code == 200


def test_a_model_that_fails_fails_its_requests_alone(classifier, monkeypatch):
    app, broken = make_app(classifier), [True]
    forward = type(classifier).forward

    def once(self, *args, **options):
        if broken:
            broken.clear()
            raise RuntimeError("out of memory")
        return forward(self, *args, **options)

    monkeypatch.setattr(type(classifier), "forward", once)
    response = post(app, inputs=TEXTS)
    assert (response.status_code, response.json()) == (500, {"error": "The model failed: out of memory."})
    assert post(app, inputs=TEXTS).status_code == 200


def test_images_and_one_that_is_broken(tmp_path):
    from visionrun import tiny_resnet

    folder = tiny_resnet(tmp_path / "model")
    classifier = load_classifier(str(folder), device="cpu")
    files = [encoded(noise(32, 32, seed=seed)) for seed in range(3)]
    inputs = [base64.b64encode(file).decode() for file in files]
    inputs[1] = "data:image/png;base64," + base64.b64encode(files[1][:60]).decode()
    told = post(make_app(classifier), inputs=inputs, probabilities=True).json()
    assert "error" in told[1]
    assert "label" in told[0]
    lines = "data:image/png;base64," + base64.encodebytes(files[0]).decode().replace("\n", "\r\n")  # as mails have it
    (again,) = post(make_app(classifier), inputs=[lines], probabilities=True).json()
    assert again == pytest.approx(told[0], abs=1e-6)
    refused = post(make_app(classifier), inputs=["https://example.org/cat.png"])
    assert refused.status_code == 422
    assert "base64 is needed (no address, no path), got 'https://example.org/cat.png'" in refused.json()["error"]


def test_labels_of_one_name_have_no_columns_of_their_own(classifier):
    from dataclasses import replace

    app = make_app(replace(classifier, label_names=("a", "b", "a")))
    refused = post(app, inputs=["fine"], probabilities=True)
    assert refused.status_code == 422
    assert "several labels 'a'" in refused.json()["error"]
    assert post(app, inputs=["fine"]).status_code == 200


def test_the_page_answers_by_the_thresholds_as_requests_are(classifier):
    """Where yes begins at a tenth: the likelier label is not the answer."""
    from dataclasses import replace

    from logitmix_hf.evaluation.thresholds import Thresholds
    from logitmix_hf.serving.page import asked

    two = replace(classifier, label_names=("no", "yes"), thresholds=Thresholds({"yes": 0.1}, "label"))
    object.__setattr__(two, "forward", lambda prepared, calibrated=True: np.array([[1.0, 0.0]], np.float32))
    said, p = asked(two, "good film")
    assert said == "yes"
    assert p["no"] == pytest.approx(1 / (1 + np.exp(-1)))
    assert post(make_app(two), inputs=["good film"]).json()[0]["label"] == said
    assert asked(two, "") == ("", {})
