"""MixArguments: what fits text and what images, and what a mixer says of alpha and of the weight of L_sim."""

from __future__ import annotations

from dataclasses import replace

import pytest

from logitmix_hf import MixArguments
from logitmix_hf.errors import UserError
from logitmix_hf.steps.passes import image_options

# LogitMix, section 5.4: w_sim by mixer; its section 5.5: alpha. The other papers' own alphas: Mixup as the LogitMix
# authors' code takes it, CutMix.
FILLED = [
    ({"method": "logitmix"}, (3.0, 1.0, 1.0, 1.0)),  # alpha, w_mix, w_cls, w_sim
    ({"method": "logitmix", "mixer": "mixup"}, (3.0, 1.0, 1.0, 1.0)),
    ({"method": "logitmix", "mixer": "cutmix"}, (3.0, 1.0, 1.0, 0.1)),
    ({"method": "logitmix", "mixer": "puzzlemix"}, (3.0, 1.0, 1.0, 0.5)),
    ({"method": "logitmix", "mixer": "cutmix", "w_sim": 2.0}, (3.0, 1.0, 1.0, 2.0)),
    ({"method": "logitmix", "mixer": "cutmix", "alpha": 1.0}, (1.0, 1.0, 1.0, 0.1)),
    ({"method": "mixup"}, (0.4, 1.0, 0.0, 0.0)),
    ({"method": "mixup", "mixer": "cutmix"}, (1.0, 1.0, 0.0, 0.0)),
    ({"method": "mixup", "mixer": "cutmix", "alpha": 0.3}, (0.3, 1.0, 0.0, 0.0)),
    ({"method": "regmixup", "mixer": "cutmix"}, (10.0, 1.0, 1.0, 0.0)),
    ({"method": "manifold_mixup"}, (2.0, 1.0, 0.0, 0.0)),
]


@pytest.mark.parametrize(("given", "expected"), FILLED)
def test_method_and_mixer_fill_what_no_flag_says(given, expected):
    mix = MixArguments(**given).filled("image")
    assert (mix.alpha, mix.w_mix, mix.w_cls, mix.w_sim) == expected
    assert mix.mixer == given.get("mixer", "mixup")
    assert mix.site == ("stages" if given["method"] == "manifold_mixup" else "input")
    assert mix.filled("image") == mix


def test_text_has_defaults_of_its_own():
    mix = MixArguments().filled("text")
    assert (mix.mixer, mix.site, mix.alpha, mix.w_sim) == ("linear", "middle", 3.0, 1.0)
    assert MixArguments(method="mixup").filled("text").alpha == 0.4


def test_several_mixers_leave_open_what_differs_and_each_has_its_own():
    mix = MixArguments(mixer="mixup,cutmix,puzzlemix", mixer_probs=".5,.25,.25", mixer_options="blocks=4,adv_prob=.2")
    assert mix.mixers("image") == {"mixup": 0.5, "cutmix": 0.25, "puzzlemix": 0.25}
    filled = mix.filled("image")
    assert (filled.mixer, filled.mixer_probs, filled.mixer_options) == (mix.mixer, mix.mixer_probs, mix.mixer_options)
    assert (filled.alpha, filled.w_sim) == (3.0, None)
    for name, w_sim in (("mixup", 1.0), ("cutmix", 0.1), ("puzzlemix", 0.5)):
        for start in (mix, filled):
            one = start.filled("image", name)
            assert (one.mixer, one.alpha, one.w_sim) == (name, 3.0, w_sim)
            assert one.mixers("image") == {name: 1.0}
    assert filled.filled("image") == filled
    alone = MixArguments(method="mixup", mixer="mixup,cutmix")
    assert [alone.filled("image", name).alpha for name in ("mixup", "cutmix")] == [0.4, 1.0]
    assert alone.filled("image").alpha is None
    assert alone.mixers("image") == {"mixup": 0.5, "cutmix": 0.5}


def test_options_of_several_mixers_reach_the_one_that_has_them():
    mix = MixArguments(mixer="cutmix,puzzlemix", mixer_options="blocks=4, levels=2,adv_eps=8", lam_per="example")
    assert image_options(mix, "puzzlemix") == {"blocks": 4, "levels": 2, "adv_eps": 8.0}
    assert image_options(mix.filled("image", "puzzlemix"), "puzzlemix") == {
        "blocks": 4, "levels": 2, "adv_eps": 8.0,
    }  # fmt: skip
    assert image_options(mix, "cutmix") == {"per": "example", "lam_correction": True}
    assert image_options(MixArguments(mixer="cutmix", lam_correction="off"), "cutmix") == {"lam_correction": False}
    assert image_options(MixArguments(mixer="mixup", lam_per="example"), "mixup") == {}


@pytest.mark.parametrize(
    ("modality", "given", "words"),
    [
        ("image", {"mixer": "linear"}, "'linear' is not for an image model.*mixup, cutmix"),
        ("image", {"mixer": "spans"}, "'spans' is not for an image model"),
        ("image", {"mixer": "mixup,spans"}, "'spans' is not for an image model"),
        ("text", {"mixer": "cutmix"}, "'cutmix' is not for a text model.*linear, spans"),
        ("text", {"mixer": "linear,spans"}, "a text model takes one mixer"),
        ("image", {"site": "layer.1"}, "'layer.1' belongs to a text model; an image model mixes at: input"),
        ("image", {"site": "embeddings"}, "belongs to a text model"),
        ("image", {"site": "cls"}, "belongs to a text model"),
        ("text", {"site": "stage.1"}, "'stage.1' belongs to an image model; a text model mixes at: embeddings"),
        ("text", {"site": "input"}, "belongs to an image model"),
    ],
)
def test_what_belongs_to_the_other_modality_is_refused_with_what_fits(modality, given, words):
    mix = MixArguments(**given)  # fits one of them: made without a word
    with pytest.raises(UserError, match=words):
        mix.filled(modality)


def test_sites_that_both_have_fit_both():
    for site in ("middle", "pooled"):
        assert MixArguments(site=site).filled("text").site == MixArguments(site=site).filled("image").site == site


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"mixer": ""}, "names none"),
        ({"mixer": ","}, "names none"),
        ({"mixer": "mixup,mixup"}, "one twice"),
        ({"mixer": "mixup,cutmx"}, "Did you mean 'cutmix'"),
        ({"mixer": "mixup,cutmix", "mixer_probs": ".5"}, r"1 values \(.5\) for 2 mixers \(mixup, cutmix\)"),
        ({"mixer": "mixup,cutmix", "mixer_probs": ".5,.6"}, r"must sum to 1.*sum 1.1.*mix_prob"),
        ({"mixer": "mixup,cutmix", "mixer_probs": "1.5,-.5"}, "at least 0 and at most 1, got 1.5"),
        ({"mixer": "mixup,cutmix", "mixer_probs": "half,half"}, "numbers joined by commas"),
        ({"mixer_probs": ".5,.5"}, "2 values"),
        ({"mixer": "cutmix", "mixer_options": "blocks=4"}, "cutmix has no option 'blocks'"),
        ({"mix_start": 0.5, "mix_end": 0.5}, "nothing would be mixed"),
        ({"mix_schedule": "ramp"}, "mix_schedule must be one of none, step, grad"),
        ({"bn_mode": "shared"}, "bn_mode"),
        ({"lam_correction": "no"}, "lam_correction"),
        ({"method": "vanilla", "vwci": 1}, "at least 2"),
        ({"method": "vanilla", "vwci": -1}, "vwci"),
        ({"method": "vanilla", "vwci": 2.5}, "vwci.*whole"),
        ({"vwci": 5}, "method 'logitmix' mixes: take method 'vwci'"),
        ({"method": "mixup", "vwci": 5}, "method 'mixup' mixes"),
        ({"mixer": "cutmix", "alpha": 0.0}, "alpha is 0"),
    ],
)
def test_mistakes_are_named_when_made(given, words):
    with pytest.raises(UserError, match=words) as caught:
        MixArguments(**given)
    assert "\n" not in str(caught.value)


def test_probabilities_that_sum_to_one_but_for_rounding_are_taken():
    mix = MixArguments(mixer="mixup,cutmix,fmix", mixer_probs=".3333333,.3333333,.3333333")
    assert sum(mix.mixers("image").values()) == pytest.approx(1, abs=1e-6)
    never = MixArguments(mixer="mixup,cutmix", mixer_probs="0,1")
    assert never.mixers("image") == {"mixup": 0.0, "cutmix": 1.0}


# --- rows that are seen twice -------------------------------------------------------------------------------------------


def test_atoms_of_zero_are_logitmix_and_of_one_are_r_drop():
    atoms, logitmix = MixArguments(method="logitmix_atoms"), MixArguments()
    assert (atoms.filled().atom, atoms.filled().lam_per, logitmix.filled().lam_per) == (0.5, "example", "batch")
    none = MixArguments(method="logitmix_atoms", atom=0).filled()
    assert none == replace(logitmix.filled(), method="logitmix_atoms")
    every, rdrop = MixArguments(method="logitmix_atoms", atom=1).filled(), MixArguments(method="rdrop").filled()
    assert (every.weights["agree"], every.atom) == (rdrop.weights["agree"], rdrop.atom) == (3.0, 1.0)
    assert rdrop.mixes
    assert MixArguments(method="rdrop", site="middle", w_agree=5).filled().weights == {
        "mix": 0, "cls": 1, "sim": 0, "agree": 5,
    }  # fmt: skip
    assert MixArguments(method="logitmix_atoms", lam_per="batch").filled().lam_per == "batch"
    assert {"atom": 0.5, "w_agree": 3.0}.items() <= atoms.record().items()
    assert not {"atom", "w_agree"} & logitmix.record().keys()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"w_agree": 1.0}, "w_agree is 1, but atom is 0"),
        ({"method": "vanilla", "w_agree": 1.0}, "w_agree is 1, but atom is 0"),
        ({"method": "rdrop", "atom": 0.5}, "alpha is 0"),
        ({"atom": 1.5}, "atom.*1.5"),
        ({"w_agree": -1}, "w_agree.*-1"),
        ({"method": "vwci", "w_agree": 1.0}, "leave w_mix, w_sim and w_agree at 0"),
        ({"method": "mimo", "w_agree": 1.0, "atom": 1.0}, "networks of one member"),
        ({"method": "rdrop", "w_cls": 0}, "nothing would be learnt"),
    ],
)
def test_views_that_nothing_would_be_learnt_of_are_refused(options, told):
    with pytest.raises(UserError, match=told):
        MixArguments(**options)


@pytest.mark.parametrize("field", ["method", "site", "mixer", "mixer_probs", "mixer_options", "member_mask", "cls_sum"])
@pytest.mark.parametrize("value", [3, -0.5, ["mixup", "cutmix"], {"a": 1}])
def test_what_is_of_another_type_is_a_mistake_with_its_field(field, value):
    with pytest.raises(UserError, match=rf"{field} must be .*got .*{str(value)[1:-1]}"):
        MixArguments(**{field: value})


def test_no_number_is_a_mistake_where_a_field_has_one():
    for field in ("mix_start", "mix_end", "member_mask_fall", "confidence_penalty", "jsd", "vwci"):
        with pytest.raises(UserError, match=f"{field} must be .*got None"):
            MixArguments(**{field: None})
