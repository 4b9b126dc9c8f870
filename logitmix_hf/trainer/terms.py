"""The terms of a step between two log lines: averaged over the interval and all processes, and watched for NaN."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from accelerate import Accelerator
from torch import Tensor

from logitmix_hf.precision import widest

_NEVER = torch.iinfo(torch.int32).max


class TermLog:
    """Sums of per-example values, kept on their device so that no step waits for a read.

    Args:
        names: the terms that a step may tell, in the order of the log.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        # By which terms came together: a step's terms are summed as one tensor.
        self._sums: dict[tuple[str, ...], Tensor] = {}
        self._counts: dict[tuple[str, ...], int] = {}
        self._first_bad: dict[tuple[str, ...], Tensor] = {}

    def add(self, terms: Mapping[str, Tensor], step: int) -> None:
        """Count one micro-batch: (B,) values by name; ``step`` is the optimiser step under way, from 1.

        Raises:
            KeyError: for a term that is none of ``names``.
        """
        if unknown := set(terms) - set(self.names):
            raise KeyError(f"the step tells of {', '.join(sorted(unknown))}, its terms are {', '.join(self.names)}")
        together = tuple(terms)
        values = torch.stack([terms[name].detach().float() for name in together])  # (terms, B)
        sums = values.sum(1, dtype=widest(values.device))  # over many steps the last digits count
        bad = torch.where(sums.isfinite(), _NEVER, step).int()
        held, first = self._sums.get(together), self._first_bad.get(together)
        self._sums[together] = sums if held is None else held.to(sums.device) + sums
        self._counts[together] = self._counts.get(together, 0) + values.shape[1]
        self._first_bad[together] = bad if first is None else torch.minimum(first.to(bad.device), bad)

    def first_bad(self) -> tuple[int, list[str]] | None:
        """The first step with a value that is not finite and the terms that went then; None while all is well."""
        steps: dict[str, int] = {}
        for together, first in self._first_bad.items():
            for name, step in zip(together, first.tolist(), strict=True):
                steps[name] = min(step, steps.get(name, _NEVER))
        first_step = min(steps.values(), default=_NEVER)
        return None if first_step == _NEVER else (first_step, [n for n in self.names if steps.get(n) == first_step])

    def drain(self, accelerator: Accelerator) -> dict[str, float]:
        """Means under their log keys since the last call, over every process; called by all of them together."""
        totals, counts = dict.fromkeys(self.names, 0.0), dict.fromkeys(self.names, 0)
        for together, sums in self._sums.items():
            for name, value in zip(together, sums.tolist(), strict=True):
                totals[name] += value
                counts[name] += self._counts[together]
        self._sums.clear()
        self._counts.clear()
        if accelerator.num_processes > 1:
            device = accelerator.device
            both = torch.tensor([list(totals.values()), list(counts.values())], dtype=widest(device), device=device)
            total, count = accelerator.reduce(both, "sum").tolist()  # type: ignore[union-attr]
            totals, counts = dict(zip(totals, total, strict=True)), dict(zip(counts, count, strict=True))
        means = {name: totals[name] / counts[name] for name in self.names if counts[name]}
        return {name if name == "lam" else f"loss_{name}": mean for name, mean in means.items()}
