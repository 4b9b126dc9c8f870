"""Rows of many requests in shared batches: what waits while the model works goes together into the next one."""

from __future__ import annotations

import asyncio
from asyncio import QueueFull
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np

from logitmix_hf.serving.classifier import Classifier
from logitmix_hf.serving.inputs import InputRow
from logitmix_hf.serving.predict import logits_reader


class Batches:
    """One model and one thread that works on it.

    A batch is never waited for: the first row goes at once, and those that came while the model worked go together, at most
    ``batch_size`` of them. So an idle server answers as fast as the model, and a busy one in full batches.

    Args:
        classifier: the model.
        batch_size: rows that the model reads at once.
        most_waiting: rows that may wait; more are refused.
    """

    def __init__(self, classifier: Classifier, batch_size: int = 32, most_waiting: int = 4096) -> None:
        self.batch_size, self.most_waiting = batch_size, most_waiting
        self._read = logits_reader(classifier, batch_size)
        self._waiting: list[tuple[InputRow, asyncio.Future[np.ndarray | str]]] = []
        self._working: asyncio.Task[None] | None = None
        self._model = ThreadPoolExecutor(1, thread_name_prefix="model")

    @property
    def waiting(self) -> int:
        """Rows that wait."""
        return len(self._waiting)

    async def logits(self, values: Sequence[Any]) -> list[np.ndarray | str]:
        """(C,) calibrated logits of each input; in words why, where one cannot be read.

        Raises:
            asyncio.QueueFull: when too many rows wait; none of these is taken then.
        """
        if len(self._waiting) + len(values) > self.most_waiting:
            raise QueueFull
        loop = asyncio.get_running_loop()
        mine = [(InputRow(number, "", value), loop.create_future()) for number, value in enumerate(values)]
        self._waiting += mine
        if self._working is None or self._working.done():
            self._working = loop.create_task(self._work())
        try:
            return await asyncio.gather(*(answer for _, answer in mine))
        finally:  # whoever asked may have gone: what nobody waits for is not worked on
            gone = {id(answer) for _, answer in mine if not answer.done() or answer.cancelled()}
            self._waiting = [one for one in self._waiting if id(one[1]) not in gone]

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            batch, self._waiting = self._waiting[: self.batch_size], self._waiting[self.batch_size :]
            rows = [replace(row, index=place) for place, (row, _) in enumerate(batch)]
            try:
                made = await loop.run_in_executor(self._model, self._answers, rows)
            except Exception as problem:  # of the whole batch: memory, a device that is gone
                made: Sequence[Any] = [problem] * len(batch)
            for (_, answer), one in zip(batch, made, strict=True):
                if not answer.done():
                    answer.set_exception(one) if isinstance(one, Exception) else answer.set_result(one)

    def _answers(self, rows: list[InputRow]) -> list[np.ndarray | str]:
        logits, wrong = self._read(rows)
        return [wrong[row.index] if row.index in wrong else logits[row.index] for row in rows]
