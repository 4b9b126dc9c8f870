"""Writing a card again without losing what somebody wrote into it.

A card is its metadata and its sections, told apart by their ``## `` headings. A comment at its end, which no reader of
the page sees, says of each section of ours what it looked like when we wrote it. A section that still looks so is ours
to write again; one that was changed, or that we never wrote, is its writer's and stays.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any

from logitmix_hf.errors import UserError
from logitmix_hf.reporting.card.values import quoted

_MARK = re.compile(r"^<!-- written by logitmix_hf: (\{.*\}) -->[ \t]*$", re.MULTILINE)
_METADATA = re.compile(r"\A---[ \t]*\n(.*?)\n---[ \t]*(?:\n|\Z)", re.DOTALL)
_HEAD = ""
"""The key of what stands before the first heading."""
MEASURED = ("model-index", "metrics", "co2_eq_emissions")
"""Metadata that is ours alone; of all else, what stands in the card wins."""


@dataclass(frozen=True)
class Merged:
    """A card written again: its text, and the headings that stayed as their writer left them."""

    text: str
    kept: tuple[str, ...]


def marked(card: str) -> str:
    """The card with the line by which its sections are known as ours."""
    _, sections = _parts(card)
    return f"{card.rstrip()}\n\n{_mark(sections)}\n"


def is_marked(card: str) -> bool:
    """Whether the card says which of its sections are ours."""
    return _marks(card) is not None


def merged(old: str, new: str) -> Merged:
    """``new``, a card of ours, with all that somebody wrote into ``old``, which must be marked.

    Sections that were changed stay; sections of others stay after the section that they follow; sections that were
    taken out stay out; the metadata of ``old`` stays but for what is measured, and tags of both are there.

    Raises:
        UserError: for metadata in ``old`` that is no YAML.
    """
    marks = _marks(old) or {}
    metadata, sections = _parts(_MARK.sub("", old.replace("\r\n", "\n")))
    fresh_metadata, fresh = _parts(new)
    ours = dict(fresh)
    result, changed, seen = [], [], set()
    for heading, text in sections:
        first = heading not in seen
        seen.add(heading)
        if not first or heading not in marks or _digest(text) != marks[heading]:
            result.append((heading, text))
            differs = heading in ours and _digest(text) != _digest(ours[heading])
            changed += [heading or "the beginning"] if first and differs else []
        elif heading in ours:
            result.append((heading, ours[heading]))
    before = _HEAD
    for heading, text in fresh:
        if heading not in seen and heading not in marks:
            place = [name for name, _ in result].index(before) + 1 if before in dict(result) else len(result)
            result.insert(place, (heading, text))
        if heading in dict(result):
            before = heading
    body = "\n\n".join(text.strip() for _, text in result if text.strip())
    head = _merged_metadata(metadata, fresh_metadata)
    return Merged(f"---\n{head}\n---\n\n{body}\n\n{_mark(fresh)}\n", tuple(changed))


def _mark(sections: list[tuple[str, str]]) -> str:
    return f"<!-- written by logitmix_hf: {json.dumps({heading: _digest(text) for heading, text in sections})} -->"


def _marks(card: str) -> dict[str, str] | None:
    found = _MARK.search(card.replace("\r\n", "\n"))
    try:
        return json.loads(found[1]) if found else None
    except ValueError:
        return None


def _parts(card: str) -> tuple[str, list[tuple[str, str]]]:
    """Metadata as YAML, and the sections by heading, the first without one."""
    found = _METADATA.match(card)
    sections: list[tuple[str, list[str]]] = [(_HEAD, [])]
    fence = ""
    for line in card[found.end() if found else 0 :].splitlines():
        edge = re.match(r" {0,3}(`{3,}|~{3,})", line)
        if edge and not fence:
            fence = edge[1]
        elif edge and line.strip().startswith(fence) and not line.strip().strip(fence[0]):
            fence = ""
        elif not fence and (heading := re.match(r"##[ \t]+(.*?)[ \t#]*$", line)):
            sections.append((heading[1], []))
        sections[-1][1].append(line)
    return found[1] if found else "", [(heading, "\n".join(lines)) for heading, lines in sections]


def _digest(text: str) -> str:
    """The same for a section that was only moved to the Hub, or whose white space an editor changed."""
    words = " ".join(relocated(text, "").split())
    return hashlib.sha256(words.encode()).hexdigest()[:12]


def _merged_metadata(old: str, new: str) -> str:
    import yaml
    from huggingface_hub.utils import yaml_dump

    try:
        there: Any = yaml.safe_load(old) or {}
    except yaml.YAMLError as error:
        raise UserError(
            f"The metadata at the top of README.md is no YAML ({' '.join(str(error).split())}): mend it, or replace the "
            "whole card by --overwrite."
        ) from None
    ours: dict[str, Any] = yaml.safe_load(new)
    if not isinstance(there, dict):
        return new
    result = {**ours, **{key: value for key, value in there.items() if key not in MEASURED or key not in ours}}
    if "model-index" not in ours:
        result.pop("model-index", None)
    tags = [there.get("tags"), ours.get("tags")]
    result["tags"] = list(dict.fromkeys(tag for one in tags if isinstance(one, list) for tag in one))
    return yaml_dump(result, sort_keys=False).strip()


def relocated(card: str, location: str) -> str:
    """The card with its lines of use loading from ``location``: the folder at home, the repository on the Hub."""
    call = r'(pipeline\("(?:text|image)-classification", model=|from_pretrained\()"(?:[^"\\]|\\.)*"'
    return re.sub(call, lambda found: found[1] + quoted(location), card)
