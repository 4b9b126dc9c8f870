"""Rows to answers in constant memory: read, classified in batches, written in the order they came."""

from __future__ import annotations

import errno
import os
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from logitmix_hf.errors import UserError, printable
from logitmix_hf.modality import TEXT
from logitmix_hf.serving.answers import Answers
from logitmix_hf.serving.classifier import Classifier
from logitmix_hf.serving.inputs import Input, InputRow
from logitmix_hf.serving.writers import writing

WINDOW = 16
"""Batches of texts that are held at once, so that rows of like length go together."""
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_MOST_REPORTED = 20  # broken rows that are told one by one


@dataclass(frozen=True)
class Counts:
    """Rows that were answered, those of them that got no label, and rows that could not be read."""

    answered: int
    abstained: int
    left_out: int


def write_answers(
    classifier: Classifier,
    data: Input,
    answers: Answers,
    output: str | None,
    kind: str,
    *,
    batch_size: int = 32,
    window: int = WINDOW,
    stop: bool = False,
) -> Counts | None:
    """Answer every row of ``data`` into ``output``; a bar and the rows that are left out go to stderr.

    Args:
        output: a file, which appears when all is written; None: stdout, flushed after each batch.
        kind: of ``output``, as :func:`~logitmix_hf.serving.writers.output_kind` gives it.
        window: batches of texts that are held at once.
        stop: whether the first row that cannot be read ends everything.

    Returns:
        The counts; None where whoever reads stdout has closed it.

    Raises:
        UserError: when no row could be read, the first one with ``stop``, or the disk is full.
    """
    from tqdm.auto import tqdm

    with _ending_in_order(output):
        with (
            tqdm(total=data.total, unit=" rows", disable=None, file=sys.stderr) as bar,
            writing(output, kind, answers.columns) as writer,
        ):
            broken = Broken(stop, lambda line: bar.write(printable(line), file=sys.stderr))
            answered = abstained = 0
            for some in answer_rows(classifier, data.rows, answers, broken, batch_size, window):
                for answer in some:
                    writer.write(answer)
                    abstained += answer.get("abstained", False)
                if output is None:
                    writer.flush()
                answered += len(some)
                bar.update(answered + broken.count - bar.n)
            if not answered:
                raise UserError(
                    f"None of the {broken.count} rows of {data.name} could be read; the first: {broken.first}."
                )
        return Counts(answered, abstained, broken.count)
    return None


@contextmanager
def _ending_in_order(output: str | None) -> Iterator[None]:
    """Whoever reads may have seen enough, and a disk may be full; what is to be flushed then would fail once more when the
    interpreter ends."""
    try:
        yield
    except OSError as error:
        read_enough = isinstance(error, BrokenPipeError)
        if not read_enough and error.errno not in _FULL:
            raise
        with suppress(OSError):  # a stdout without a descriptor
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not read_enough:
            raise UserError(
                f"{output or 'standard output'} cannot be written further ({error.strerror}): make room, or give another"
                " --output."
            ) from error


class Broken:
    """What becomes of rows that cannot be classified: the first are told one by one, all are counted."""

    def __init__(self, stop: bool = False, tell: Callable[[str], None] = lambda line: None) -> None:
        self.stop, self.tell, self.count, self.first = stop, tell, 0, ""

    def __call__(self, row: InputRow, wrong: str) -> None:
        """Report a row.

        Raises:
            UserError: where the first such row ends everything.
        """
        line = f"{row.where}: {wrong}"
        if self.stop:
            raise UserError(f"{line}. Mend it, or leave such rows out by --on_error skip.")
        self.first = self.first or line
        self.count += 1
        if self.count <= _MOST_REPORTED:
            self.tell(
                f"left out {line}" + (" (the rest of them is only counted)" if self.count == _MOST_REPORTED else "")
            )


def answer_rows(
    classifier: Classifier,
    rows: Iterable[InputRow],
    answers: Answers,
    broken: Broken,
    batch_size: int = 32,
    window: int = WINDOW,
) -> Iterator[list[dict[str, Any]]]:
    """Answers in the order of the rows, as many at a time as were held at once; what is wrong goes to ``broken``.

    No more than ``batch_size * window`` texts, or ``batch_size`` images as the network takes them, are in memory.
    """
    read = logits_reader(classifier, batch_size)
    size = batch_size * (window if classifier.modality == TEXT else 1)
    rows = iter(rows)
    while some := list(islice(rows, size)):
        logits, wrong = read([row for row in some if not row.wrong])
        wrong |= {row.index: row.wrong for row in some if row.wrong}
        for row in some:
            if row.index in wrong:
                broken(row, wrong[row.index])
        answered = [row for row in some if row.index not in wrong]
        yield answers.of(answered, np.stack([logits[row.index] for row in answered])) if answered else []


def logits_reader(
    classifier: Classifier, batch_size: int
) -> Callable[[list[InputRow]], tuple[dict[int, np.ndarray], dict[int, str]]]:
    """What gives some rows' (C,) logits by their index, and in words why, where a row has none or they are not finite."""
    predict = _texts if classifier.modality == TEXT else _Images()

    def read(rows: list[InputRow]) -> tuple[dict[int, np.ndarray], dict[int, str]]:
        wrong: dict[int, str] = {}
        logits = predict(classifier, rows, batch_size, wrong)
        for index, row in logits.items():
            if not np.isfinite(row).all():
                half = "" if classifier.model.dtype.itemsize > 2 else "; try --dtype float32"
                wrong[index] = f"the model's outputs are not finite{half}"
        return logits, wrong

    return read


def _texts(
    classifier: Classifier, rows: list[InputRow], batch_size: int, wrong: dict[int, str]
) -> dict[int, np.ndarray]:
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
        from PIL import Image

        # Of what is above Pillow's bound our own speaks; told for good, since threads share what is caught.
        warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
        self.pool = ThreadPoolExecutor()

    def __call__(
        self, classifier: Classifier, rows: list[InputRow], batch_size: int, wrong: dict[int, str]
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


def _prepared(classifier: Classifier, row: InputRow) -> Any:
    """A picture as the network takes it, or in words why not."""
    from logitmix_hf.vision.data.decode import decode, why
    from logitmix_hf.vision.data.files import read_file

    try:
        data = row.value if isinstance(row.value, bytes) else read_file(Path(row.value))
        return classifier.prepare([decode(data, channels=3, max_pixels=classifier.max_pixels)])
    except Exception as error:  # decoders and processors raise many kinds
        told = why(error)
        return f"{row.file}: {told}" if row.file and row.file not in row.where else told
