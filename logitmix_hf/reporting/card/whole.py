"""The model card: what the model is, how it was trained, whether its confidence can be believed, and its limits."""

from __future__ import annotations

from typing import Any

from logitmix_hf.reporting.card.confidence import coverage, temperature
from logitmix_hf.reporting.card.facts import Facts, Record
from logitmix_hf.reporting.card.limits import citation, limits
from logitmix_hf.reporting.card.metadata import metadata
from logitmix_hf.reporting.card.scores import results as results_section
from logitmix_hf.reporting.card.training import hardware, training
from logitmix_hf.reporting.card.use import intended, out_of_scope, use, what
from logitmix_hf.reporting.redact import scrub

SECTIONS = {
    "Use": use,
    "Intended use": intended,
    "Out-of-scope use": out_of_scope,
    "Results": results_section,
    "Temperature": temperature,
    "Coverage": coverage,
    "Training": training,
    "Hardware and energy": hardware,
    "Limits": limits,
    "Citation": citation,
}
"""The sections by their headings, in their order; one that has nothing to say is left out."""


def model_card(
    run: Record, results: Record, *, name: str, location: str, method: Record | None = None, **more: Any
) -> str:
    """The card as the text of a README.md, with metadata that the Hub's own classes read back.

    Args:
        run: content of ``run.json``; the table in ``record`` says what is where. ``data.splits`` maps a prefix of the
            results' keys (``eval``, ``eval_mm``) to ``{"split": name, "rows": count}``.
        results: content of ``eval_results.json``; values that are not finite are left out.
        name: of the model, as its title.
        location: what ``pipeline(model=…)`` takes: the Hub id, or the folder.
        method: the method's row as a dict (``name``, ``idea``, ``source``); by default what ``run["method"]`` says.
        more: the other fields of :class:`Facts`: picture, bins, intervals, temperature, predictions, emissions.
    """
    method = {**(run.get("method") or {}), **(method or {})}
    return text_of(Facts(run, results, name, location, method, **more))


def text_of(facts: Facts) -> str:
    """The card of these facts."""
    from huggingface_hub import ModelCard

    parts = [f"# {facts.name}", what(facts)]
    for heading, section in SECTIONS.items():
        if said := section(facts):
            parts += [f"## {heading}", said]
    text = scrub("\n\n".join(part for part in parts if part))
    return str(ModelCard(f"---\n{metadata(facts)}\n---\n\n{text}\n"))
