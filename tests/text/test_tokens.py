"""Tokens equal those of the tokenizer called by hand, and are read from disk the second time."""

from __future__ import annotations

import pytest
from datasets import Dataset, config
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import BatchEncoding, BertTokenizer, DataCollatorWithPadding, PreTrainedTokenizerFast

from logitmix_hf.errors import UserError
from logitmix_hf.text import tokens
from logitmix_hf.text.tokens import tokenize

WORDS = ["a", "man", "plays", "the", "harp", "loud", "##ly", "no", "one", "is", "here"]
TEXTS = ["a man plays the harp", "", "loudly", "no one is here is here is here", "zzz"]
OTHERS = ["the harp plays a man loudly", "one", "", "no", "here here here here here here here here"]


def make_tokenizer(words=WORDS):
    vocabulary = {word: i for i, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *words])}
    backend = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    backend.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
        **names,
    )


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(config, "HF_DATASETS_CACHE", tmp_path / "cache")


def make_data(texts=TEXTS):
    rows = {"text": texts, "other": OTHERS[: len(texts)], "labels": list(range(len(texts)))}
    return Dataset.from_dict({**rows, "idx": [10 + i for i in range(len(texts))], "posterior": [[1.0]] * len(texts)})


@pytest.mark.parametrize("columns", [("text",), ("text", "other")])
@pytest.mark.parametrize("length", [5, 7, 64])
def test_rows_that_are_cut_are_counted(columns, length):
    """Also by a tokenizer without a backend, and when the tokens come from the cache."""
    data = make_data()
    whole = make_tokenizer()(*(data[name][:] for name in columns))["input_ids"]
    wanted = sum(len(ids) > length for ids in whole)
    assert wanted < len(data)
    for _ in range(2):
        assert tokens.tokenize_and_count(data, make_tokenizer(), columns, length)[1] == wanted
    slow = lambda *texts, **options: BatchEncoding(dict(make_tokenizer()(*texts, **options)))  # noqa: E731
    batch = {name: data[name][:] for name in columns}
    assert sum(tokens._tokenize_batch(batch, slow, columns, length)["cut"]) == wanted


@pytest.mark.parametrize("columns", [("text",), ("text", "other")])
@pytest.mark.parametrize("length", [5, 7, 64])
def test_rows_equal_the_tokenizer_called_by_hand(columns, length):
    tokenizer, data = make_tokenizer(), make_data()
    made = tokenize(data, tokenizer, columns, length)
    assert set(made.column_names) == {"input_ids", "token_type_ids", "attention_mask", "labels", "idx"}
    assert (made["labels"][:], made["idx"][:]) == (data["labels"][:], data["idx"][:])
    for row, texts in zip(made, zip(*(data[name] for name in columns), strict=True), strict=True):
        # lists of one: called with a lone pair, transformers takes an empty second text for none
        by_hand = make_tokenizer()(*([text] for text in texts), truncation="longest_first", max_length=length)
        assert {name: [row[name]] for name in by_hand} == dict(by_hand)
        assert len(row["input_ids"]) <= length


def test_a_long_pair_is_cut_at_its_longer_text():
    data = Dataset.from_dict({"a": ["no"], "b": ["the " * 20]})
    assert tokenize(data, make_tokenizer(), ("a", "b"), 8)["input_ids"][0] == [
        2,
        11,
        3,
        7,
        7,
        7,
        7,
        3,
    ]  # [CLS] no [SEP] the the the the [SEP]


def test_nothing_is_padded_before_the_collator():
    ids = list(tokenize(make_data(), make_tokenizer(), ("text",), 64)["input_ids"])
    assert [len(row) for row in ids] == [7, 2, 4, 10, 3]
    batch = DataCollatorWithPadding(make_tokenizer())([{"input_ids": row} for row in ids[:3]])
    assert batch["input_ids"].shape == (3, 7)


def test_the_second_call_reads_the_first_ones_file(monkeypatch):
    tokenizer = make_tokenizer()
    first = tokenize(make_data(), tokenizer, ("text", "other"), 9)
    assert first.cache_files
    monkeypatch.setattr(tokens, "_tokenize_batch", lambda *_, **__: pytest.fail("tokenised again"))
    tokenizer(["a"], padding="max_length", truncation=True, max_length=3)  # which the tokenizer remembers
    for again in (tokenizer, make_tokenizer()):
        second = tokenize(make_data(), again, ("text", "other"), 9)
        assert second._fingerprint == first._fingerprint
        assert second[:] == first[:]


@pytest.mark.parametrize("change", ["texts", "vocabulary", "columns", "length", "side"])
def test_whatever_decides_the_tokens_decides_the_cache(change):
    first = tokenize(make_data(), make_tokenizer(), ("text",), 9)
    texts, words, columns, length = list(TEXTS), list(WORDS), ("text",), 9
    if change == "texts":
        texts[1] = "a"
    elif change == "vocabulary":
        words = words[::-1]
    elif change == "columns":
        columns = ("other",)
    elif change == "length":
        length = 8
    tokenizer = make_tokenizer(words)
    if change == "side":
        tokenizer.truncation_side = "left"
    second = tokenize(make_data(texts), tokenizer, columns, length)
    assert second._fingerprint != first._fingerprint
    assert second[:] != first[:]


def test_a_tokenizer_in_python_is_cached_too(tmp_path):
    (tmp_path / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]))
    tokenizer = BertTokenizer.from_pretrained(tmp_path)
    first, second = (tokenize(make_data(), tokenizer, ("text",), 9) for _ in range(2))
    assert first._fingerprint == second._fingerprint
    assert first[0]["input_ids"] == tokenizer(TEXTS[0])["input_ids"]


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(config, "HF_DATASETS_CACHE", tmp_path / "file")
    made = tokenize(make_data(), make_tokenizer(), ("text",), 9)
    assert len(made) == len(TEXTS)
    assert not made.cache_files


def test_mistakes():
    with pytest.raises(UserError, match="max_length must be a number at least 4, got 3"):
        tokenize(make_data(), make_tokenizer(), ("text", "other"), 3)
    with pytest.raises(UserError, match="one text or a pair; got 3 columns"):
        tokenize(make_data(), make_tokenizer(), ("text", "other", "idx"), 9)
