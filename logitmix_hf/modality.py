"""What text and images differ in when they mix: their sites, their mixers, and what a mixer brings along.

Read without importing torch: arguments are made of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from logitmix_hf.errors import UserError, check_number, nearest
from logitmix_hf.methods import METHODS, Method
from logitmix_hf.text import site_names as text_sites
from logitmix_hf.vision import site_names as image_sites
from logitmix_hf.vision.member_masks import check_mask, check_root
from logitmix_hf.vision.mixers import MIXERS
from logitmix_hf.vision.mixers.options import parse_options

TEXT, IMAGE = "text", "image"
TEXT_MIXERS = {
    "linear": "blend hidden states at the site",
    "spans": "replace a span of tokens by the partner's",
}
_SITES = {TEXT: text_sites, IMAGE: image_sites}
_WHAT = {TEXT: "a text model", IMAGE: "an image model"}


def site_help(modality: str) -> str:
    """What ``--site`` takes."""
    return f"where in the network to mix: {_SITES[modality].SITE_HELP}"


def mixer_help(modality: str) -> str:
    """What ``--mixer`` takes."""
    if modality == TEXT:
        return "; ".join(f"{name}: {idea}" for name, idea in TEXT_MIXERS.items()) + "; default linear"
    return f"{', '.join(MIXERS)}, or several joined by commas; default mixup"


def known_mixers(modality: str) -> Iterable[str]:
    """The names that ``--mixer`` takes."""
    return TEXT_MIXERS if modality == TEXT else MIXERS


def check_sites(name: str, modality: str | None = None) -> None:
    """Require a site's spelling to be right for the modality, or for any where that is not known yet.

    Raises:
        UserError: naming every spelling.
    """
    if modality is not None:
        if not _fits(name, modality) and _fits(name, _other(modality)):
            raise UserError(
                f"site {name!r} belongs to {_WHAT[_other(modality)]}; {_WHAT[modality]} mixes at:"
                f" {_SITES[modality].SITE_HELP}."
            )
        return _SITES[modality].check_site(name)
    if not any(_fits(name, one) for one in _SITES):
        texts = " ".join(f"{one.capitalize()}: {module.SITE_HELP}." for one, module in _SITES.items())
        raise UserError(f"No site is called {name!r}. {texts}")
    return None


def _fits(name: str, modality: str) -> bool:
    try:
        _SITES[modality].check_site(name)
    except UserError:
        return False
    return True


def _other(modality: str) -> str:
    return IMAGE if modality == TEXT else TEXT


def _names(mixer: str) -> list[str]:
    return [name.strip() for name in mixer.split(",") if name.strip()]


def check_mixers(mixer: str | None, probs: str | None, options: str | None) -> None:
    """Require names, probabilities and options to be right for some modality.

    Raises:
        UserError: for an unknown mixer, probabilities that do not match, an unknown option or value.
    """
    names = _names(mixer) if mixer is not None else ["mixup"]
    known = [*TEXT_MIXERS, *MIXERS]
    for name in names:
        if name not in known:
            raise UserError(f"No mixer is called {name!r}.{nearest(name, known)} {_all_mixers()}")
    if not names:
        raise UserError(f"mixer {mixer!r} names none. {_all_mixers()}")
    if len(set(names)) < len(names):
        raise UserError(f"mixer {mixer!r} names one twice: give each once, and how often by mixer_probs.")
    _shares(names, probs)
    if options is not None:
        parse_options(options, [name for name in names if name in MIXERS])


def _all_mixers() -> str:
    return f"Text: {', '.join(TEXT_MIXERS)}; images: {', '.join(MIXERS)}."


def probabilities(modality: str, mixer: str | None, probs: str | None) -> dict[str, float]:
    """The mixers by name, each with the probability that a step takes it.

    Raises:
        UserError: for a mixer of the other modality.
    """
    names = _names(mixer) if mixer is not None else ["linear" if modality == TEXT else "mixup"]
    for name in names:
        if name not in known_mixers(modality):
            raise UserError(
                f"mixer {name!r} is not for {_WHAT[modality]}.{nearest(name, known_mixers(modality))} These are:"
                f" {', '.join(known_mixers(modality))}."
            )
    if modality == TEXT and len(names) > 1:
        raise UserError(f"a text model takes one mixer, got {mixer!r}: choose one of {', '.join(names)}.")
    return dict(zip(names, _shares(names, probs), strict=True))


def _shares(names: list[str], probs: str | None) -> list[float]:
    if probs is None:
        return [1 / len(names)] * len(names)
    try:
        values = [float(word) for word in probs.split(",")]
    except ValueError:
        raise UserError(f"mixer_probs must be numbers joined by commas, as .5,.5, got {probs!r}.") from None
    if len(values) != len(names):
        raise UserError(
            f"mixer_probs has {len(values)} values ({probs}) for {len(names)} mixers ({', '.join(names)}): give one each."
        )
    for value in values:
        check_number("mixer_probs", value, low=0, high=1)
    if abs(sum(values) - 1) > 1e-6:
        raise UserError(
            f"mixer_probs must sum to 1, got {probs} (sum {sum(values):g}); steps that mix not at all: mix_prob."
        )
    return values


def mixer_defaults(modality: str, mixer: str, method: Method) -> tuple[float, float]:
    """alpha and w_sim where no flag gives them: Mixup's own method leaves alpha to the mixer, and L_sim's weight is
    the mixer's (LogitMix, section 5.4)."""
    weight = method.weights[2]
    if modality == TEXT:
        return method.alpha, weight
    row = MIXERS[mixer]
    own = method.name == "mixup" or method.images_only
    return (row.alpha if own else method.alpha), weight * row.w_sim


def check_members(mix: Any) -> None:
    """Require what ``MixArguments`` say of several members in one network to fit the method and each other.

    Raises:
        UserError: naming the field, its value and what there is.
    """
    given = [
        name
        for name in (
            "members",
            "encoders",
            "heads",
            "member_mask",
            "member_mask_prob",
            "member_alpha",
            "weight_root",
        )
        if getattr(mix, name) is not None and (name, getattr(mix, name)) != ("members", 1)
    ]
    given += ["head_target"] * (mix.head_target != "own")
    given += ["ensemble_average"] * (mix.ensemble_average != "logits")
    if mix.row.step != "members":
        if given:
            several = [name for name, row in METHODS.items() if row.step == "members"]
            raise UserError(
                f"{given[0]} {getattr(mix, given[0])} is for several members in one network, but method"
                f" {mix.method!r} trains one: take {', '.join(several)}, or leave it out."
            )
        return
    members = mix.row.members if mix.members is None else mix.members
    check_number("members", members, low=1, high=64)
    if not isinstance(members, int):
        raise UserError(f"members must be a whole number, got {members!r}.")
    check_number("member_alpha", mix.member_alpha, low=0, optional=True)
    if mix.weight_root is not None:
        check_root(mix.weight_root)
    check_mask(mix.member_mask or mix.row.member_mask, members)
    for name in ("encoders", "heads"):
        if getattr(mix, name) not in (None, 1, members):
            raise UserError(
                f"{name} is {getattr(mix, name)!r}: it is 1, one that all members share, or {members}, one for each."
            )
    if mix.head_target != "own" and (mix.heads == 1 or mix.encoders != 1):
        raise UserError(
            f"head_target {mix.head_target!r} is for heads of their own after one first convolution for all: give"
            " --encoders 1, and leave --heads out."
        )
    if mix.site not in (None, "input"):
        raise UserError(
            f"site is {mix.site!r}, but members see images of their own after the first convolution: leave it out."
        )
    if mix.weights["mix"] == 0:
        raise UserError(f"w_mix is 0: the members of method {mix.method!r} would learn nothing.")
    if mix.weights["sim"] and mix.mixer is None:
        raise UserError("w_sim compares images that were mixed in the pixels: give --mixer too (mixup, cutmix, …).")
    if mix.weights["agree"] or mix.atom:
        raise UserError("atom and w_agree are for networks of one member: leave them at 0.")
    if mix.confidence_penalty:
        raise UserError("confidence_penalty is for networks of one member: leave it at 0.")


def options_of(mixer: str, text: str | None) -> dict[str, Any]:
    """The options in ``--mixer_options`` that this image mixer knows, by name."""
    return parse_options(text or "", [mixer], strict=False)


def options_for(mixer: str, text: str | None) -> str | None:
    """What of the words in ``--mixer_options`` this one of several image mixers knows; None where that is nothing."""
    known = options_of(mixer, text)
    return ",".join(part for part in (text or "").split(",") if part.partition("=")[0].strip() in known) or None


def about_mixers(filled: Mapping[str, Any], mixes: bool) -> dict[str, Any]:
    """What a record says of image mixers, given what is in force with each: their papers, and how several differ."""
    if not mixes:
        return {"mixer": None}
    record: dict[str, Any] = {"mixer_source": "; ".join(MIXERS[name].source for name in filled)}
    if len(filled) > 1:
        record["by_mixer"] = {name: {"alpha": mix.alpha, "w_sim": mix.w_sim} for name, mix in filled.items()}
    return record
