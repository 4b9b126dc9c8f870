"""The mixed forward pass: laws that hold for every family, site and kind of attention."""

from __future__ import annotations

import itertools

import pytest
import torch
from tiny import CONFIGS, EAGER_ONLY, LAYERS, LLAMA, batch_of, build
from torch import nn
from transformers import BartConfig, BartForSequenceClassification, SqueezeBertConfig, XLMConfig

from logitmix_hf.errors import UserError
from logitmix_hf.plan import MixPlan, blend, draw_plan
from logitmix_hf.text.forward import MixedForward

CASES = [
    (family, attention)
    for family, attention in itertools.product(CONFIGS, ("sdpa", "eager"))
    if attention == "eager" or family not in EAGER_ONLY
]
HIDDEN_SITES = ["embeddings", "layer.1", f"layer.{LAYERS}", "cls"]


def plan_for(batch, seed: int = 3) -> MixPlan:
    return draw_plan(len(batch["input_ids"]), 3.0, torch.Generator().manual_seed(seed), per="example")


def passes(model, site):
    """The pass with each kind of attention that the model can do."""
    union = MixedForward(model, site, attention="union")
    yield union
    union.remove()
    try:
        soft = MixedForward(model, site, attention="soft")
    except UserError:
        assert model.config.model_type == "deberta-v2"
        return
    yield soft
    soft.remove()


@pytest.mark.parametrize(("family", "attention"), CASES)
@pytest.mark.parametrize("site", [*HIDDEN_SITES, "pooled"])
@torch.no_grad()
def test_laws_of_the_mixed_pass(family, attention, site):
    model, batch = build(CONFIGS[family], attention), batch_of()
    plan = plan_for(batch)
    untouched = model(**batch).logits
    for forward in passes(model, site):
        clean, mixed = forward(batch, plan)
        # Clean rows are the untouched model's.
        torch.testing.assert_close(clean, untouched, atol=1e-5, rtol=1e-4)
        # lam = 1 gives the clean row.
        whole = MixPlan(plan.sources, torch.tensor([[1.0, 0.0]]).repeat(plan.rows, 1))
        torch.testing.assert_close(forward(batch, whole)[1], untouched, atol=1e-5, rtol=1e-4)
        # Mixed logits are the mixture of logits right before the linear head, and not before.
        gap = float((mixed - blend(clean, plan)).abs().max())
        assert (gap < 1e-5) if site == "pooled" else (gap > 1e-3)
        # A permutation of the batch permutes the result.
        order = torch.tensor([3, 0, 4, 1, 2])
        inverse = order.argsort()
        permuted = MixPlan(inverse[plan.sources[order]], plan.shares[order])
        again = forward({name: value[order] for name, value in batch.items()}, permuted)[1]
        torch.testing.assert_close(again, mixed[order], atol=1e-5, rtol=1e-4)
        # What the hooks leave behind: nothing.
        assert torch.equal(model(**batch).logits, untouched)


def rows_a_layer(layers) -> tuple[list[int], list]:
    """How many rows each layer hands on, filled as the model runs; and the hooks that watch."""
    rows: list[int] = []

    def watch(layer, args, output):
        rows.append(len(output[0] if isinstance(output, tuple) else output))

    return rows, [layer.register_forward_hook(watch) for layer in layers]


@pytest.mark.parametrize(("family", "attention"), CASES)
@pytest.mark.parametrize("site", ["embeddings", "layer.1", "layer.3", "cls", "pooled"])
def test_mixed_rows_alone_are_those_of_the_doubled_pass_at_the_price_of_a_plain_one(family, attention, site):
    """Logits and gradients; and every layer runs as many rows as a plain step has."""
    model, batch = build(CONFIGS[family], attention), batch_of()
    plan = plan_for(batch)
    for forward in passes(model, site):
        expected = forward(batch, plan)[1]
        expected.square().sum().backward()
        wanted = [p.grad.clone() for p in model.parameters() if p.grad is not None]
        model.zero_grad()
        forward.run(batch, plan, clean=False)  # a model that looks at its mask after the layers is found out here
        rows, handles = rows_a_layer(forward.sites.layers)
        clean, mixed = forward.run(batch, plan, clean=False)
        mixed.square().sum().backward()
        for handle in handles:
            handle.remove()
        torch.testing.assert_close(mixed, expected, atol=1e-5, rtol=1e-4)
        for got, want in zip([p.grad for p in model.parameters() if p.grad is not None], wanted, strict=True):
            torch.testing.assert_close(got, want, atol=2e-4, rtol=1e-3)
        model.zero_grad()
        # DeBERTa's convolution looks at padding; a mean over tokens needs the mask once more.
        both = forward.sites.siblings or (family == "modernbert-mean" and site not in ("embeddings", "pooled"))
        assert (clean is None) == (not both)
        if not both:
            assert set(rows) == {plan.rows}
        forward.remove()


@pytest.mark.parametrize("family", [family for family in CONFIGS if family != "roberta"])
@pytest.mark.parametrize("site", HIDDEN_SITES)
@torch.no_grad()
def test_padding_never_leaks_into_a_mixed_row(family, site):
    """RoBERTa counts positions by padding ids, so its own rows would change too: it has a test of its own below."""
    model, batch = build(CONFIGS[family], "eager"), batch_of()
    plan = plan_for(batch)
    other = {**batch, "input_ids": batch["input_ids"].masked_fill(batch["attention_mask"] == 0, 37)}
    for forward in passes(model, site):
        torch.testing.assert_close(forward(other, plan)[1], forward(batch, plan)[1], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("site", HIDDEN_SITES)
@torch.no_grad()
def test_more_padding_changes_nothing(site):
    model, batch = build(CONFIGS["roberta"]), batch_of()
    longer = {"input_ids": nn.functional.pad(batch["input_ids"], (0, 5), value=1)}
    longer["attention_mask"] = nn.functional.pad(batch["attention_mask"], (0, 5))
    plan = plan_for(batch)
    for forward in passes(model, site):
        torch.testing.assert_close(forward(longer, plan)[1], forward(batch, plan)[1], atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_a_mixture_equals_a_network_fed_with_mixed_embeddings():
    """An outside reference: BERT run on blended embeddings, rows of equal length, so that no mask matters."""
    model, batch = build(CONFIGS["bert"]), batch_of()
    batch["attention_mask"] = torch.ones_like(batch["attention_mask"])
    plan = plan_for(batch)
    hidden = blend(model.bert.embeddings(input_ids=batch["input_ids"]), plan)
    for layer in model.bert.encoder.layer:
        hidden = layer(hidden)
        hidden = hidden[0] if isinstance(hidden, tuple) else hidden
    expected = model.classifier(model.bert.pooler(hidden))
    torch.testing.assert_close(MixedForward(model, "embeddings")(batch, plan)[1], expected, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_soft_attention_weighs_a_key_by_the_share_of_the_sentences_that_have_it():
    """By hand on one attention layer's output: softmax(score + log w) is the w-weighted softmax."""
    from logitmix_hf.text.attention import TokenShares

    mask = torch.tensor([[1, 1, 1, 0], [1, 1, 0, 0]])
    plan = MixPlan(torch.tensor([[0, 1], [1, 0]]), torch.tensor([[0.7, 0.3], [0.7, 0.3]]))
    bias = TokenShares.of(mask, plan, 4).bias(torch.float64)
    scores = torch.tensor([0.5, -1.0, 2.0, 0.3], dtype=torch.float64)
    weights = torch.tensor([[1, 1, 0.7, 0], [1, 1, 0.3, 0]], dtype=torch.float64)
    expected = weights * scores.exp()
    got = (scores + bias[2:, 0, 0]).softmax(-1)
    torch.testing.assert_close(got, expected / expected.sum(1, keepdim=True), atol=1e-7, rtol=1e-6)
    assert torch.equal(bias[:2], torch.zeros_like(bias[:2]))


def test_dropout_makes_the_similarity_at_pooled_differ_from_zero_as_the_formula_says():
    """E L_sim = q / (1 - q) sum_j mean_c W_cj^2 (p_mix_j^2 + lam^2 p1_j^2 + (1 - lam)^2 p2_j^2) with independent masks."""
    model, batch = build(CONFIGS["bert"], classifier_dropout=0.2, hidden_dropout_prob=0.0), batch_of(2)
    model.train()
    plan = MixPlan(torch.tensor([[0, 1], [1, 0]]), torch.tensor([[0.37, 0.63], [0.37, 0.63]]))
    forward = MixedForward(model, "pooled")
    pooled = model.bert(**batch).pooler_output.detach()
    mixed = blend(pooled, plan)
    squares = mixed**2 + 0.37**2 * pooled**2 + 0.63**2 * pooled.flip(0) ** 2
    expected = 0.25 * (squares * (model.classifier.weight.detach() ** 2).mean(0)).sum(1)
    torch.manual_seed(0)
    total = torch.zeros(2)
    with torch.no_grad():
        for _ in range(900):
            clean, mixed_logits = forward(batch, plan)
            total += (mixed_logits - blend(clean, plan)).square().mean(1)
    torch.testing.assert_close(total / 900, expected, atol=0.0, rtol=0.15)


# ALBERT offers no checkpointing; stock DeBERTa-v2 cannot be checkpointed in the reentrant way.
@pytest.mark.parametrize(
    ("family", "reentrant"),
    [("bert", False), ("bert", True), ("modernbert-mean", False), ("modernbert-mean", True), ("deberta-v2", False)],
)
def test_gradient_checkpointing_gives_the_same_gradients(family, reentrant):
    def gradients(checkpointing: bool) -> list[torch.Tensor]:
        model, batch = build(CONFIGS[family], "eager"), batch_of()
        for module in model.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0
        if checkpointing:
            model.gradient_checkpointing_enable({"use_reentrant": reentrant})
            model.enable_input_require_grads()
        model.train()
        forward = MixedForward(model, "layer.1")
        clean, mixed = forward(batch, plan_for(batch))
        (clean.square().mean() + mixed.square().mean()).backward()
        return [parameter.grad for parameter in model.parameters() if parameter.grad is not None]

    for with_it, without in zip(gradients(True), gradients(False), strict=True):
        torch.testing.assert_close(with_it, without, atol=1e-6, rtol=1e-4)


def test_an_evaluation_between_forward_and_backward_runs_the_untouched_model():
    model, batch = build(CONFIGS["bert"]), batch_of()
    expected = model(**batch).logits
    forward = MixedForward(model, "layer.1")
    _, mixed = forward(batch, plan_for(batch))
    assert torch.equal(model(**batch).logits, expected)
    mixed.sum().backward()


def test_several_layers_are_drawn_by_the_generator():
    model, batch = build(CONFIGS["bert"]), batch_of()
    forward, plan = MixedForward(model, "layers:0,2"), plan_for(batch)
    fixed = [MixedForward(build(CONFIGS["bert"]), site)(batch, plan)[1] for site in ("embeddings", "layer.2")]
    seen = set()
    for seed in range(12):
        mixed = forward(batch, plan, torch.Generator().manual_seed(seed))[1]
        seen.add(next(i for i, reference in enumerate(fixed) if torch.allclose(mixed, reference, atol=1e-5)))
    assert seen == {0, 1}
    with pytest.raises(UserError, match="generator"):
        forward(batch, plan)


@torch.no_grad()
def test_a_decoder_mixes_its_last_tokens_at_pooled_only():
    model, batch = build(LLAMA), batch_of()
    plan = plan_for(batch)
    expected = model(**batch).logits
    clean, mixed = MixedForward(model, "pooled")(batch, plan)
    torch.testing.assert_close(clean, expected, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(mixed, blend(expected, plan), atol=1e-5, rtol=1e-4)
    with pytest.raises(UserError, match="last token"):
        MixedForward(model, "layer.1")


@torch.no_grad()
def test_one_row_and_no_mask():
    model = build(CONFIGS["bert"])
    batch = {"input_ids": batch_of(1)["input_ids"]}
    plan = draw_plan(1, 3.0, torch.Generator().manual_seed(0))
    clean, mixed = MixedForward(model, "layer.1")(batch, plan)
    torch.testing.assert_close(mixed, clean, atol=1e-5, rtol=1e-4)


def test_mistakes_are_named():
    model, batch = build(CONFIGS["bert"]), batch_of()
    for site, words in (("layer.9", "layers 1 to 3"), ("midle", "Did you mean 'middle'"), ("layer.0", "1 to 3")):
        with pytest.raises(UserError, match=words):
            MixedForward(model, site)
    forward = MixedForward(model)
    with pytest.raises(UserError, match="labels"):
        forward({**batch, "labels": torch.zeros(5)}, plan_for(batch))
    with pytest.raises(UserError, match="4 rows"):
        forward(batch, draw_plan(4, 3.0, torch.Generator()))
    with pytest.raises(UserError, match="accelerate launch"):
        MixedForward(nn.DataParallel(model))
    with pytest.raises(UserError, match="additive"):
        MixedForward(build(CONFIGS["deberta-v2"], "eager"), attention="soft")


def test_networks_without_a_usable_stack_are_refused_with_what_they_have():
    xlm = build(XLMConfig(vocab_size=60, emb_dim=32, n_layers=2, n_heads=4, num_labels=3, pad_index=1), "eager")
    with pytest.raises(UserError, match="no lists of equal layers.*Modules that exist: Linear"):
        MixedForward(xlm)
    bart = BartForSequenceClassification(
        BartConfig(
            vocab_size=60, d_model=16, encoder_layers=1, decoder_layers=1, encoder_ffn_dim=16, decoder_ffn_dim=16
        )
    )
    with pytest.raises(UserError, match="an encoder and a decoder"):
        MixedForward(bart)
    small = {"vocab_size": 60, "hidden_size": 32, "embedding_size": 32, "num_hidden_layers": 2}
    squeeze = build(SqueezeBertConfig(**small, num_attention_heads=4, intermediate_size=32, num_labels=3), "eager")
    with pytest.raises(UserError, match="take site 'pooled'"):  # it calls its layers past their hooks
        MixedForward(squeeze, "layer.1")(batch_of(), plan_for(batch_of()))
