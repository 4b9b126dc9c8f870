"""Texts to tokens, in batches, kept on disk so that the next run with the same texts and tokenizer need not wait."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from logitmix_hf.errors import UserError, check_number
from logitmix_hf.models.long_texts import Windows
from logitmix_hf.models.tokenizer import encode
from logitmix_hf.models.windows import encode_windows

if TYPE_CHECKING:
    from datasets import Dataset

_CUT = "cut"
KEPT = ("labels", "idx")
"""Columns that stay beside the model's inputs."""


def tokenize(dataset: Dataset, tokenizer: Any, columns: Sequence[str], max_length: int) -> Dataset:
    """The first of :func:`tokenize_and_count`."""
    return tokenize_and_count(dataset, tokenizer, columns, max_length)[0]


def tokenize_and_count(
    dataset: Dataset, tokenizer: Any, columns: Sequence[str], max_length: int, windows: Windows | None = None
) -> tuple[Dataset, int]:
    """Model inputs of every row, and how many are longer; with the columns ``labels`` and ``idx`` where the data has them.

    One column is a text; two are a pair, cut at the longer text first. At most ``max_length`` tokens with the special
    ones; nothing is padded: the collator pads each batch to its longest row. The result lies in the cache of
    ``datasets``, under a fingerprint of the rows, the tokenizer, the columns, ``max_length`` and ``windows``.

    Args:
        windows: nothing is cut; every row is a list of windows, of which longer ones have several.

    Raises:
        UserError: for a length too small for the special tokens, or other than one or two columns.
    """
    from datasets.fingerprint import Hasher

    columns = tuple(columns)
    if len(columns) not in (1, 2):
        raise UserError(f"A model reads one text or a pair; got {len(columns)} columns: {', '.join(columns)}.")
    check_number("max_length", max_length, low=1 + tokenizer.num_special_tokens_to_add(pair=len(columns) == 2))
    key = Hasher.hash([dataset._fingerprint, _identity(tokenizer), columns, max_length, windows, _CUT])
    made = dataset.map(
        _tokenize_batch,
        batched=True,
        fn_kwargs={"tokenizer": tokenizer, "columns": columns, "max_length": max_length, "windows": windows},
        remove_columns=[name for name in dataset.column_names if name not in KEPT],
        cache_file_name=_cache_file(key),
        new_fingerprint=key,
        desc="Tokenising",
    )
    return made.remove_columns(_CUT), sum(made.data.column(_CUT).to_pylist())


def _tokenize_batch(
    batch: dict[str, list[Any]],
    tokenizer: Any,
    columns: tuple[str, ...],
    max_length: int,
    windows: Windows | None = None,
) -> dict[str, list[Any]]:
    texts = [batch[column] for column in columns]
    inputs, cut = encode(tokenizer, texts, max_length) if windows is None else encode_windows(tokenizer, texts, windows)
    return {**inputs, _CUT: cut}


def _identity(tokenizer: Any) -> Any:
    """What decides a tokenizer's output. A fast tokenizer remembers the truncation and padding of its last call, which
    would make equal tokenizers look different."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return tokenizer
    state = {**json.loads(backend.to_str()), "truncation": None, "padding": None}
    names = list(tokenizer.model_input_names)
    return [type(tokenizer).__name__, json.dumps(state, sort_keys=True), names, tokenizer.truncation_side]


def _cache_file(key: str) -> str | None:
    """Where the tokens lie; None (memory only) where caching is off or the cache cannot be written."""
    from datasets import config, is_caching_enabled

    if not is_caching_enabled():
        return None
    folder = Path(config.HF_DATASETS_CACHE) / "logitmix_hf"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    return str(folder / f"{key}.arrow") if os.access(folder, os.W_OK) else None
