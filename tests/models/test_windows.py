"""Windows of long texts: those that the tokenizer gives, pooled as a loop by hand does."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
import torch
from tiny import CONFIGS, build
from transformers import AutoTokenizer, DataCollatorWithPadding

from logitmix_hf.arguments import MixArguments
from logitmix_hf.errors import UserError
from logitmix_hf.models.long_texts import Windows
from logitmix_hf.models.windows import WindowCollator, Windowed, answer_windows, encode_windows
from logitmix_hf.plan import MixPlan, blend
from logitmix_hf.steps import Where, build_step

SHORT, LONG, LONGER = "good film", "bad meal the film was " * 4, "very not good the meal is fine " * 5
WINDOWS = Windows(12, 4)


@pytest.fixture(scope="module")
def tokenizer(tiny_model):
    return AutoTokenizer.from_pretrained(tiny_model)


def batch_of(tokenizer, *texts: list[str], windows: Windows = WINDOWS, **columns):
    made, _ = encode_windows(tokenizer, texts, windows)
    rows = [dict(zip(made, row, strict=True)) for row in zip(*made.values(), strict=True)]
    return WindowCollator(tokenizer)([{**row, **{k: v[n] for k, v in columns.items()}} for n, row in enumerate(rows)])


def by_hand(model, tokenizer, *texts: str, which: str = "only_first", stride: int = 4) -> torch.Tensor:
    """One text or pair through the tokenizer's own windows, one at a time: sum of tokens x logits / sum of tokens."""
    options = {"truncation": which, "max_length": 12, "stride": stride, "return_overflowing_tokens": True}
    split = tokenizer(*([text] for text in texts), **options)
    total, tokens = torch.zeros(3, dtype=torch.float64), 0
    for k, ids in enumerate(split["input_ids"]):
        inputs = {name: torch.tensor([split[name][k]]) for name in tokenizer.model_input_names}
        total += len(ids) * model(**inputs).logits[0].double()
        tokens += len(ids)
    return total / tokens


@torch.no_grad()
def test_pooled_logits_are_those_of_a_loop_over_the_tokenizers_windows(tokenizer):
    model = build(CONFIGS["bert"])
    answer_windows(model)
    texts = [LONG, SHORT, LONGER, ""]
    wanted = torch.stack([by_hand(model, tokenizer, text) for text in texts])
    batch = batch_of(tokenizer, texts, labels=[2, 0, 1, 1])
    assert batch["input_ids"].shape[:2] == (4, len(tokenizer(
        [LONGER], truncation=True, max_length=12, stride=4, return_overflowing_tokens=True)["input_ids"]))  # fmt: skip
    assert batch.pop("labels").tolist() == [2, 0, 1, 1]
    assert model(**batch).logits == pytest.approx(wanted.float(), abs=1e-5)
    twin = pickle.loads(pickle.dumps(model))  # hooks and all
    assert torch.equal(twin(**batch).logits, model(**batch).logits)


@torch.no_grad()
def test_short_texts_are_answered_as_without_windows_to_the_last_bit(tokenizer):
    model, texts = build(CONFIGS["bert"]), [SHORT, "", "very bad meal"]
    cut = DataCollatorWithPadding(tokenizer)([tokenizer(text) for text in texts])
    wanted = model(**cut).logits
    answer_windows(model)
    assert torch.equal(model(**batch_of(tokenizer, texts)).logits, wanted)


@torch.no_grad()
@pytest.mark.parametrize(("first", "second", "which"), [(SHORT, LONG, "only_second"), (LONG, SHORT, "only_first")])
def test_of_a_pair_the_longer_text_is_split_and_the_other_stands_in_every_window(tokenizer, first, second, which):
    model = build(CONFIGS["bert"])
    answer_windows(model)
    room = 12 - 3 - 2  # three special tokens, two of the short text
    wanted = by_hand(model, tokenizer, first, second, which=which, stride=min(4, room // 2))
    assert model(**batch_of(tokenizer, [first], [second])).logits[0] == pytest.approx(wanted.float(), abs=1e-5)


def test_of_two_long_texts_the_shorter_takes_half_of_the_room(tokenizer):
    split, several = encode_windows(tokenizer, [[LONG], [LONGER]], WINDOWS)
    kept = tokenizer(LONG, add_special_tokens=False)["input_ids"][: (12 - 3) // 2]
    assert several == [True]
    for ids in split["input_ids"][0]:
        assert ids[1 : 1 + len(kept)] == kept
        assert len(ids) <= 12
    seen = [ids[len(kept) + 2 : -1] for ids in split["input_ids"][0]]
    words = tokenizer(LONGER, add_special_tokens=False)["input_ids"]
    assert seen[0] == words[: len(seen[0])]
    assert seen[-1] == words[-len(seen[-1]) :]


def test_all_windows_of_a_row_are_mixed_with_those_of_one_partner_by_one_share():
    there = torch.tensor([[1, 1, 1], [1, 0, 0], [1, 1, 0]])
    batch = {"input_ids": torch.arange(3 * 3 * 2).reshape(3, 3, 2), "attention_mask": there[..., None].expand(3, 3, 2)}
    windows = Windowed.of(batch)
    assert windows is not None
    plan = windows.plan(MixPlan(torch.tensor([[0, 2], [1, 0], [2, 1]]), torch.tensor([[0.9, 0.1], [0.8, 0.2], [1, 0]])))
    # windows 0 1 2 are row 0's, 3 is row 1's, 4 5 are row 2's
    assert plan.sources.tolist() == [[0, 4], [1, 5], [2, 4], [3, 0], [4, 3], [5, 3]]
    assert plan.lam.tolist() == pytest.approx([0.9, 0.9, 0.9, 0.8, 1, 1])


@pytest.mark.parametrize(
    ("mix", "name", "cls", "other"),
    [
        (
            {"site": "layer.1", "lam": 1.0},
            "mix",
            1,
            1,
        ),  # a share of 1 leaves every row as it is: mixed are clean logits
        ({"mixer": "spans", "lam": 1.0}, "mix", 1, 1),
        ({"method": "rdrop"}, "agree", 2, 0),  # both passes are judged, and agree without dropout
    ],
    ids=["hidden", "spans", "rdrop"],
)
def test_a_step_takes_the_loss_of_pooled_logits(tokenizer, mix, name, cls, other):
    model = build(CONFIGS["bert"], hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    answer_windows(model)
    batch, labels = dict(batch_of(tokenizer, [LONG, SHORT, LONGER])), torch.tensor([2, 0, 1])
    wanted = torch.nn.functional.cross_entropy(model(**batch).logits, labels, reduction="none").detach()
    step = build_step(model.train(), MixArguments(**mix), tokenizer)
    out = step.run(model, batch, labels, Where(seed=0, step=0))
    assert out.terms["cls"].detach() == pytest.approx(cls * wanted, abs=1e-5)
    assert out.terms[name].detach() == pytest.approx(other * wanted, abs=1e-5)


@torch.no_grad()
def test_rows_of_as_many_windows_mix_as_their_pooled_logits_where_the_network_is_linear_from_there(tokenizer):
    """At the pooled vector of a BERT only the tanh and the head follow; the last layer alone is linear: there the mixture of
    pooled logits is the pooled logits of the mixture, whatever the shares."""
    model = build(CONFIGS["electra"], hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    answer_windows(model)
    batch = dict(batch_of(tokenizer, [LONG, "film the good meal very " * 4]))
    plan = MixPlan(torch.tensor([[0, 1], [1, 0]]), torch.tensor([[0.7, 0.3], [0.4, 0.6]]))
    step: Any = build_step(model, MixArguments(method="logitmix", site="pooled"), tokenizer)
    passed = step.passes.step(batch, plan, torch.Generator(), model, torch.tensor([0, 1]), step.mixes["linear"])
    assert passed.mixed == pytest.approx(blend(passed.clean, plan), abs=1e-5)
    step.remove()


def test_what_a_configuration_says_is_read_back_and_mistakes_are_one_line(tokenizer):
    config = CONFIGS["bert"].to_dict() | {"long_texts": WINDOWS.record()}
    assert Windows.read(type(CONFIGS["bert"])(**config)) == WINDOWS
    assert Windows.read(CONFIGS["bert"]) is None
    assert Windows.of(128) == Windows(128, 32)
    with pytest.raises(UserError, match="window_overlap must be a number at least 0 and at most 64, got 65"):
        Windows.of(128, 65)
