"""``logitmix check``: the rows and labels that a training would read, and what is odd about them; nothing is trained."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from logitmix_hf.disk import write_atomic
from logitmix_hf.errors import UserError, say
from logitmix_hf.flags import FlagParser, flag
from logitmix_hf.training.text.settings import TextDataSettings

SAMPLED = 2000
"""Rows of a split, evenly spaced, that are made into tokens to tell how many are cut."""


@dataclass(frozen=True)
class CheckSettings(TextDataSettings):
    """The data flags of ``logitmix glue``, and those of ``logitmix vision`` that say which images are meant."""

    dataset: str | None = flag("images", None, "images: a folder, a data set of the Hub, or a name that vision knows")
    image_column: str | None = flag("images", None, "column of the image")
    skip_corrupt: bool = flag("images", False, "leave out images that cannot be read, and say how many")
    model: str | None = flag(
        "check", None, f"whose tokenizer tells how many texts are cut, of {SAMPLED:,} rows a split; default: not told"
    )
    seed: int = flag("check", 42, "that draws the rows held out, as in a training")
    output: str | None = flag("check", None, "write all that was counted into this file, as JSON (a run's data.json)")
    overwrite: bool = flag("check", False, "replace the output file")

    def __post_init__(self) -> None:
        super().__post_init__()
        texts = [name for name in ("task", "dataset_name", "train_file", "validation_file") if getattr(self, name)]
        if self.dataset and texts:
            raise UserError(
                f"--dataset {self.dataset} (images) and --{texts[0]} {getattr(self, texts[0])} (texts) were both given: take"
                " one of them."
            )
        if self.output and Path(self.output).exists() and not self.overwrite:
            raise UserError(f"--output {self.output} exists; --overwrite replaces it.")


def main(argv: Sequence[str]) -> int:
    """The command; returns its exit code."""
    settings = FlagParser([CheckSettings], prog="logitmix check", description=__doc__).parse(argv)[0]
    facts, lines = _images(settings) if settings.dataset else _texts(settings)
    say(*lines, out=True)
    if settings.output:
        path = Path(settings.output)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, f"{json.dumps(facts, indent=2, ensure_ascii=False)}\n".encode())
        say(f"all that was counted: {path}")
    return 0


def _request(kind: Any, settings: CheckSettings, **own: Any) -> Any:
    named = {one.name: getattr(settings, one.name) for one in fields(kind) if hasattr(settings, one.name)}
    return kind(**{**named, **own})


def _texts(settings: CheckSettings) -> tuple[dict[str, Any], list[str]]:
    # Here, and not at the top: a misspelt flag needs neither pyarrow nor torch.
    from logitmix_hf.text.data import TextRequest, load_text_data
    from logitmix_hf.text.overview import overview, text_facts

    if settings.train_file is None and settings.validation_file is not None:
        raise UserError("A check reads rows to train on: give a --train_file beside the --validation_file.")
    test = settings.test_file is not None
    data = load_text_data(_request(TextRequest, settings, text_columns=settings.texts, need_test=test))
    cut = None if settings.model is None else _cut(data, settings)
    facts = text_facts(data, cut, settings.max_length if cut is not None else None)
    return facts, [*_rows(facts), *data.notes, *overview(data, sum((cut or {}).values()), settings.max_length, facts)]


def _cut(data: Any, settings: CheckSettings) -> dict[str, int]:
    """By split, how many rows are longer than the model reads, reckoned from a sample where there are many."""
    from logitmix_hf.models.pretrained import find_pretrained, load_config
    from logitmix_hf.models.tokenizer import check_length, encode, load_tokenizer

    source = find_pretrained(str(settings.model), "main", None)
    config = load_config(source)
    tokenizer = load_tokenizer(source, config)
    check_length(settings.max_length, config, str(settings.model))
    found = {}
    for name, split in data.splits.items():
        step = max(1, -(-len(split) // SAMPLED))
        some = [split.data.column(column).to_pylist()[::step] for column in data.columns]
        _, cut = encode(tokenizer, some, settings.max_length)
        found[name] = round(sum(cut) * len(split) / len(cut)) if len(cut) else 0
    return found


def _images(settings: CheckSettings) -> tuple[dict[str, Any], list[str]]:
    from logitmix_hf.vision.data import ImageRequest, load_image_data
    from logitmix_hf.vision.data.facts import image_facts, image_lines

    data = load_image_data(_request(ImageRequest, settings))
    facts = image_facts(data)
    return facts, [*_rows(facts), *data.notes, *image_lines(data, facts)]


def _rows(facts: dict[str, Any]) -> list[str]:
    """How many rows each split has, in a line."""
    counts = [f"{name} {split['rows']:,}" for name, split in facts["splits"].items()]
    share = facts.get("held_out_share")
    return [f"rows: {', '.join(counts)}" + (f" · {share:.3g} of train held out" if share is not None else "")]
