"""Several LoRA adapters over one network: one pass is as good as many, and peft alone says what each member says."""

from __future__ import annotations

import copy

import pytest
import torch
from tiny import CONFIGS, EAGER_ONLY, LLAMA, batch_of, build
from transformers import AutoModelForSequenceClassification, GPT2Config

from logitmix_hf.ensembles import over_one_network
from logitmix_hf.ensembles.lora import initialise, lora_config, member_name
from logitmix_hf.errors import UserError
from logitmix_hf.models.folding import fold, unfold

peft = pytest.importorskip("peft")
GPT2 = GPT2Config(vocab_size=60, n_embd=32, n_layer=2, n_head=4, n_positions=64, num_labels=3, pad_token_id=1)
FAMILIES = {**CONFIGS, "llama": LLAMA, "gpt2": GPT2}  # the layers of the last are no nn.Linear


def network(family: str):
    return build(FAMILIES[family], "eager" if family in EAGER_ONLY else "sdpa")


def adapters(family: str = "bert", count: int = 3, average: str = "logits"):
    """Members that say different things: their matrices and heads are drawn anew, none is at 0."""
    base = network(family)
    model = over_one_network(base, [lora_config(base, 4, 8.0, 0.1)] * count, average).eval()
    torch.manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_" in name or ".modules_to_save.member" in name:
                parameter.normal_(0, 0.3)
    return model


@torch.no_grad()
def said(model, **options):
    return model(**batch_of(), **options)


@pytest.mark.parametrize("family", [family for family in FAMILIES if not family.startswith("modernbert")])
def test_one_pass_says_what_a_pass_for_each_says(family):
    model = adapters(family)
    assert model.in_one_pass
    together = said(model)
    model.in_one_pass = False
    apart = said(model)
    torch.testing.assert_close(together.member_logits, apart.member_logits, atol=1e-5, rtol=1e-5)
    spread = together.member_logits.std(1)
    assert float(spread.min()) > 1e-3
    torch.testing.assert_close(together.logits, together.member_logits.mean(1), atol=1e-6, rtol=1e-6)


def test_one_pass_is_one_pass():
    model, calls = adapters(), []
    model.classifier.register_forward_hook(lambda *_: calls.append(1))
    said(model)
    assert len(calls) == 1
    model.in_one_pass = False
    said(model)
    assert len(calls) == 1 + 3


def test_a_head_that_peft_cannot_mix_takes_a_pass_for_each(tmp_path):
    """The head of ModernBERT has a normalisation, at which peft runs one adapter at a time."""
    model = adapters("modernbert")
    assert not model.in_one_pass
    assert_peft_agrees(model, "modernbert", tmp_path)


@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert", "deberta-v2", "llama"])
def test_peft_alone_says_what_a_member_says(family, tmp_path):
    assert_peft_agrees(adapters(family), family, tmp_path)


def assert_peft_agrees(model, family, folder):
    model.save_pretrained(folder)
    expected = said(model).member_logits
    for number in range(model.count):
        alone = peft.PeftModel.from_pretrained(network(family), folder / "adapters" / member_name(number)).eval()
        torch.testing.assert_close(said(alone).logits, expected[:, number], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("average", ["logits", "probs"])
def test_saved_and_loaded_it_says_the_same(tmp_path, average):
    model = adapters(average=average)
    model.save_pretrained(tmp_path)
    again = AutoModelForSequenceClassification.from_pretrained(tmp_path).eval()
    torch.testing.assert_close(said(again).logits, said(model).logits, atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(said(copy.deepcopy(again)).logits, said(model).logits, atol=1e-6, rtol=1e-6)


def test_the_network_is_there_once():
    one, three = (sum(parameter.numel() for parameter in adapters(count=count).parameters()) for count in (1, 3))
    own = sum(parameter.numel() for parameter in adapters(count=1).member_parameters()[0])
    assert three - one == 2 * own


def test_members_that_are_the_same_say_what_one_says():
    model, alone = adapters(), adapters(count=1)
    weights = alone.state_dict()
    model.load_state_dict({name: weights[_first(name)] for name in model.state_dict()})
    torch.testing.assert_close(said(model).logits, said(alone).logits, atol=1e-6, rtol=1e-6)
    assert said(alone).get("member_logits") is None


def _first(name: str) -> str:
    for number in (1, 2):
        name = name.replace(member_name(number), member_name(0))
    return name


@pytest.mark.parametrize("family", ["bert", "roberta"])
def test_a_temperature_goes_into_every_head_and_comes_out(family):
    model = adapters(family)
    before = said(model).logits
    assert fold(model, 2.5) == ""
    torch.testing.assert_close(said(model).logits * 2.5, before, atol=1e-5, rtol=1e-5)
    unfold(model)
    torch.testing.assert_close(said(model).logits, before, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert", "gpt2"])
def test_a_lone_adapter_is_added_into_the_weights(family):
    model = adapters(family, count=1)
    before = said(model).logits
    plain = model.merged().eval()
    assert plain.state_dict().keys() == network(family).state_dict().keys()
    torch.testing.assert_close(said(plain).logits, before, atol=1e-4, rtol=1e-4)


def test_a_member_is_drawn_by_its_seed_alone():
    base = network("bert")
    one = over_one_network(base, [lora_config(base, 4, 8.0, 0.0)] * 2)
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    initialise(one.network, 0, 8, head=True)
    initialise(one.network, 1, 9, head=True)
    torch.testing.assert_close(torch.rand(3), expected)  # nothing of the stream that others draw from is taken
    other = adapters(count=1)
    initialise(other.network, 0, 9, head=True)
    for mine, theirs in zip(one.member_parameters()[1], other.member_parameters()[0], strict=True):
        assert torch.equal(mine, theirs)
    assert not torch.equal(one.member_parameters()[0][0], one.member_parameters()[1][0])


def test_targets_that_are_not_there_are_told_by_name():
    with pytest.raises(UserError, match=r"below its head is called 'q_proj': query, key, value, dense"):
        lora_config(network("bert"), 4, 8.0, 0.0, ["query", "q_proj"])
