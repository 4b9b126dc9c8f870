"""A classifier behind HTTP: the answers of ``logitmix predict``, for many clients at once."""

from __future__ import annotations

import base64
import binascii
import json
from asyncio import QueueFull
from dataclasses import dataclass
from typing import Any

import numpy as np
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.middleware.trustedhost import TrustedHostMiddleware

from logitmix_hf.data.rows import not_text
from logitmix_hf.errors import UserError, listed, one_line, say
from logitmix_hf.modality import TEXT
from logitmix_hf.serving.answers import Answers
from logitmix_hf.serving.batches import Batches
from logitmix_hf.serving.classifier import Classifier
from logitmix_hf.serving.inputs import InputRow
from logitmix_hf.version import __version__

OPTIONS = ("top_k", "abstain_below", "threshold", "probabilities")
"""What a request may ask for beside its inputs, as the flags of ``logitmix predict`` of these names."""
LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class Limits:
    """What one request may hold, and how many rows of all may wait. body: bytes."""

    rows: int = 1024
    body: int = 32 * 2**20
    waiting: int = 4096


class _Refused(Exception):
    """A request that is answered with this status and one line."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def make_app(
    classifier: Classifier, batch_size: int = 32, limits: Limits | None = None, host: str = "127.0.0.1"
) -> Any:
    """The application: ``GET /health``, ``GET /info``, ``POST /predict``.

    Args:
        host: where it listens. On the loopback interface only requests that call it so are answered: a page of the web whose
            name was turned towards this machine gets nothing.
    """
    limits = limits or Limits()
    batches = Batches(classifier, batch_size, limits.waiting)
    app = FastAPI(title=f"logitmix: {classifier.name}", version=__version__, docs_url=None, redoc_url=None)
    if host in LOOPBACK:
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost", "[::1]"])

    @app.get("/health")
    async def health() -> dict[str, Any]:
        return {"status": "ok", "waiting": batches.waiting}

    @app.get("/info")
    async def info() -> dict[str, Any]:
        return describe(classifier, limits)

    @app.post("/predict")
    async def predict(request: Request) -> Any:
        try:
            asked = _parsed(await _body(request, limits.body), request.headers.get("content-type", ""))
            values, answers = read_request(asked, classifier, limits)
            return answered(values, await batches.logits(values), answers)
        except _Refused as refused:
            return JSONResponse({"error": str(refused)}, refused.status)
        except QueueFull:
            full = f"{batches.waiting} rows wait already: ask again in a moment."
            return JSONResponse({"error": full}, 503, headers={"Retry-After": "1"})
        except Exception as failed:  # of memory, a device that is gone: the next request may be smaller
            say(f"a request was not answered: {one_line(failed)}")
            return JSONResponse({"error": f"The model failed: {one_line(failed)}."}, 500)

    @app.exception_handler(HTTPException)
    async def elsewhere(request: Request, problem: HTTPException) -> Any:
        known = "POST /predict, GET /info, GET /health"
        return JSONResponse(
            {"error": f"{problem.detail}; there are {known}."}, problem.status_code, headers=problem.headers
        )

    return app


def describe(classifier: Classifier, limits: Limits) -> dict[str, Any]:
    """What a client should know of the classifier and of the limits."""
    known: dict[str, Any] = {
        "model": classifier.name,
        "modality": classifier.modality,
        "problem": classifier.problem,
        "labels": list(classifier.label_names),
        "limits": {"rows": limits.rows, "body": limits.body},
        "version": __version__,
    }
    if classifier.modality == TEXT:
        known |= {"text_columns": list(classifier.columns) or ["text"], "max_length": classifier.max_length}
    return known


def read_request(asked: Any, classifier: Classifier, limits: Limits) -> tuple[list[Any], Answers]:
    """The inputs of a request and how they are to be answered.

    Raises:
        _Refused: with what is wrong.
    """
    if not isinstance(asked, dict) or "inputs" not in asked:
        raise _Refused(422, 'The body must be a JSON object with "inputs", a list.')
    if unknown := sorted(set(asked) - {"inputs", *OPTIONS}):
        raise _Refused(422, f"There is no {listed(unknown)}; known beside inputs: {', '.join(OPTIONS)}.")
    inputs = asked["inputs"]
    rows = inputs if isinstance(inputs, list) else [inputs]
    if not rows or len(rows) > limits.rows:
        raise _Refused(413 if rows else 422, f"inputs must hold 1 to {limits.rows} rows, got {len(rows)}.")
    read = _text if classifier.modality == TEXT else _image
    pairs = len(classifier.columns) or None
    values = [read(value, number, pairs) for number, value in enumerate(rows)]
    options = {name: asked[name] for name in OPTIONS if asked.get(name) is not None}
    for name, value in options.items():
        kind: Any = bool if name == "probabilities" else int if name == "top_k" else (int, float)
        if not isinstance(value, kind) or (isinstance(value, bool) and name != "probabilities"):
            raise _Refused(422, f"{name} cannot be {listed([value])}.")
    each = bool(options.pop("probabilities", False))
    thresholds = classifier.thresholds
    try:
        return values, Answers(classifier.problem, classifier.label_names, each=each, thresholds=thresholds, **options)
    except UserError as mistake:
        raise _Refused(422, str(mistake)) from None


def answered(values: list[Any], logits: list[np.ndarray | str], answers: Answers) -> list[dict[str, Any]]:
    """The answers in the order of the inputs; an input that cannot be read has an ``error`` in its place."""
    told: list[dict[str, Any]] = []
    for number, (value, one) in enumerate(zip(values, logits, strict=True)):
        if isinstance(one, str):
            told.append({"index": number, "error": one})
        else:
            told += answers.of([InputRow(number, "", value)], one[None])
    return told


def _text(value: Any, number: int, columns: int | None) -> Any:
    texts = value if isinstance(value, list) else [value]
    if not 1 <= len(texts) <= 2 or not all(isinstance(text, str) for text in texts):
        raise _Refused(422, f"inputs, row {number}: a text, or a pair of texts as a list of two, is needed.")
    if columns is not None and len(texts) != columns:
        what = "a pair of texts" if columns == 2 else "one text"
        raise _Refused(422, f"inputs, row {number}: the model was trained on {what} a row.")
    if wrong := next((wrong for text in texts if (wrong := not_text(text))), ""):
        raise _Refused(422, f"inputs, row {number}: the text {wrong}.")
    return tuple(texts) if len(texts) == 2 else texts[0]


def _image(value: Any, number: int, columns: int | None) -> bytes:
    """An image file in base64, in one line or many, with or without ``data:image/…;base64,`` in front."""
    try:
        return base64.b64decode("".join((value.partition("base64,")[2] or value).split()), validate=True)
    except (AttributeError, ValueError, binascii.Error):
        needed = f"an image file in base64 is needed (no address, no path), got {listed([value])}"
        raise _Refused(422, f"inputs, row {number}: {needed}.") from None


async def _body(request: Any, most: int) -> bytes:
    """The body, of which no more is held than may come."""
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > most:
            raise _Refused(413, f"The body is larger than {most} bytes: send fewer rows at once.")
        parts.append(part)
    return b"".join(parts)


def _parsed(body: bytes, kind: str) -> Any:
    # A form of another site can send other types, but not this one without being asked first.
    if kind.partition(";")[0].strip().lower() != "application/json":
        raise _Refused(415, "Content-Type must be application/json.")
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise _Refused(400, "The body is no JSON.") from None
