"""Texts longer than a model reads, as overlapping windows of one row with one answer: ``--long_texts windows``.

A row is split by :func:`encode_windows`; :class:`WindowCollator` lays the windows of a batch out as (B, W, S); a
:class:`Windowed` batch runs all of them through the model as rows of their own and :meth:`Windowed.pool` gives each row the
mean of their logits, weighted by their tokens. Training, evaluation and prediction take the same road, so that loss, scores
and temperature are those of pooled logits. A temperature or vector scaling is affine, and the weights of a row sum to 1:
folded into the last layer it calibrates the pooled logits as exactly.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import BatchEncoding, DataCollatorWithPadding

from logitmix_hf.errors import UserError
from logitmix_hf.models.long_texts import Windows
from logitmix_hf.models.tokenizer import encode
from logitmix_hf.plan import MixPlan

# --- texts to windows ----------------------------------------------------------------------------------------------------


def check_splits(tokenizer: Any) -> None:
    """Require a tokenizer that can split.

    Raises:
        UserError: for one in Python, which gives no windows.
    """
    if not getattr(tokenizer, "is_fast", False):
        raise UserError(
            f"--long_texts windows needs a tokenizer of the tokenizers library, and {type(tokenizer).__name__} is written in"
            " Python: take --long_texts cut, or save a fast one beside the model."
        )


def encode_windows(
    tokenizer: Any, texts: Sequence[Sequence[str]], windows: Windows
) -> tuple[dict[str, list[list[Any]]], list[bool]]:
    """Model inputs of every row as a list of windows, and which rows have several; a row that fits is its one window.

    Args:
        texts: one list of texts, or two for pairs. The longer text of a pair is split; the other stands in every window, and
            is itself cut where it takes more than half of the room.
    """
    made, long = encode(tokenizer, texts, windows.max_length)
    inputs = {name: [[row] for row in rows] for name, rows in made.items()}
    for row in (number for number, several in enumerate(long) if several):
        split = _split(tokenizer, [column[row] for column in texts], windows)
        for name, rows in inputs.items():
            rows[row] = split[name]
    return inputs, long


def _split(tokenizer: Any, texts: list[str], windows: Windows) -> Mapping[str, list[Any]]:
    room = windows.max_length - tokenizer.num_special_tokens_to_add(pair=len(texts) == 2)
    which = "only_first"
    if len(texts) == 2:
        lengths = [_count(tokenizer, text) for text in texts]
        shorter = int(lengths[1] < lengths[0])
        if lengths[shorter] > room // 2:
            texts[shorter] = _cut(tokenizer, texts[shorter], room // 2)
        room -= _count(tokenizer, texts[shorter])
        which = "only_second" if shorter == 0 else "only_first"
    return tokenizer(
        *([text] for text in texts),
        truncation=which,
        max_length=windows.max_length,
        stride=min(windows.overlap, room // 2),
        return_overflowing_tokens=True,
        padding=False,
    )


def _count(tokenizer: Any, text: str) -> int:
    return len(tokenizer([text], add_special_tokens=False, truncation=False, verbose=False)["input_ids"][0])


def _cut(tokenizer: Any, text: str, tokens: int) -> str:
    options = {"add_special_tokens": False, "return_offsets_mapping": True}
    made = tokenizer([text], truncation="only_first", max_length=tokens, **options)
    places = made["offset_mapping"][0]
    return text[places[0][0] : places[-1][1]] if places else ""


# --- windows to batches --------------------------------------------------------------------------------------------------


class WindowCollator:
    """Rows whose inputs are lists of windows to a batch (B, W, S) of the most windows and the longest of them; what is not
    there has a mask of zeros. Other columns (``labels``) come as (B,) or (B, C)."""

    def __init__(self, tokenizer: Any, pad_to_multiple_of: int | None = None) -> None:
        self._pad = DataCollatorWithPadding(tokenizer, pad_to_multiple_of=pad_to_multiple_of)

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> BatchEncoding:
        inputs = [name for name in self._pad.tokenizer.model_input_names if name in rows[0]]
        counts = torch.tensor([len(row["input_ids"]) for row in rows])
        flat = [{name: row[name][k] for name in inputs} for row in rows for k in range(len(row["input_ids"]))]
        there = torch.arange(int(counts.max())) < counts[:, None]
        made = {}
        for name, value in self._pad(flat).items():
            made[name] = value.new_zeros(*there.shape, value.shape[1])
            made[name][there] = value
        others = {name: torch.as_tensor([row[name] for row in rows]) for name in rows[0] if name not in inputs}
        return BatchEncoding({**made, **others})


@dataclass(frozen=True)
class Windowed:
    """A batch of rows as the T windows that they have together.

    inputs: (T, S) tensors by name, in the order of the rows. there: (B, W) bool, whether a row has that window.
    weights: (T,) float32, the share of a window in its row: its tokens, special ones too, over those of all.
    """

    inputs: dict[str, Tensor]
    there: Tensor
    weights: Tensor

    @classmethod
    def of(cls, batch: Mapping[str, Any]) -> Windowed | None:
        """None where rows have no windows: token ids are (B, S)."""
        ids, mask = batch.get("input_ids"), batch.get("attention_mask")
        if not isinstance(ids, Tensor) or ids.ndim != 3 or mask is None:
            return None
        there, tokens = mask.any(-1), mask.sum(-1)
        inputs = {name: value[there] for name, value in batch.items() if isinstance(value, Tensor) and value.ndim == 3}
        return cls(inputs, there, (tokens / tokens.sum(1, keepdim=True))[there].float())

    @property
    def row(self) -> Tensor:
        """(T,) int64, the row that a window belongs to."""
        return self.there.nonzero()[:, 0]

    def pool(self, values: Tensor) -> Tensor:
        """(T, …) float of windows to (B, …) of rows, the weighted mean; of one window its value, to the last bit."""
        weights = self.weights.reshape(-1, *[1] * (values.ndim - 1))
        laid_out = values.new_zeros(*self.there.shape, *values.shape[1:], dtype=torch.float32)
        laid_out[self.there] = values.float() * weights
        return laid_out.sum(1).to(values.dtype)

    def plan(self, plan: MixPlan) -> MixPlan:
        """The plan of rows as one of windows: all windows of a row are mixed with windows of the same partner by the same
        shares, the first with its first and so on, around where the partner has fewer."""
        counts = self.there.sum(1)
        first, row = counts.cumsum(0) - counts, self.row
        partner = plan.sources[row]
        number = (torch.arange(len(row), device=row.device) - first[row])[:, None] % counts[partner]
        return MixPlan(first[partner] + number, plan.shares[row])

    def parts(self, most: int) -> Iterator[dict[str, Tensor]]:
        """The inputs, at most so many windows at once."""
        for start in range(0, len(self.weights), most):
            yield {name: value[start : start + most] for name, value in self.inputs.items()}


class _Pooling:
    """What lets a classifier of (B, S) tokens answer batches (B, W, S), one answer a row."""

    def __init__(self) -> None:
        self._batch: Windowed | None = None

    def before(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        self._batch = Windowed.of(kwargs)
        return None if self._batch is None else (args, self._batch.inputs)

    def after(self, module: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
        batch, self._batch = self._batch, None
        if batch is None:
            return None
        if not isinstance(output, Mapping):
            return batch.pool(output) if isinstance(output, Tensor) else (batch.pool(output[0]), *output[1:])
        for name in ("logits", "member_logits"):
            if output.get(name) is not None:
                output[name] = batch.pool(output[name])  # type: ignore[index]
        return output


def answer_windows(model: nn.Module) -> None:
    """Let a classifier of texts take batches (B, W, S) as well, by keyword, without labels. Nothing of it is saved."""
    pooling = _Pooling()
    model.register_forward_pre_hook(pooling.before, with_kwargs=True)
    model.register_forward_hook(pooling.after)


def first_windows(batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The first window of every row in place of all of them."""
    return {name: value[:, 0] if name != "pixel_values" and value.ndim == 3 else value for name, value in batch.items()}
