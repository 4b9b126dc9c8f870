"""``logitmix predict``: labels and calibrated probabilities of any number of rows, in constant memory."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from logitmix_hf.errors import UserError, check_number, one_line, pick
from logitmix_hf.flags import FlagParser, flag, formatter
from logitmix_hf.modality import TEXT
from logitmix_hf.process import guarded
from logitmix_hf.serving.answers import Answers
from logitmix_hf.serving.classifier import Classifier, Found, find_classifier
from logitmix_hf.serving.host import DTYPES, bars_for_people, usable_device
from logitmix_hf.serving.inputs import Input, Row, open_input
from logitmix_hf.serving.writers import output_kind, writing

ON_ERROR = {name: name for name in ("skip", "stop")}
WINDOW = 16
"""Batches of texts that are held at once, so that rows of like length go together."""
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_TOLD = 20  # broken rows that are told one by one


@dataclass(frozen=True)
class PredictSettings:
    """What is predicted by what, and how it is told."""

    model: str | None = flag("model", None, "folder of a run, Hub id, or local folder", "--model_name_or_path")
    model_revision: str = flag("model", "main", "branch, tag or commit of a Hub model")
    hub_token: str | None = flag("model", None, "token; default the one you logged in with")
    device: str | None = flag("model", None, "cpu, cuda, cuda:1, mps …; default an accelerator where there is one")
    dtype: str = flag("model", "float32", f"type of the weights: {', '.join(DTYPES)}")
    batch_size: int = flag("model", 32, "rows that the model reads at once")
    input: str | None = flag(
        "input", None, ".csv, .tsv, .jsonl, .txt or .parquet; a folder of images; - for what comes by a pipe"
    )
    input_format: str | None = flag("input", None, "csv, tsv, jsonl, text or parquet, where the suffix does not say it")
    text_columns: str | None = flag("input", None, "column of the text, or two joined by a comma; default the run's")
    image_column: str | None = flag("input", None, "column of the images or their paths")
    max_length: int | None = flag("input", None, "tokens a row is cut to; default the run's, else what the model reads")
    on_error: str = flag("input", "skip", "a row that cannot be read: skip (it is told, and left out) or stop")
    output: str | None = flag("output", None, ".csv, .jsonl or .parquet; default stdout")
    output_format: str | None = flag("output", None, "csv or jsonl for stdout; default csv")
    overwrite: bool = flag("output", False, "replace the output file")
    top_k: int | None = flag("output", None, "the k likeliest labels, each with its probability")
    abstain_below: float | None = flag("output", None, "no label where the probability is below this")
    threshold: float | None = flag("output", None, "multi-label: say the labels above this probability; default 0.5")

    def __post_init__(self) -> None:
        pick(ON_ERROR, self.on_error, "on_error")
        pick(DTYPES, self.dtype, "dtype")
        check_number("batch_size", self.batch_size, low=1)
        if self.max_length is not None:
            check_number("max_length", self.max_length, low=4)
        if self.model is None:
            raise UserError("logitmix predict needs a model: --model runs/NAME, a Hub id or a folder.")
        if self.input is None:
            raise UserError("logitmix predict needs rows: --input FILE, a folder of images, or - for a pipe.")

    def columns(self, modality: str) -> tuple[str, ...]:
        """The columns asked for.

        Raises:
            UserError: for those of the other modality.
        """
        own, other = ("text_columns", "image_column") if modality == TEXT else ("image_column", "text_columns")
        if getattr(self, other) is not None:
            raise UserError(f"--{other} does not fit --model {self.model}, which reads {modality}s: see --{own}.")
        asked = getattr(self, own)
        return () if asked is None else tuple(name.strip() for name in asked.split(","))


def main(argv: Sequence[str]) -> int:
    """The command; returns its exit code."""
    return guarded(lambda: _predict(list(argv)))


def _predict(words: list[str]) -> int:
    parser = FlagParser([PredictSettings], prog="logitmix predict", formatter_class=formatter, description=__doc__)
    settings: PredictSettings = parser.parse(words)[0]
    source = str(settings.input)
    kind = output_kind(settings.output, settings.output_format, settings.overwrite, source)
    found = find_classifier(str(settings.model), settings.model_revision, settings.hub_token)
    answers = Answers(
        found.problem, found.label_names, settings.top_k, settings.abstain_below, settings.threshold
    )  # before the input: these mistakes need no file
    asked = settings.columns(found.modality)
    data = open_input(source, found.modality, settings.input_format, asked, found.columns, f"--model {found.name}")
    classifier = _loaded(found, settings)
    try:
        return _answer_all(classifier, data, replace(answers, files=data.files), settings, kind)
    except BrokenPipeError:  # whoever reads has seen enough
        _print_no_more()
        return 0
    except OSError as error:
        if error.errno not in _FULL:
            raise
        _print_no_more()
        raise UserError(
            f"{settings.output or 'standard output'} cannot be written further ({error.strerror}): make room, or give"
            " another --output."
        ) from error


def _print_no_more() -> None:
    """What is still to be flushed would fail once more when the interpreter ends."""
    with suppress(OSError):  # a stdout without a descriptor
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _loaded(found: Found, settings: PredictSettings) -> Classifier:
    usable_device(settings.device)
    with bars_for_people():
        return found.load(settings.device, settings.dtype, settings.max_length)


def _answer_all(classifier: Classifier, data: Input, answers: Answers, settings: PredictSettings, kind: str) -> int:
    from tqdm.auto import tqdm

    window = 1 if settings.input == "-" else WINDOW  # who waits at the other end of a pipe sees each batch
    with (
        tqdm(total=data.total, unit=" rows", disable=None, file=sys.stderr) as bar,
        writing(settings.output, kind, answers.columns) as writer,
    ):
        broken = Broken(settings.on_error == "stop", lambda line: bar.write(line, file=sys.stderr))
        said = abstained = 0
        for some in answer_rows(classifier, data.rows, answers, broken, settings.batch_size, window):
            for answer in some:
                writer.write(answer)
                abstained += answer.get("abstained", False)
            if settings.output is None:
                writer.flush()
            said += len(some)
            bar.update(said + broken.count - bar.n)
        if not said:
            raise UserError(f"None of the {broken.count} rows of {data.name} could be read; the first: {broken.first}.")
    told = [f"{said} row{'s' if said > 1 else ''}"]
    if settings.abstain_below is not None:
        told.append(f"{abstained} abstained ({abstained / said:.1%} below {settings.abstain_below:g})")
    if broken.count:
        told.append(f"{broken.count} left out, because they could not be read")
    print(", ".join(told) + (f": {settings.output}" if settings.output else ""), file=sys.stderr)
    return 0


class Broken:
    """What becomes of rows that cannot be classified: the first are told one by one, all are counted."""

    def __init__(self, stop: bool = False, tell: Callable[[str], None] = lambda line: None) -> None:
        self.stop, self.tell, self.count, self.first = stop, tell, 0, ""

    def __call__(self, row: Row, wrong: str) -> None:
        """Report a row.

        Raises:
            UserError: where the first such row ends everything.
        """
        line = f"{row.where}: {wrong}"
        if self.stop:
            raise UserError(f"{line}. Mend it, or leave such rows out by --on_error skip.")
        self.first = self.first or line
        self.count += 1
        if self.count <= _TOLD:
            self.tell(f"left out {line}" + (" (the rest of them is only counted)" if self.count == _TOLD else ""))


def answer_rows(
    classifier: Classifier,
    rows: Iterable[Row],
    answers: Answers,
    broken: Broken,
    batch_size: int = 32,
    window: int = WINDOW,
) -> Iterator[list[dict[str, Any]]]:
    """Answers in the order of the rows, as many at a time as were held at once; what is wrong goes to ``broken``.

    No more than ``batch_size * window`` texts, or ``batch_size`` images as the network takes them, are in memory.
    """
    predict = _texts if classifier.modality == TEXT else _Images()
    size = batch_size * (window if classifier.modality == TEXT else 1)
    rows = iter(rows)
    while some := list(islice(rows, size)):
        wrong: dict[int, str] = {row.index: row.wrong for row in some if row.wrong}
        good = [row for row in some if not row.wrong]
        logits = predict(classifier, good, batch_size, wrong)
        for row in good:
            if row.index in logits and not np.isfinite(logits[row.index]).all():
                half = "" if classifier.model.dtype.itemsize > 2 else "; try --dtype float32"
                wrong[row.index] = f"the model's outputs are not finite{half}"
        for row in some:
            if row.index in wrong:
                broken(row, wrong[row.index])
        said = [row for row in good if row.index not in wrong]
        yield answers.of(said, np.stack([logits[row.index] for row in said])) if said else []


def _texts(classifier: Classifier, rows: list[Row], batch_size: int, wrong: dict[int, str]) -> dict[int, np.ndarray]:
    """Logits by index; texts of like length in one batch."""
    found = {}
    longest_first = sorted(rows, key=lambda row: -len("".join(row.value)))
    for start in range(0, len(rows), batch_size):
        batch = longest_first[start : start + batch_size]
        found |= zip((row.index for row in batch), classifier.logits([row.value for row in batch]), strict=True)
    return found


class _Images:
    """Decodes on all cores; a picture is brought to the network's size at once, however large it was."""

    def __init__(self) -> None:
        self.pool = ThreadPoolExecutor()

    def __call__(
        self, classifier: Classifier, rows: list[Row], batch_size: int, wrong: dict[int, str]
    ) -> dict[int, np.ndarray]:
        import torch

        made = dict(
            zip((row.index for row in rows), self.pool.map(lambda row: _prepared(classifier, row), rows), strict=True)
        )
        wrong |= {index: one for index, one in made.items() if isinstance(one, str)}
        ready = {index: one for index, one in made.items() if not isinstance(one, str)}
        if not ready:
            return {}
        batch = next(iter(ready.values()))
        for name in list(batch):
            batch[name] = torch.cat([one[name] for one in ready.values()])
        return dict(zip(ready, classifier.forward(batch), strict=True))


def _prepared(classifier: Classifier, row: Row) -> Any:
    """A picture as the network takes it, or in words why not."""
    from logitmix_hf.vision.data.decode import decode, why

    try:
        data = row.value if isinstance(row.value, bytes) else Path(row.value).read_bytes()
        return classifier.prepare([decode(data, channels=3)])
    except OSError as error:
        return error.strerror or why(error)
    except Exception as error:  # decoders and processors raise many kinds
        return why(error) or one_line(error)
