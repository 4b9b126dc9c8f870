"""The loss terms between two log lines: averaged over the interval and all processes, and watched for NaN."""

from __future__ import annotations

import torch
from accelerate import Accelerator
from torch import Tensor

NAMES = ("mix", "cls", "sim", "lam")
LOG_KEYS = {"mix": "loss_mix", "cls": "loss_cls", "sim": "loss_sim", "lam": "lam"}
_NEVER = torch.iinfo(torch.int64).max


class TermLog:
    """Sums of per-example values, kept on their device so that no step waits for a read."""

    def __init__(self) -> None:
        self._sums: Tensor | None = None
        self._first_bad: Tensor | None = None

    def add(self, terms: dict[str, Tensor], step: int) -> None:
        """Count one micro-batch: (B,) values by name; ``step`` is the optimiser step under way, from 1."""
        device = next(iter(terms.values())).device
        if self._sums is None or self._sums.device != device:
            self._sums = torch.zeros(2, len(NAMES), device=device, dtype=torch.float64)
            self._first_bad = torch.full((len(NAMES),), _NEVER, device=device)
        assert self._first_bad is not None
        for index, name in enumerate(NAMES):
            if name not in terms:
                continue
            values = terms[name].detach().double()
            total = values.sum()
            self._sums[0, index] += total
            self._sums[1, index] += values.numel()
            bad = torch.where(total.isfinite(), _NEVER, step)
            self._first_bad[index] = torch.minimum(self._first_bad[index], bad)

    def first_bad(self) -> tuple[int, list[str]] | None:
        """The first step with a value that is not finite and the terms that went then; None while all is well."""
        if self._first_bad is None:
            return None
        steps = self._first_bad.tolist()
        first = min(steps)
        return None if first == _NEVER else (first, [n for n, step in zip(NAMES, steps, strict=True) if step == first])

    def drain(self, accelerator: Accelerator) -> dict[str, float]:
        """Means under their log keys since the last call, over every process; called by all of them together."""
        if self._sums is None:
            self._sums = torch.zeros(2, len(NAMES), device=accelerator.device, dtype=torch.float64)
        sums = self._sums if accelerator.num_processes == 1 else accelerator.reduce(self._sums.clone(), "sum")
        total, count = sums.tolist()  # type: ignore[union-attr]
        self._sums = None
        return {LOG_KEYS[n]: t / c for n, t, c in zip(NAMES, total, count, strict=True) if c}
