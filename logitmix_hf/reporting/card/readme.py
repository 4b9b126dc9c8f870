"""README.md of a run folder: the model card, from nothing but what lies there, around what somebody wrote into it."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

from logitmix_hf.errors import UserError
from logitmix_hf.evaluation.predictions import Predictions
from logitmix_hf.methods import METHODS
from logitmix_hf.redact import scrub
from logitmix_hf.reporting.card.edits import is_marked, marked, merged
from logitmix_hf.reporting.card.facts import Facts, Json
from logitmix_hf.reporting.card.metadata import metadata
from logitmix_hf.reporting.card.values import card_values
from logitmix_hf.reporting.emissions import FILE, read_emissions
from logitmix_hf.reporting.folder import RunFolder
from logitmix_hf.reporting.record import read_record
from logitmix_hf.reporting.results import INTERVALS, RESULTS, TESTED

CARD = "README.md"


def model_card(run: Json, results: Json, *, name: str, location: str, method: Json | None = None, **more: Any) -> str:
    """The card as the text of a README.md, with metadata that the Hub's own classes read back.

    Args:
        run: content of ``run.json``; the table in ``record`` says what is where. ``data.splits`` maps a prefix of the
            results' keys (``eval``, ``eval_mm``) to ``{"split": name, "rows": count}``.
        results: content of ``eval_results.json`` and ``test_results.json``; values that are not finite are left out.
        name: of the model, as its title.
        location: what ``pipeline(model=…)`` takes: the Hub id, or the folder.
        method: the method's row as a dict (``name``, ``idea``, ``source``); by default what ``run["method"]`` says.
        more: the other fields of :class:`Facts`: picture, bins, intervals, temperature, predictions, emissions.
    """
    return _text_of(Facts(run, results, name, location, {**(run.get("method") or {}), **(method or {})}, **more))


def write_card(folder: RunFolder, *, overwrite: bool = False) -> tuple[str, ...]:
    """Write README.md; a card that stands there is written again around what somebody wrote into it.

    Args:
        overwrite: replace the card whole.

    Returns:
        The headings of the sections that stayed as somebody had changed them.

    Raises:
        UserError: the card that stands there does not say which of it is ours, and ``overwrite`` is not given; a file is
            missing that every run has, or cannot be read.
    """
    card, path = _text_of(_facts_of(folder)), folder.path / CARD
    if overwrite or not path.exists():
        folder.write_text(CARD, marked(card))
        return ()
    old = path.read_text(encoding="utf-8")
    if not is_marked(old):
        raise UserError(
            f"{str(path)!r} does not say what of it is yours and what was written by logitmix (it is of an older version, "
            "or its last line is gone): copy what is yours, and replace it by --overwrite."
        )
    result = merged(old, card)
    folder.write_text(CARD, result.text)
    return result.kept


def _text_of(facts: Facts) -> str:
    from huggingface_hub import ModelCard

    template = (files("logitmix_hf.reporting.card") / "card.md.j2").read_text(encoding="utf-8")
    card = ModelCard.from_template(metadata(facts), template_str=template, **card_values(facts))
    card.text = scrub(card.text)
    return f"{card}\n"


def _facts_of(folder: RunFolder) -> Facts:
    run = read_record(folder)
    method, splits = run["method"], run["data"]["splits"]
    row = METHODS.get(method.get("name") or "")
    paths = {prefix: folder.path / "predictions" / f"{split.get('split')}.parquet" for prefix, split in splits.items()}
    holds_model = any((folder.path / name).is_file() for name in ("config.json", "adapter_config.json"))
    return Facts(
        run=run,
        results=folder.optional_json(RESULTS) | folder.optional_json(TESTED),
        name=folder.path.resolve().name,
        location=str(folder.path) if holds_model else str(run["model"].get("base")),
        method=method | ({"idea": row.idea, "source": row.source} if row else {}),
        picture=_present(folder, "reliability.png"),
        tempered_picture=_present(folder, "calibration.png"),
        confusion=_present(folder, "confusion.png"),
        bins=run["arguments"].get("bins") or 15,
        intervals=folder.optional_json(INTERVALS),
        temperature=folder.optional_json("config.json").get("logitmix") or {},
        predictions={prefix: Predictions.load(path) for prefix, path in paths.items() if path.is_file()},
        emissions=read_emissions(folder.path / FILE),
    )


def _present(folder: RunFolder, name: str) -> str | None:
    return name if (folder.path / name).is_file() else None
