"""Members that are trained beside each other become what each would become alone."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from tiny import CONFIGS, batch_of, build

from logitmix_hf import MixArguments
from logitmix_hf.ensembles import over_one_network
from logitmix_hf.ensembles.lora import initialise, lora_config
from logitmix_hf.errors import UserError
from logitmix_hf.steps import Where, build_step

pytest.importorskip("peft")
LABELS = torch.tensor([0, 2, 1, 0, 1])
WHERE = Where(seed=3, step=4)


def adapters(seeds):
    base = build(CONFIGS["bert"])
    model = over_one_network(base, [lora_config(base, 4, 8.0, 0.2)] * len(seeds))
    for number, seed in enumerate(seeds):
        initialise(model.network, number, seed, head=True)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.fill_(0.1)
    return model.train()


def gradients(model, mix, where=WHERE):
    step = build_step(model, mix)
    step.run(model, batch_of(), LABELS, where).per_example.mean().backward()
    step.remove()
    return [[parameter.grad for parameter in member] for member in model.member_parameters()]


@pytest.mark.parametrize("method", ["vanilla", "mixup", "logitmix", "manifold_mixup", "regmixup", "vwci"])
def test_a_member_gets_the_gradient_that_it_gets_alone(method):
    """Dropout and mixing are drawn for each member from its own seed."""
    mix = MixArguments(method=method)
    together = gradients(adapters([3, 4, 5]), mix)
    for number, own in enumerate(together):
        (alone,) = gradients(adapters([3 + number]), mix, replace(WHERE, seed=3 + number))
        for mine, theirs in zip(own, alone, strict=True):
            torch.testing.assert_close(mine, theirs, atol=1e-6, rtol=1e-5)
    assert not torch.equal(together[0][0], together[1][0])  # type: ignore[arg-type]


def test_the_network_itself_is_frozen():
    model = adapters([1, 2])
    gradients(model, MixArguments(method="vanilla"))
    own = {id(parameter) for member in model.member_parameters() for parameter in member}
    assert all((parameter.grad is not None) == (id(parameter) in own) for parameter in model.parameters())


def test_the_loss_is_the_sum_and_the_terms_are_means():
    model = adapters([3, 4]).eval()
    mix = MixArguments(method="vanilla")
    result = build_step(model, mix).run(model, batch_of(), LABELS, WHERE)
    with torch.no_grad():
        members = model(**batch_of()).member_logits
    losses = torch.stack([torch.nn.functional.cross_entropy(members[:, k], LABELS, reduction="none") for k in (0, 1)])
    torch.testing.assert_close(result.per_example, losses.sum(0), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(result.terms["cls"], losses.mean(0), atol=1e-5, rtol=1e-5)


def test_layers_that_backward_runs_again_would_run_for_another_member():
    model = adapters([1, 2])
    model.classifier.gradient_checkpointing_enable()
    with pytest.raises(UserError, match="gradient_checkpointing"):
        build_step(model, MixArguments(method="vanilla"))
    build_step(adapters([1]), MixArguments(method="vanilla"))
