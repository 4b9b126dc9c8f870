"""Whether a tokenizer fits its model: its vocabulary, its padding, its length; asked before anything long, by every
command that reads texts. Texts to tokens, the same in training, calibration and prediction."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from logitmix_hf.errors import UserError
from logitmix_hf.models.pretrained import Pretrained, explained

UNLIMITED = 512
"""Tokens that a text is cut to where neither tokenizer nor model says how many they read."""
_FILES = ("tokenizer", "vocab", "merges", "spiece", "sentencepiece", "bpe")  # how their names begin


def load_tokenizer(source: Pretrained, config: Any, *, grow: bool = False) -> Any:
    """The tokenizer of a model with ``config``, able to pad: where it has no token for that, the end of a text is one,
    and ``config`` is told.

    Args:
        source: of the model, or of a tokenizer named apart.
        grow: the model's embeddings may still be made larger (:func:`grow_embeddings`).

    Raises:
        UserError: when there is none, none of its tokens can pad, or it has more tokens than the model.
    """
    folder = Path(source.path)
    try:
        tokenizer: Any = AutoTokenizer.from_pretrained(source.path, **source.options())
    except Exception as problem:  # transformers and tokenizers raise many kinds
        names = {path.name for path in folder.iterdir()} if folder.is_dir() else {*_FILES}
        if not any(name.startswith(_FILES) for name in names - {"tokenizer_config.json"}):
            raise _missing(source) from problem
        raise explained(source, problem) from problem
    vocabulary = tokenizer.get_vocab()
    # Of a folder without files of a tokenizer, transformers makes one that knows its special tokens alone.
    if len(vocabulary.keys() - set(tokenizer.all_special_tokens)) < 2:
        raise _missing(source)
    _let_pad(source, tokenizer, config)
    tokens, rows = max(vocabulary.values()) + 1, getattr(config, "vocab_size", None)
    if not grow and isinstance(rows, int) and tokens > rows:
        raise UserError(
            f"The tokenizer of --model {source.name} has {tokens} tokens, the model {rows}: tokens were added and the"
            " model was not resized. Train it with this tokenizer first (logitmix glue), or give it its own."
        )
    return tokenizer


def _missing(source: Pretrained) -> UserError:
    return UserError(
        f"--model {source.name} comes without a tokenizer (tokenizer.json, vocab.txt or the like): save the one that it"
        " was trained with beside it."
    )


def _let_pad(source: Pretrained, tokenizer: Any, config: Any) -> None:
    number = getattr(config, "pad_token_id", None)
    number = number if isinstance(number, int) and number >= 0 else None
    if tokenizer.pad_token is None:
        named = None if number is None else tokenizer.convert_ids_to_tokens(number)
        token = named or tokenizer.eos_token or tokenizer.unk_token
        if token is None:
            raise UserError(
                f"The tokenizer of --model {source.name} has no padding token, nor an end of text to stand for it: give it"
                " one (tokenizer.pad_token = …) and save it."
            )
        tokenizer.pad_token = token
    if number is None:  # decoders look for the last token that is not this one
        config.pad_token_id = tokenizer.pad_token_id


def grow_embeddings(model: Any, tokenizer: Any) -> int:
    """Make room in the model's embeddings for tokens that were added to the tokenizer; how many there are."""
    missing = max(tokenizer.get_vocab().values()) + 1 - model.get_input_embeddings().num_embeddings
    if missing > 0:
        model.resize_token_embeddings(model.get_input_embeddings().num_embeddings + missing)
    return max(missing, 0)


def longest(config: Any) -> int | None:
    """As many tokens as positions of the model hold; None where nothing limits them."""
    positions = getattr(config, "max_position_embeddings", None)
    if not isinstance(positions, int) or not 0 < positions < 10**6:
        return None
    try:
        with torch.device("meta"):
            model = AutoModelForSequenceClassification.from_config(config)
    except Exception:  # not every model can be built so
        return positions
    for place, module in model.named_modules():
        padding = getattr(module, "padding_idx", None)
        if place.endswith("position_embeddings") and isinstance(padding, int):
            positions -= padding + 1  # RoBERTa counts positions from there
    return positions


def usual_length(tokenizer: Any, config: Any) -> int:
    """As many tokens as both tokenizer and model say that they read, as ``pipeline`` cuts."""
    limits = [tokenizer.model_max_length, longest(config) or 0]
    return min((limit for limit in limits if 0 < limit < 10**6), default=UNLIMITED)


def check_length(asked: int, config: Any, name: str) -> None:
    """Require the model to have positions for as many tokens.

    Raises:
        UserError: naming how many it has.
    """
    limit = longest(config)
    if limit is not None and asked > limit:
        raise UserError(f"--max_length {asked} is more than the {limit} tokens that {name} reads: give at most these.")


def encode(tokenizer: Any, texts: Sequence[Sequence[str]], max_length: int) -> tuple[dict[str, list[Any]], list[bool]]:
    """Model inputs of every row, not padded, and which rows were cut. A row without any token gets one.

    Args:
        texts: one list of texts, or two for pairs, which are cut at the longer text first.
    """
    made = tokenizer(*map(list, texts), truncation="longest_first", max_length=max_length, padding=False)
    if made.encodings is not None:
        cut = [bool(encoding.overflowing) for encoding in made.encodings]
    else:
        uncut_ids = tokenizer(*map(list, texts), truncation=False, verbose=False)["input_ids"]
        cut = [len(ids) > max_length for ids in uncut_ids]
    inputs = {name: list(values) for name, values in made.items()}
    for row, ids in enumerate(inputs["input_ids"]):
        if not ids:  # an empty text, where no special token is added: decoders
            known = (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id)
            one = {"input_ids": next(number for number in known if number is not None), "attention_mask": 1}
            for name, values in inputs.items():
                values[row] = [one.get(name, 0)]
    return inputs, cut
