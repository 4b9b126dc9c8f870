"""Rows that are seen twice in a step: R-Drop as two passes written by hand, its cost, and atoms beside LogitMix."""

from __future__ import annotations

import pytest
import torch
from scipy.special import rel_entr, softmax
from test_trainer import first_gradients, no_dropout, trainer_of
from tiny import CONFIGS, LAYERS, LLAMA, batch_of, build
from torch.nn import functional as F

from logitmix_hf import MixArguments, UserError
from logitmix_hf.steps import Where, build_step
from logitmix_hf.text.sites import find_sites

WHERE, LABELS = Where(seed=1, step=0), torch.arange(5) % 3


def result(model, **options):
    step = build_step(model, MixArguments(**options))
    torch.manual_seed(7)  # dropout
    found = step.run(model, batch_of(), LABELS, WHERE)
    step.remove()
    return found


@pytest.mark.parametrize(
    "config", [CONFIGS["bert"], CONFIGS["modernbert"], LLAMA], ids=lambda config: config.model_type
)
def test_r_drop_is_two_whole_passes_with_their_own_dropout(config):
    """By hand: the batch twice through the model (a decoder too), both label losses and the paper's eq. 3."""
    drops = {name: 0.3 for name in config.to_dict() if "dropout" in name and name != "classifier_dropout"}
    model, batch = build(config, **drops).train(), batch_of()
    torch.manual_seed(7)
    one, other = model(**{name: torch.cat([v, v]) for name, v in batch.items()}).logits.detach().split(5)
    assert float((one - other).abs().max()) > 1e-3
    p, q = softmax(one.double().numpy(), 1), softmax(other.double().numpy(), 1)
    agree = torch.from_numpy(rel_entr(p, q).sum(1) + rel_entr(q, p).sum(1)).float() / 2
    nll = F.cross_entropy(one, LABELS, reduction="none") + F.cross_entropy(other, LABELS, reduction="none")
    found = result(model, method="rdrop", w_agree=4.0)
    torch.testing.assert_close(found.terms["agree"], agree, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(found.per_example, nll + 4 * agree, atol=1e-5, rtol=1e-4)
    assert found.terms["lam"].tolist() == [1.0] * 5


@pytest.mark.parametrize(
    ("options", "rows"),
    [
        ({"method": "rdrop"}, [10] * LAYERS),
        ({"method": "rdrop", "site": "layer.2"}, [5, 5, 10]),
        ({"method": "logitmix_atoms", "site": "layer.2"}, [5, 5, 10]),
        ({"method": "logitmix_two_views", "site": "layer.2"}, [5, 5, 15]),
        ({"method": "mixup", "site": "layer.2"}, [5, 5, 5]),
        ({"method": "logitmix", "site": "layer.2"}, [5, 5, 10]),
    ],
)
def test_what_a_step_costs(options, rows):
    model = build(CONFIGS["bert"]).train()
    seen: list[int] = []
    for layer in find_sites(model).layers:
        layer.register_forward_hook(lambda layer, args, output: seen.append(len(args[0])))
    result(model, **options)
    assert seen == rows


def test_atoms_of_one_at_a_layer_are_r_drop_from_there_on():
    model = build(CONFIGS["bert"]).train()
    atoms = result(model, method="logitmix_atoms", atom=1.0, site="layer.1")
    rdrop = result(model, method="rdrop", site="layer.1")
    assert torch.equal(atoms.per_example, rdrop.per_example)
    assert float(rdrop.terms["agree"].min()) > 0


@pytest.mark.parametrize("site", ["embeddings", "layer.1", "cls", "pooled"])
def test_without_dropout_the_views_of_a_row_are_the_row(site):
    model = no_dropout().train()
    found = result(model, method="logitmix_atoms", atom=1.0, site=site)
    clean = F.cross_entropy(model(**batch_of()).logits, LABELS, reduction="none")
    torch.testing.assert_close(found.terms["cls"], 2 * clean, atol=1e-4, rtol=1e-4)
    assert float(found.terms["agree"].max()) < 1e-9
    assert float(result(model, lam=1.0, site=site).terms["sim"].max()) < 1e-9


def test_a_row_takes_the_terms_of_its_own_lam():
    found = result(build(CONFIGS["bert"]).train(), method="logitmix_atoms", site="layer.1", lam_per="example")
    whole = found.terms["lam"] == 1
    assert 0 < int(whole.sum()) < 5
    for name, rows in (("mix", ~whole), ("sim", ~whole), ("agree", whole)):
        assert bool((found.terms[name][rows] > 0).all())
        assert found.terms[name][~rows].tolist() == [0] * int((~rows).sum())


def test_no_atoms_train_as_logitmix_to_the_last_bit(tmp_path):
    models = []
    for mix in (MixArguments(site="layer.1"), MixArguments(method="logitmix_atoms", atom=0, site="layer.1")):
        trainer = trainer_of(tmp_path, model=build(CONFIGS["bert"]), mix=mix, num_train_epochs=2)
        trainer.train()
        models.append(trainer.model)
    for one, other in zip(*(model.parameters() for model in models), strict=True):
        assert torch.equal(one, other)


def test_the_log_tells_of_the_agreement_and_the_terms_sum_to_the_loss(tmp_path):
    mix = MixArguments(method="logitmix_atoms", site="layer.1")
    trainer = trainer_of(tmp_path, model=build(CONFIGS["bert"]), mix=mix)
    trainer.train()
    lines = [line for line in trainer.state.log_history if "loss" in line]
    assert lines
    for line in lines:
        terms = line["loss_mix"] + line["loss_cls"] + line["loss_sim"] + 3 * line["loss_agree"]
        assert line["loss"] == pytest.approx(terms, rel=1e-3)
        assert line["loss_agree"] > 0


def test_accumulation_counts_the_rows_and_not_the_views(tmp_path):
    run = lambda **changes: first_gradients(  # noqa: E731
        tmp_path, model=no_dropout(), mix=MixArguments(method="rdrop"), rows=8,
        train_sampling_strategy="sequential", **changes,
    )  # fmt: skip
    parts = run(per_device_train_batch_size=1, gradient_accumulation_steps=8)
    for one, other in zip(parts, run(), strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-3)


@pytest.mark.parametrize("family", ["bert", "deberta-v2-conv", "modernbert"])
@pytest.mark.parametrize("site", ["embeddings", "layer.1", "cls", "pooled"])
def test_two_views_are_a_mixture_and_the_row_itself(family, site):
    """Without dropout: the view is the plain model's answer, and the mixture that of LogitMix, by another road."""
    config = CONFIGS[family]
    drops = {name: 0.0 for name in config.to_dict() if "drop" in name and isinstance(config.to_dict()[name], float)}
    model = build(config, "eager", **drops).train()
    views, mixes = (result(model, method=name, site=site) for name in ("logitmix_two_views", "logitmix"))
    clean = F.cross_entropy(model(**batch_of()).logits, LABELS, reduction="none")
    torch.testing.assert_close(views.terms["cls"], 2 * clean, atol=1e-4, rtol=1e-4)
    assert float(views.terms["agree"].max()) < 1e-9
    for name in ("mix", "sim", "lam"):
        torch.testing.assert_close(views.terms[name], mixes.terms[name], atol=1e-5, rtol=1e-3)
    assert float(mixes.terms["mix"].min()) > 0


def test_two_views_differ_by_dropout_after_the_site_and_take_every_term():
    """By hand: from the first layer's states on three copies go through the rest, of which the second is the first again."""
    model = build(CONFIGS["bert"], hidden_dropout_prob=0.3).train()
    found = result(model, method="logitmix_two_views", site="layer.1", w_agree=2.0)
    assert bool((found.terms["agree"] > 1e-6).all())
    weights = {"mix": 1.0, "cls": 1.0, "sim": 1.0, "agree": 2.0}
    total = sum(weight * found.terms[name] for name, weight in weights.items())
    torch.testing.assert_close(found.per_example, total)
    assert len(set(found.terms["lam"].tolist())) == 1
    assert 0 < float(found.terms["lam"][0]) < 1


@pytest.mark.parametrize(
    ("given", "other"),
    [
        ({"w_agree": 0.0}, {"method": "logitmix"}),
        ({"w_mix": 0.0, "w_sim": 0.0}, {"method": "rdrop"}),
    ],
)
@pytest.mark.parametrize("site", ["embeddings", "layer.1"])
def test_two_views_less_a_term_are_logitmix_or_r_drop_to_the_last_bit(given, other, site):
    model = build(CONFIGS["bert"], hidden_dropout_prob=0.3).train()
    one, two = (result(model, site=site, **of) for of in ({"method": "logitmix_two_views", **given}, other))
    assert torch.equal(one.per_example, two.per_example)
    assert one.terms.keys() == two.terms.keys() or given["w_mix"] == 0


def test_two_views_need_hidden_states_of_texts_and_no_atoms():
    for given, modality, said in (
        ({"atom": 0.5}, "text", "sees every row twice"),
        ({"mixer": "spans"}, "text", "got mixer 'spans'"),
        ({}, "image", "got images: take logitmix_atoms"),
    ):
        with pytest.raises(UserError, match=said):
            MixArguments(method="logitmix_two_views", **given).filled(modality)
