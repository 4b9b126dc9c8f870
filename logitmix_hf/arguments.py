"""What a training mixes and how it weighs it: frozen, checked when made, explained and sourced in place."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from logitmix_hf.class_weights import read_class_weights
from logitmix_hf.errors import UserError, check_choice, check_number, pick
from logitmix_hf.methods import METHODS, Method, check_weights
from logitmix_hf.modality import (
    IMAGE,
    TEXT,
    about_mixers,
    check_members,
    check_mixers,
    check_sites,
    mixer_defaults,
    mixer_help,
    options_for,
    probabilities,
    site_help,
)
from logitmix_hf.vision.member_masks import HEAD_TARGETS, MASKS

VWCI_PASSES = 5
"""Passes of method vwci where no flag says how many (the paper's)."""

CHOICES = {
    "span_choice": ("chance", "saliency"),
    "lam_per": (None, "batch", "example"),
    "lam_correction": ("on", "off"),
    "mix_attention": (None, "union", "soft"),
    "mix_schedule": ("none", "step", "grad"),
    "bn_mode": (None, "joint", "separate"),
    "sim_form": ("mse", "l2"),
    "sim_detach": ("none", "clean", "mixed"),
    "sim_on": ("logits", "log_softmax"),
    "cls_sum": (False, True),
    "ensemble_average": ("logits", "probs"),
    "head_target": tuple(HEAD_TARGETS),
}

PIXEL_PROB = 0.5
"""The share of steps that also mix pixels, of methods with members (CutMix's own on CIFAR)."""


def _field(group: str, default: Any, help: Any, source: str = "", only: str | None = None) -> Any:
    """``help``: a text, or one for each modality. ``only``: the modality that has the flag."""
    if isinstance(help, str):
        help += f" (source: {source})" if source else ""
    return field(default=default, metadata={"help": help, "group": group, "only": only})


@dataclass(frozen=True)
class MixArguments:
    """Everything about mixing and the loss. A field left at None takes the method's value, or the mixer's.

    Raises:
        UserError: when made with a value out of its range, naming the field, the value and the range.
    """

    method: str = _field("mixing", "logitmix", f"{', '.join(METHODS)}")
    site: str | None = _field("mixing", None, {modality: site_help(modality) for modality in (TEXT, IMAGE)})
    mixer: str | None = _field("mixing", None, {modality: mixer_help(modality) for modality in (TEXT, IMAGE)})
    mixer_probs: str | None = _field(
        "mixing", None, "how often each of several mixers is taken, as .5,.5; default equally often", only=IMAGE
    )
    mixer_options: str | None = _field(
        "mixing", None, "options of the mixers, as blocks=8,levels=4; docs/mixers.md lists them", only=IMAGE
    )
    span_choice: Literal["chance", "saliency"] = _field(
        "mixing", "chance", "which span --mixer spans takes", "SSMix, Yoon et al. 2021, for saliency", only=TEXT
    )
    alpha: float | None = _field("mixing", None, "lam ~ Beta(alpha, alpha)", "LogitMix, section 5.5, takes 3")
    lam: float | None = _field("mixing", None, "a fixed share in place of the draw", "Mixup-Transformer takes 0.5")
    lam_per: Literal["batch", "example"] | None = _field(
        "mixing", None, "draw lam, and the place that a mixer pastes at, once per batch or for each example; default batch,"
        " and example where --atom is above 0",
    )  # fmt: skip
    atom: float | None = _field(
        "mixing", None, "the probability that a row is not mixed but seen a second time, with dropout of its own (lam = 1);"
        " default 0.5 for logitmix_atoms, 1 for rdrop, else 0",
    )  # fmt: skip
    lam_correction: Literal["on", "off"] = _field(
        "mixing", "on", "off: CutMix's labels by the share that was drawn, not by the box as clipped", only=IMAGE
    )
    mix_prob: float | None = _field(
        "mixing", None, "the share of steps that mix; the others train on clean rows alone; default 1, and 0.5 for pixels"
        " where members mix too",
    )  # fmt: skip
    mix_start: float = _field(
        "mixing", 0.0, "the share of training before mixing begins", "Mixup-Transformer mixes in the last half"
    )
    mix_end: float = _field("mixing", 1.0, "the share of training after which mixing ends")
    mix_schedule: Literal["none", "step", "grad"] = _field(
        "mixing", "none", "step: the clean loss alone in the first tenth of the epochs; grad: the share of steps with the"
        " whole loss grows within each stage of the learning rate, the others take L_mix alone", "the LogitMix authors' code",
    )  # fmt: skip
    mix_attention: Literal["union", "soft"] | None = _field(
        "mixing", None, "what mixed rows attend to: the union of their sources' tokens, or each by its share;"
        " default soft where the layers can", only=TEXT,
    )  # fmt: skip
    bn_mode: Literal["joint", "separate"] | None = _field(
        "mixing", None, "joint: clean and mixed rows share BatchNorm's statistics, in one pass; separate: a pass each;"
        " default joint, and separate for mixers that need saliency", "LogitMix, the authors' code: joint", only=IMAGE,
    )  # fmt: skip
    w_mix: float | None = _field("loss", None, "weight of L_mix, the label loss of mixed rows", "LogitMix, eq. 3")
    w_cls: float | None = _field("loss", None, "weight of L_cls, the label loss of clean rows", "LogitMix, eq. 3")
    w_sim: float | None = _field(
        "loss", None,
        {
            TEXT: "weight of L_sim, the similarity of logits (source: LogitMix, eq. 3)",
            IMAGE: "weight of L_sim, the similarity of logits; logitmix: 1 with mixup, 0.1 with pasting mixers, 0.5 with"
            " puzzlemix (source: LogitMix, section 5.4)",
        },
    )  # fmt: skip
    w_agree: float | None = _field(
        "loss", None, "weight of L_agree, the symmetric KL of the two views of a row that --atom left unmixed",
        "R-Drop, Liang et al. 2021, eq. 3",
    )  # fmt: skip
    sim_form: Literal["mse", "l2"] = _field("loss", "mse", "L_sim as mean square (authors' code) or as norm (paper)")
    sim_detach: Literal["none", "clean", "mixed"] = _field("loss", "none", "which side of L_sim gets no gradient")
    sim_on: Literal["logits", "log_softmax"] = _field("loss", "logits", "what L_sim compares")
    cls_sum: bool = _field("loss", False, "L_cls summed over both sources of a pair", "LogitMix, eq. 3: twice the mean")
    confidence_penalty: float = _field(
        "loss", 0.0, "lessen each label loss by this times the prediction's entropy", "Pereyra et al. 2017, eq. 4"
    )
    jsd: float = _field(
        "loss", 0.0, "weight of the Jensen-Shannon divergence between the answers to an image and to two AugMix views of it;"
        " with --method vanilla --augmix original", "AugMix, Hendrycks et al. 2020, takes 12", only=IMAGE,
    )  # fmt: skip
    vwci: int = _field(
        "loss", 0, "passes with dropout of method vwci; default 5 there, and with method vanilla a number means vwci",
        "Seo et al. 2019 takes 5",
    )  # fmt: skip
    class_weights: list[str] | list[float] | dict[str, float] | str | None = _field(
        "loss", None, "weights of classes: balanced (by their counts in train), name=weight,…, or a number for each in the"
        " order of the labels; of several labels a row they weigh the positives",
    )  # fmt: skip
    members: int | None = _field(
        "members", None, "subnetworks in the network; default 2 for mimo, linear_mixmo and cut_mixmo", only=IMAGE
    )
    encoders: int | None = _field(
        "members",
        None,
        "1: all members share the first convolution; default one for each",
        "MixMo, table 3",
        only=IMAGE,
    )
    heads: int | None = _field(
        "members", None, "1: one last layer answers for all images by their shares; default one for each",
        "MixMo, table 3", only=IMAGE,
    )  # fmt: skip
    head_target: Literal["own", "random", "larger"] = _field(
        "members", "own", "; ".join(f"{name}: {idea}" for name, idea in HEAD_TARGETS.items()), only=IMAGE
    )
    ensemble_average: Literal["logits", "probs"] = _field(
        "members", "logits", "what the members' answers are averaged in; with logits the trained network can be written"
        " as a plain one", only=IMAGE,
    )  # fmt: skip
    member_mask: str | None = _field(
        "members", None, "how members share the maps: " + "; ".join(f"{name}: {idea}" for name, idea in MASKS.items()),
        only=IMAGE,
    )  # fmt: skip
    member_mask_prob: float | None = _field(
        "members",
        None,
        "the share of batches that take the mask, the others mix linearly",
        "MixMo takes 0.5",
        only=IMAGE,
    )
    member_mask_fall: float = _field(
        "members",
        1 / 12,
        "the last share of training, in which member_mask_prob falls to 0",
        "MixMo's code",
        only=IMAGE,
    )
    member_alpha: float | None = _field(
        "members", None, "the members' shares ~ Dirichlet(alpha, …, alpha); 0: equal", "MixMo takes 2", only=IMAGE
    )
    weight_root: float | None = _field(
        "members",
        None,
        "r: the loss of a member with share k weighs k^(1/r); inf: all alike",
        "MixMo takes 3",
        only=IMAGE,
    )

    def __post_init__(self) -> None:
        for name in ("method", "site", "mixer", "mixer_probs", "mixer_options", "member_mask"):
            value = getattr(self, name)
            if not isinstance(value, str) and (value is not None or name == "method"):
                raise UserError(f"{name} must be a text, several names joined by a comma, got {value!r}.")
        pick(METHODS, self.method, "method")
        if self.site is not None:
            check_sites(self.site)
        check_mixers(self.mixer, self.mixer_probs, self.mixer_options)
        for name, choices in CHOICES.items():
            check_choice(name, getattr(self, name), choices)
        check_number("alpha", self.alpha, low=0, optional=True)
        for name in ("atom", "mix_prob", "mix_start", "mix_end", "member_mask_prob", "member_mask_fall"):
            always = name in ("mix_start", "mix_end", "member_mask_fall")
            check_number(name, getattr(self, name), low=0, high=1, optional=not always)
        if self.mix_end <= self.mix_start and self.mixes:
            raise UserError(
                f"mix_end {self.mix_end:g} is not after mix_start {self.mix_start:g}: nothing would be mixed."
            )
        check_number("confidence_penalty", self.confidence_penalty, low=0)
        check_number("lam", self.lam, low=0, high=1, optional=True)
        object.__setattr__(self, "class_weights", read_class_weights(self.class_weights))
        check_weights(self.weights)
        self._check_vwci()
        check_number("jsd", self.jsd, low=0)
        check_members(self)
        if self.row.step == "members":
            return
        alpha, atom = (
            getattr(self.row, name) if getattr(self, name) is None else getattr(self, name)
            for name in ("alpha", "atom")
        )
        if self.row.two_views and atom and (atom < 1 or self.weights["mix"] or self.weights["sim"]):
            raise UserError(
                f"method {self.row.name!r} sees every row twice and mixes it too, got atom {atom:g}: leave it out, or take"
                " logitmix_atoms."
            )
        if self.weights["agree"] and atom == 0 and self.lam != 1 and not self.row.two_views:
            raise UserError(
                f"w_agree is {self.weights['agree']:g}, but atom is 0, so that no row is seen twice and none can agree with"
                " itself: give atom above 0 (logitmix_atoms takes 0.5), or leave w_agree at 0."
            )
        if self.mixes and self.lam is None and alpha == 0 and not (self.weights["agree"] and atom == 1):
            raise UserError(
                f"alpha is 0, so nothing would be mixed, but method {self.method!r} has w_mix {self.weights['mix']:g} and"
                f" w_sim {self.weights['sim']:g}: give alpha above 0, or take method 'vanilla'."
            )

    def _check_vwci(self) -> None:
        check_number("vwci", self.vwci, low=0, high=100)
        if not isinstance(self.vwci, int):
            raise UserError(f"vwci counts passes, so it must be a whole number, got {self.vwci!r}.")
        if self.vwci == 1:
            raise UserError(
                "vwci compares several passes of the same rows, got 1: give at least 2 (the paper: 5), or 0."
            )
        if self.row.step == "stochastic" and self.mixes:
            raise UserError("method 'vwci' is a loss of clean rows: leave w_mix, w_sim and w_agree at 0.")
        if self.vwci and self.row.step != "stochastic":
            raise UserError(f"vwci is a loss of clean rows, but method {self.method!r} mixes: take method 'vwci'.")

    @property
    def row(self) -> Method:
        """The method in force: ``vanilla`` with a number of ``vwci`` passes is the method ``vwci``."""
        return METHODS["vwci" if self.vwci and self.method == "vanilla" else self.method]

    @property
    def weights(self) -> dict[str, float]:
        """The weights in force, by term; L_sim's before its mixer has a say."""
        terms = ("mix", "cls", "sim", "agree")
        own: dict[str, float] = dict(zip(terms, (*self.row.weights, self.row.w_agree), strict=True))
        own["agree"] *= self.atom != 0  # without a second view there is nothing that could agree
        given = {name: getattr(self, f"w_{name}") for name in terms}
        return {name: own[name] if value is None else value for name, value in given.items()}

    @property
    def mixes(self) -> bool:
        """Whether any term in force looks at mixed rows."""
        return any(self.weights[name] > 0 for name in ("mix", "sim", "agree"))

    def mixers(self, modality: str = TEXT) -> dict[str, float]:
        """The mixers in force and how often each is taken; of a method with members those of pixels, if any.

        Raises:
            UserError: for a mixer of the other modality.
        """
        if self.row.images_only and self.mixer is None:
            return {}
        return probabilities(modality, self.mixer, self.mixer_probs)

    def filled(self, modality: str = TEXT, mixer: str | None = None) -> MixArguments:
        """The same arguments with the values of method and mixer written out; what a run records.

        Args:
            modality: ``"text"`` or ``"image"``.
            mixer: the one of several to fill for. None leaves open (None) what differs between them.

        Raises:
            UserError: for a site or a mixer of the other modality.
        """
        method, names = self.row, list(self.mixers(modality))
        if method.images_only:
            if modality != IMAGE:
                texts = ", ".join(name for name, row in METHODS.items() if not row.images_only)
                raise UserError(
                    f"method {method.name!r} is for images (logitmix vision): several texts in one pass need an encoder"
                    f" that was pretrained so. For text: {texts}."
                )
            return self._with_members(method, names if mixer is None else [mixer])
        if self.site is not None:
            check_sites(self.site, modality)
        if mixer is None and len(names) > 1:
            every = [self.filled(modality, name) for name in names]
            same = {name: {getattr(one, name) for one in every} for name in ("alpha", "w_sim")}
            return replace(
                every[0],
                mixer=self.mixer,
                mixer_probs=self.mixer_probs,
                mixer_options=self.mixer_options,
                **{name: values.pop() if len(values) == 1 else getattr(self, name) for name, values in same.items()},
            )
        chosen = mixer or names[0]
        alpha, w_sim = mixer_defaults(modality, chosen, method)
        weights, atom = self.weights, method.atom if self.atom is None else self.atom
        w_sim = w_sim if self.w_sim is None else self.w_sim
        if method.two_views:
            if modality == IMAGE or chosen != "linear":
                given = "images" if modality == IMAGE else f"mixer {chosen!r}"
                raise UserError(
                    f"method {method.name!r} mixes hidden states of texts, got {given}: take logitmix_atoms, or mixer linear."
                )
            atom = 1.0 if weights["agree"] and not weights["mix"] and not w_sim else 0.0  # nothing is mixed: R-Drop
        return replace(
            self,
            method=method.name,
            vwci=self.vwci or (VWCI_PASSES if method.step == "stochastic" else 0),
            site=self.site or method.site_of(modality),
            mixer=chosen,
            mixer_probs=self.mixer_probs if len(names) == 1 else None,
            mixer_options=self.mixer_options if len(names) == 1 else options_for(chosen, self.mixer_options),
            alpha=alpha if self.alpha is None else self.alpha,
            mix_prob=1.0 if self.mix_prob is None else self.mix_prob,
            lam_per=self.lam_per or ("example" if atom else "batch"),
            atom=atom,
            w_mix=weights["mix"],
            w_cls=weights["cls"],
            w_sim=w_sim,
            w_agree=weights["agree"],
        )

    def _with_members(self, method: Method, names: list[str]) -> MixArguments:
        """The values of a method with several members written out; pixels are mixed where a mixer was named."""
        alphas = {mixer_defaults(IMAGE, name, method)[0] for name in names}
        members = method.members if self.members is None else self.members
        own = {name: getattr(self, name) for name in ("member_mask", "member_mask_prob", "member_alpha", "weight_root")}
        return replace(
            self,
            method=method.name,
            site="input",
            mixer=",".join(names) or None,
            mixer_probs=None if len(names) < 2 else self.mixer_probs,
            mixer_options=self.mixer_options if len(names) != 1 else options_for(names[0], self.mixer_options),
            alpha=self.alpha if self.alpha is not None or len(alphas) != 1 else alphas.pop(),
            mix_prob=(PIXEL_PROB if names else 0.0) if self.mix_prob is None else self.mix_prob,
            members=members,
            encoders=members if self.encoders is None else self.encoders,
            heads=members if self.heads is None else self.heads,
            **{name: getattr(method, name) if value is None else value for name, value in own.items()},
            lam_per=self.lam_per or "batch",
            **{f"w_{name}": weight for name, weight in self.weights.items()},
        )

    def record(self, modality: str = TEXT) -> dict[str, Any]:
        """What ``run.json`` says of the method."""
        mix = self.filled(modality)
        record = {
            "name": mix.method,
            "mixer": mix.mixer if mix.mixes else None,
            "site": mix.site if mix.mixes else None,
            "alpha": mix.alpha if mix.mixes else None,
            "lam": mix.lam if mix.mixes else None,
            "w_mix": mix.w_mix,
            "w_cls": mix.w_cls,
            "w_sim": mix.w_sim,
        }
        if mix.atom:
            record |= {"atom": mix.atom, "w_agree": mix.w_agree}
        if self.row.images_only:
            names = (
                "members",
                "encoders",
                "heads",
                "head_target",
                "ensemble_average",
                "member_mask",
                "member_mask_prob",
            )
            record |= {name: getattr(mix, name) for name in (*names, "member_alpha", "weight_root")}
            record["weight_root"] = "inf" if mix.weight_root == math.inf else mix.weight_root  # JSON has no infinity
            record |= {"mixer": mix.mixer, "alpha": mix.alpha if mix.mixer else None}
        elif modality == IMAGE:
            record |= about_mixers({name: self.filled(modality, name) for name in self.mixers(modality)}, mix.mixes)
        return record
