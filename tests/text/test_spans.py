"""Sentences are cut as the docstrings say: every law recounted here token by token, in plain Python."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare
from torch import Tensor

from logitmix_hf.errors import UserError
from logitmix_hf.plan import MixPlan
from logitmix_hf.text.spans import boundary_ids, mix_spans, token_saliency

PAD, BEGIN, END = 0, 1, 2
SPECIAL = {PAD, BEGIN, END}


def make_batch(rows: list[list[int]], layouts: list[str], sides: list[str], extra: int = 0) -> dict[str, Tensor]:
    """One row for each list of sentence lengths. No two content tokens share an id: 1000 * (row + 1) + position."""
    texts = []
    for row, (lengths, layout) in enumerate(zip(rows, layouts, strict=True)):
        between = [END] if layout == "bert" else [END, END]
        text = [BEGIN]
        for number, length in enumerate(lengths):
            text += between if number else []
            text += [1000 * (row + 1) + len(text) + i for i in range(length)]
        texts.append([*text, END])
    width = max(map(len, texts)) + extra
    ids = torch.full((len(rows), width), PAD)
    mask = torch.zeros(len(rows), width, dtype=torch.int64)
    for row, (text, side) in enumerate(zip(texts, sides, strict=True)):
        at = 0 if side == "right" else width - len(text)
        ids[row, at : at + len(text)] = torch.tensor(text)
        mask[row, at : at + len(text)] = 1
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": torch.randint(2, ids.shape)}


def plain(rows: list[list[int]], layout: str = "bert", extra: int = 0) -> dict[str, Tensor]:
    return make_batch(rows, [layout] * len(rows), ["right"] * len(rows), extra)


def pairs(partners: list[int], lams: list[float]) -> MixPlan:
    keep = torch.tensor(lams, dtype=torch.float32)
    return MixPlan(torch.stack([torch.arange(len(lams)), torch.tensor(partners)], 1), torch.stack([keep, 1 - keep], 1))


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def sentences(ids: list[int]) -> list[list[int]]:
    """Positions of each sentence, found by walking: padding has a special id here."""
    return [
        [position for position, _ in run]
        for special, run in itertools.groupby(enumerate(ids), key=lambda pair: pair[1] in SPECIAL)
        if not special
    ]


def expected_cut(lam: float, own: int, other: int) -> int:
    return min(round(float((np.float32(1) - np.float32(lam)) * np.float32(own))), other)


@st.composite
def cases(draw: st.DrawFn) -> tuple[dict[str, Tensor], MixPlan, Tensor]:
    count = draw(st.integers(1, 6))
    # A sentence may be empty, single, and a pair may meet a single sentence.
    rows = draw(st.lists(st.lists(st.integers(0, 7), min_size=1, max_size=2), min_size=count, max_size=count))
    layouts = draw(st.lists(st.sampled_from(["bert", "roberta"]), min_size=count, max_size=count))
    sides = draw(st.lists(st.sampled_from(["left", "right"]), min_size=count, max_size=count))
    batch = make_batch(rows, layouts, sides, extra=draw(st.integers(0, 3)))
    partners = draw(st.lists(st.integers(0, count - 1), min_size=count, max_size=count))
    lams = draw(st.lists(st.floats(0, 1, width=32), min_size=count, max_size=count))
    # Small whole numbers: ties happen, and their sums are exact.
    saliency = torch.randint(0, 4, batch["input_ids"].shape, generator=seeded(draw(st.integers(0, 99)))).float()
    return batch, pairs(partners, lams), saliency


@settings(deadline=None, max_examples=150)
@given(case=cases(), by_saliency=st.booleans(), seed=st.integers(0, 1000))
def test_every_sentence_carries_one_span_of_its_counterpart_and_the_share_is_what_stayed(case, by_saliency, seed):
    batch, plan, saliency = case
    before = {name: value.clone() for name, value in batch.items()}
    mixed, carried = mix_spans(batch, plan, seeded(seed), SPECIAL, saliency if by_saliency else None)

    for name, value in before.items():
        assert torch.equal(batch[name], value), f"{name} of the input changed"
    assert mixed.keys() == batch.keys()
    assert torch.equal(mixed["attention_mask"], before["attention_mask"])
    assert torch.equal(mixed["token_type_ids"], before["token_type_ids"])
    assert mixed["input_ids"].shape == before["input_ids"].shape
    assert torch.equal(carried.sources, plan.sources)

    old, new = before["input_ids"].tolist(), mixed["input_ids"].tolist()
    for row, partner in enumerate(plan.sources[:, 1].tolist()):
        own, others = sentences(old[row]), sentences(old[partner])
        assert sentences(new[row]) == own, "special tokens or padding moved"
        inside = {position for sentence in own for position in sentence}
        assert all(new[row][p] == old[row][p] for p in range(len(new[row])) if p not in inside)
        kept = sum(map(len, own))
        for number, sentence in enumerate(own):
            counterpart = others[number] if number < len(others) else []
            cut = 0 if partner == row else expected_cut(float(plan.lam[row]), len(sentence), len(counterpart))
            text = [new[row][p] for p in sentence]
            source = [old[partner][p] for p in counterpart]
            foreign = [i for i, p in enumerate(sentence) if new[row][p] != old[row][p]]
            assert len(foreign) == cut
            if cut:
                first = foreign[0]
                assert foreign == list(range(first, first + cut)), "the span has holes"
                at = source.index(text[first])
                assert text[first : first + cut] == source[at : at + cut]
            kept -= cut
        total = sum(map(len, own))
        share = kept / total if total else 1.0
        assert carried.lam[row].item() == pytest.approx(share, abs=1e-6)
        assert (share == 1) == (carried.lam[row].item() == 1)
        assert carried.shares[row].sum().item() == pytest.approx(1, abs=1e-6)


@settings(deadline=None, max_examples=80)
@given(case=cases())
def test_the_least_salient_span_gives_way_to_the_partners_most_salient_one(case):
    batch, plan, saliency = case
    mixed, _ = mix_spans(batch, plan, seeded(), SPECIAL, saliency)
    old, new = batch["input_ids"].tolist(), mixed["input_ids"].tolist()
    for row, partner in enumerate(plan.sources[:, 1].tolist()):
        wanted = list(old[row])
        for own, other in zip(sentences(old[row]), sentences(old[partner]), strict=False):
            cut = 0 if row == partner else expected_cut(float(plan.lam[row]), len(own), len(other))
            if not cut:
                continue
            sums = [saliency[row, own[i : i + cut]].sum().item() for i in range(len(own) - cut + 1)]
            rivals = [saliency[partner, other[i : i + cut]].sum().item() for i in range(len(other) - cut + 1)]
            to, start = own[sums.index(min(sums))], other[rivals.index(max(rivals))]
            wanted[to : to + cut] = old[partner][start : start + cut]
        assert new[row] == wanted


@settings(deadline=None, max_examples=60)
@given(case=cases(), seed=st.integers(0, 1000))
def test_a_permutation_of_the_batch_permutes_the_result(case, seed):
    batch, plan, saliency = case
    order = torch.randperm(plan.rows, generator=seeded(seed))
    where = torch.argsort(order)
    moved = MixPlan(where[plan.sources[order]], plan.shares[order])
    mixed, carried = mix_spans(batch, plan, seeded(), SPECIAL, saliency)
    shuffled = {name: value[order] for name, value in batch.items()}
    mixed_later, carried_later = mix_spans(shuffled, moved, seeded(), SPECIAL, saliency[order])
    assert torch.equal(mixed_later["input_ids"], mixed["input_ids"][order])
    assert torch.equal(carried_later.shares, carried.shares[order])


@settings(deadline=None, max_examples=60)
@given(case=cases(), seed=st.integers(0, 1000), extra=st.integers(1, 40))
def test_the_same_generator_gives_the_same_spans_however_far_the_batch_is_padded(case, seed, extra):
    batch, plan, _ = case
    width = batch["input_ids"].shape[1]
    wider = {name: torch.nn.functional.pad(value, (0, extra)) for name, value in batch.items()}
    mixed, carried = mix_spans(batch, plan, seeded(seed), SPECIAL)
    again, _ = mix_spans(batch, plan, seeded(seed), SPECIAL)
    padded, carried_padded = mix_spans(wider, plan, seeded(seed), SPECIAL)
    assert torch.equal(again["input_ids"], mixed["input_ids"])
    assert torch.equal(padded["input_ids"][:, :width], mixed["input_ids"])
    assert torch.equal(carried_padded.shares, carried.shares)


def test_spans_by_chance_start_everywhere_alike():
    """Two of four tokens replaced: three places to cut, three to take from, nine ways in all."""
    half = 1800
    batch = plain([[4]] * (2 * half))
    plan = pairs([(row + half) % (2 * half) for row in range(2 * half)], [0.5] * (2 * half))
    mixed, _ = mix_spans(batch, plan, seeded(3), SPECIAL)
    seen = np.zeros((3, 3), dtype=int)
    for new, old in zip(mixed["input_ids"].tolist(), batch["input_ids"].tolist(), strict=True):
        first = next(i for i in range(1, 5) if new[i] != old[i])
        seen[first - 1, new[first] % 1000 - 1] += 1
    assert seen.sum() == 2 * half
    assert chisquare(seen.ravel()).pvalue > 0.01


def test_a_saliency_leaves_the_generator_alone():
    batch, generator = plain([[4], [5]]), seeded()
    mix_spans(batch, pairs([1, 0], [0.5, 0.5]), generator, SPECIAL, torch.ones_like(batch["input_ids"]).float())
    assert torch.equal(generator.get_state(), seeded().get_state())


@pytest.mark.parametrize("factor", [1e-30, 1e-8, 3.0, 1e8, 1e30])
def test_the_scale_of_the_saliency_does_not_matter(factor):
    batch = plain([[9], [7], [8]])
    plan = pairs([1, 2, 0], [0.6, 0.5, 0.4])
    saliency = torch.rand(batch["input_ids"].shape, generator=seeded(5))
    mixed, _ = mix_spans(batch, plan, seeded(), SPECIAL, saliency)
    scaled, _ = mix_spans(batch, plan, seeded(), SPECIAL, saliency * factor)
    assert torch.equal(scaled["input_ids"], mixed["input_ids"])


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_gradients_that_overflowed_still_give_a_whole_sentence(bad):
    batch = plain([[4], [4]])
    saliency = torch.full(batch["input_ids"].shape, bad)
    mixed, carried = mix_spans(batch, pairs([1, 0], [0.5, 0.5]), seeded(), SPECIAL, saliency)
    assert [token // 1000 for token in mixed["input_ids"][0, 1:5].tolist()].count(2) == 2
    assert carried.lam.tolist() == [0.5, 0.5]


def test_numbers_by_hand():
    """Row 0 keeps 0.6 of 5 tokens and loses its two least salient, which are its last; the best two of row 1 come."""
    batch = plain([[5], [3]])
    saliency = torch.tensor([[9, 5, 4, 3, 2, 1, 9], [9, 1, 7, 8, 9, 0, 0]]).float()
    mixed, carried = mix_spans(batch, pairs([1, 0], [0.6, 1.0]), seeded(), SPECIAL, saliency)
    assert mixed["input_ids"].tolist() == [
        [BEGIN, 1001, 1002, 1003, 2002, 2003, END],
        [BEGIN, 2001, 2002, 2003, END, PAD, PAD],
    ]
    assert carried.shares[0].tolist() == pytest.approx([0.6, 0.4])
    assert carried.shares[1].tolist() == [1.0, 0.0]


@pytest.mark.parametrize("layout", ["bert", "roberta"])
def test_of_a_pair_and_a_single_sentence_only_the_first_sentences_mix(layout):
    batch = plain([[2, 4], [2]], layout)
    mixed, carried = mix_spans(batch, pairs([1, 0], [0.0, 0.0]), seeded(), SPECIAL)
    second = sentences(batch["input_ids"][0].tolist())[1]
    assert [mixed["input_ids"][0, p].item() for p in second] == [batch["input_ids"][0, p].item() for p in second]
    assert mixed["input_ids"][0, 1:3].tolist() == [2001, 2002]
    assert mixed["input_ids"][1, 1:3].tolist() == [1001, 1002]
    assert carried.lam[0].item() == pytest.approx(4 / 6)
    assert carried.lam[1].item() == 0


def test_single_tokens_change_hands_whole_or_not_at_all():
    batch = plain([[1], [1]])
    taken, carried = mix_spans(batch, pairs([1, 0], [0.4, 0.6]), seeded(), SPECIAL)
    assert taken["input_ids"][:, 1].tolist() == [2001, 2001]
    assert carried.lam.tolist() == [0.0, 1.0]


def test_an_empty_sentence_takes_and_gives_nothing():
    batch = plain([[0], [3], [0]])
    mixed, carried = mix_spans(batch, pairs([1, 2, 0], [0.0, 0.0, 0.0]), seeded(), SPECIAL)
    assert torch.equal(mixed["input_ids"], batch["input_ids"])
    assert carried.lam.tolist() == [1.0, 1.0, 1.0]


def test_without_a_mask_every_token_counts():
    ids = torch.tensor([[7, 8, 9], [4, 5, 6]])
    mixed, carried = mix_spans({"input_ids": ids}, pairs([1, 0], [0.0, 0.0]), seeded(), SPECIAL)
    assert mixed["input_ids"].tolist() == [[4, 5, 6], [7, 8, 9]]
    assert carried.lam.tolist() == [0.0, 0.0]


def test_mistakes_are_named():
    batch, plan = plain([[3], [3]]), pairs([1, 0], [0.5, 0.5])
    three = MixPlan(torch.zeros(2, 3, dtype=torch.int64), torch.full((2, 3), 1 / 3))
    with pytest.raises(UserError, match=r"K = 2.*got \(2, 3\)"):
        mix_spans(batch, three, seeded(), SPECIAL)
    with pytest.raises(UserError, match=r"plan of 2 rows.*got \(3, 2\)"):
        mix_spans(batch, pairs([0, 1, 2], [1.0] * 3), seeded(), SPECIAL)
    with pytest.raises(UserError, match="input_ids, got attention_mask"):
        mix_spans({"attention_mask": batch["attention_mask"]}, plan, seeded(), SPECIAL)
    with pytest.raises(UserError, match=r"saliency must be \(2, 5\).*got \(2, 4\)"):
        mix_spans(batch, plan, seeded(), SPECIAL, torch.zeros(2, 4))
    with pytest.raises(UserError, match=r"\(B, S, H\).*got \(2, 5\)"):
        token_saliency(torch.zeros(2, 5))


def test_token_saliency_is_the_norm_of_each_tokens_gradient():
    grad = torch.tensor([[[3.0, 4.0], [0.0, 2.0], [5.0, 12.0]]], dtype=torch.float16)
    assert token_saliency(grad, torch.tensor([[1, 1, 0]])).tolist() == [[5.0, 2.0, 0.0]]
    assert token_saliency(grad).tolist() == [[5.0, 2.0, 13.0]]
    # 256 * 256 is above what float16 holds.
    assert token_saliency(torch.full((1, 1, 1), 256.0, dtype=torch.float16)).tolist() == [[256.0]]


def test_unknown_and_masked_words_are_content():
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    words = {"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "[MASK]": 4, "[NOTE]": 5, "word": 6}
    core = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    bert = PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
    )
    assert boundary_ids(bert) == {0, 2, 3}
    # One id for everything, as GPT-2 has it, must still end a sentence.
    gpt = PreTrainedTokenizerFast(tokenizer_object=core, bos_token="[SEP]", eos_token="[SEP]", unk_token="[SEP]")
    assert boundary_ids(gpt) == {3}
