"""The models that the benchmarks run: MiniLM-L6 where its package is there, else its shape; or a tiny one."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from logitmix_hf.builtin.tasks import generate
from logitmix_hf.errors import UserError

MINILM: dict[str, Any] = {
    "vocab_size": 30522,
    "hidden_size": 384,
    "num_hidden_layers": 6,
    "num_attention_heads": 12,
    "intermediate_size": 1536,
}
TINY: dict[str, Any] = {
    "vocab_size": 2000,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
}


def model_folder(name: str, folder: Path) -> tuple[Path, str]:
    """A model's folder with its tokenizer, and what it is in words.

    Args:
        name: ``builtin``, ``tiny``, or the path of a folder.
        folder: where one with random weights is written.
    """
    if name == "tiny":
        return _random(TINY, folder), "a tiny BERT with random weights"
    if name != "builtin":
        return Path(name), name
    try:
        from logitmix_hf.builtin.model import builtin_model_path

        return Path(builtin_model_path()), "MiniLM-L6 (pretrained)"
    except (UserError, ImportError):
        return _random(MINILM, folder), "the shape of MiniLM-L6 with random weights (its package is missing)"


def _random(shape: dict[str, Any], folder: Path) -> Path:
    BertModel(BertConfig(**shape)).save_pretrained(folder)
    word_tokenizer().save_pretrained(folder)
    return folder


def word_tokenizer() -> PreTrainedTokenizerFast:
    """A tokenizer of the words of the built-in pairs."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    rows = generate("rte", "train", rows=200)
    texts = " ".join(rows["sentence1"] + rows["sentence2"]).lower()
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *sorted(set(re.findall(r"\w+|[^\w\s]+", texts)))]
    backend = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="[UNK]"))
    backend.normalizer = normalizers.Lowercase()  # type: ignore[attr-defined]
    backend.pre_tokenizer = pre_tokenizers.Whitespace()  # type: ignore[attr-defined]
    backend.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))  # type: ignore[attr-defined]
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]"
    )
