"""--mixer_options: words to values, by mixer."""

from __future__ import annotations

import inspect

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logitmix_hf.errors import UserError
from logitmix_hf.vision import MIXERS
from logitmix_hf.vision.mixers.functions import FUNCTIONS
from logitmix_hf.vision.mixers.options import known_options, parse_options


@pytest.mark.parametrize(
    ("text", "mixers", "expected"),
    [
        ("", ["puzzlemix"], {}),
        (" , ", ["puzzlemix"], {}),
        ("blocks=8,levels=4", ["puzzlemix"], {"blocks": 8, "levels": 4}),
        (" blocks = 8 , beta=1 ", ["puzzlemix"], {"blocks": 8, "beta": 1.0}),
        ("blocks=none,transport=off", ["puzzlemix"], {"blocks": None, "transport": False}),
        ("transport=True", ["puzzlemix"], {"transport": True}),
        ("adv_prob=.1,adv_eps=8", ["puzzlemix"], {"adv_prob": 0.1, "adv_eps": 8.0}),
        ("smallest=1e-1", ["resizemix"], {"smallest": 0.1}),
        ("gamma=none", ["patchup_hard"], {"gamma": None}),
        ("blocks=4,smallest=.2", ["mixup", "resizemix", "puzzlemix"], {"blocks": 4, "smallest": 0.2}),
    ],
)
def test_words_to_values(text, mixers, expected):
    found = parse_options(text, mixers)
    assert found == expected
    assert [type(value) for value in found.values()] == [type(value) for value in expected.values()]


@pytest.mark.parametrize(
    ("text", "mixer", "words"),
    [
        ("block=8", "puzzlemix", "puzzlemix has no option 'block'. Did you mean 'blocks'"),
        ("blocks=8", "mixup", "mixup has no option 'blocks'.*none"),
        ("blocks", "puzzlemix", "name=value joined by commas, got 'blocks'"),
        ("blocks=", "puzzlemix", "name=value"),
        ("blocks=8;levels=4", "puzzlemix", "blocks must be a whole number, got '8;levels=4'"),
        ("blocks=8.5", "puzzlemix", "whole number"),
        ("beta=much", "puzzlemix", "beta must be a number"),
        ("transport=2", "puzzlemix", "transport is true or false"),
        ("adv_prob=1.2", "puzzlemix", "adv_prob"),
        ("adv_eps=-1", "puzzlemix", "adv_eps"),
        ("beta=nan", "puzzlemix", "beta"),
        ("beta=none", "puzzlemix", "beta must be a number"),
        ("per=example", "cutmix", "no option 'per'"),  # --lam_per says it
        ("lam_correction=off", "cutmix", "no option 'lam_correction'"),  # a flag of its own
    ],
)
def test_mistakes_are_named(text, mixer, words):
    with pytest.raises(UserError, match=words) as caught:
        parse_options(text, [mixer])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("mixer", MIXERS)
@given(data=st.data())
def test_every_default_written_out_is_read_as_itself(mixer, data):
    known = known_options(mixer)
    chosen = data.draw(st.lists(st.sampled_from(sorted(known)), unique=True)) if known else []
    text = ",".join(f"{name}={known[name].default}" for name in chosen)
    assert parse_options(text, [mixer]) == {name: known[name].default for name in chosen}


@pytest.mark.parametrize("mixer", MIXERS)
def test_the_table_says_what_the_code_takes(mixer):
    """The table is read without the code: names, defaults and kinds must be those of the function's own keywords."""
    keywords = {
        name: one
        for name, one in inspect.signature(FUNCTIONS[mixer]).parameters.items()
        if one.kind is one.KEYWORD_ONLY
    }
    assert (keywords.pop("saliency", None) is not None) == MIXERS[mixer].needs_saliency
    assert MIXERS[mixer].options == {name: one.default for name, one in keywords.items()}
    for name, option in known_options(mixer).items():
        if name in keywords:  # adv_prob and adv_eps are not the function's
            none = " | None" if option.optional else ""
            assert keywords[name].annotation == f"{option.kind.__name__}{none}"


def test_every_mixer_has_its_code():
    assert FUNCTIONS.keys() == MIXERS.keys()


def test_what_another_mixer_knows_is_passed_over_when_asked():
    assert parse_options("blocks=4,smallest=.2", ["resizemix"], strict=False) == {"smallest": 0.2}
    assert parse_options("blocks=4", ["mixup"], strict=False) == {}
