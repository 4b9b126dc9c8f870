"""What a training mixes and how it weighs it: frozen, checked when made, explained and sourced in place."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal

from logitmix_hf.errors import UserError, check_number, pick
from logitmix_hf.losses import check_choice, check_weights
from logitmix_hf.methods import METHODS
from logitmix_hf.text.sites import SITE_HELP, check_site


def _field(group: str, default: Any, help: str, source: str = "") -> Any:
    metadata = {"help": help + (f" (source: {source})" if source else ""), "group": group}
    return field(default=default, metadata=metadata)


@dataclass(frozen=True)
class MixArguments:
    """Everything about mixing and the loss. A field left at None takes the method's value.

    Raises:
        UserError: when made with a value out of its range, naming the field, the value and the range.
    """

    method: str = _field("mixing", "logitmix", f"{', '.join(METHODS)}")
    site: str | None = _field("mixing", None, f"where in the network to mix: {SITE_HELP}")
    mixer: Literal["linear", "spans"] = _field(
        "mixing", "linear", "linear: blend hidden states at the site; spans: replace a span of tokens by the partner's"
    )
    span_choice: Literal["chance", "saliency"] = _field(
        "mixing", "chance", "which span --mixer spans takes", "SSMix, Yoon et al. 2021, for saliency"
    )
    alpha: float | None = _field("mixing", None, "lam ~ Beta(alpha, alpha)", "LogitMix, section 5.5, takes 3")
    lam: float | None = _field("mixing", None, "a fixed share in place of the draw", "Mixup-Transformer takes 0.5")
    lam_per: Literal["batch", "example"] = _field("mixing", "batch", "draw lam once per batch or for each example")
    mix_prob: float = _field("mixing", 1.0, "the share of steps that mix; the others train on clean rows alone")
    mix_start: float = _field(
        "mixing", 0.0, "the share of training before mixing begins", "Mixup-Transformer mixes in the last half"
    )
    mix_attention: Literal["union", "soft"] | None = _field(
        "mixing", None, "what mixed rows attend to: the union of their sources' tokens, or each by its share;"
        " default soft where the layers can",
    )  # fmt: skip
    w_mix: float | None = _field("loss", None, "weight of L_mix, the label loss of mixed rows", "LogitMix, eq. 3")
    w_cls: float | None = _field("loss", None, "weight of L_cls, the label loss of clean rows", "LogitMix, eq. 3")
    w_sim: float | None = _field("loss", None, "weight of L_sim, the similarity of logits", "LogitMix, eq. 3")
    sim_form: Literal["mse", "l2"] = _field("loss", "mse", "L_sim as mean square (authors' code) or as norm (paper)")
    sim_detach: Literal["none", "clean", "mixed"] = _field("loss", "none", "which side of L_sim gets no gradient")
    sim_on: Literal["logits", "log_softmax"] = _field("loss", "logits", "what L_sim compares")
    cls_sum: bool = _field("loss", False, "L_cls summed over both sources of a pair", "LogitMix, eq. 3: twice the mean")
    confidence_penalty: float = _field(
        "loss", 0.0, "lessen each label loss by this times the prediction's entropy", "Pereyra et al. 2017, eq. 4"
    )
    class_weights: list[float] | None = _field("loss", None, "a weight for each class, in the order of the labels")

    def __post_init__(self) -> None:
        pick(METHODS, self.method, "method")
        if self.site is not None:
            check_site(self.site)
        for name, choices in (
            ("mixer", ("linear", "spans")),
            ("span_choice", ("chance", "saliency")),
            ("lam_per", ("batch", "example")),
            ("sim_form", ("mse", "l2")),
            ("sim_detach", ("none", "clean", "mixed")),
            ("sim_on", ("logits", "log_softmax")),
        ):
            check_choice(name, getattr(self, name), choices)
        if self.mix_attention is not None:
            check_choice("mix_attention", self.mix_attention, ("union", "soft"))
        if self.alpha is not None:
            check_number("alpha", self.alpha, low=0)
        for name in ("mix_prob", "mix_start"):
            check_number(name, getattr(self, name), low=0, high=1)
        check_number("confidence_penalty", self.confidence_penalty, low=0)
        if self.lam is not None:
            check_number("lam", self.lam, low=0, high=1)
        for weight in self.class_weights or ():
            check_number("class_weights", weight, low=0)
        check_weights(self.weights)
        if self.mixes and self._alpha == 0 and self.lam is None:
            raise UserError(
                f"alpha is 0, so nothing would be mixed, but method {self.method!r} has w_mix {self.weights['mix']:g} and"
                f" w_sim {self.weights['sim']:g}: give alpha above 0, or take method 'vanilla'."
            )

    @property
    def weights(self) -> dict[str, float]:
        """The weights in force, by term."""
        own: dict[str, float] = dict(zip(("mix", "cls", "sim"), METHODS[self.method].weights, strict=True))
        given = {"mix": self.w_mix, "cls": self.w_cls, "sim": self.w_sim}
        return {name: own[name] if value is None else value for name, value in given.items()}

    @property
    def mixes(self) -> bool:
        """Whether any term in force looks at mixed rows."""
        return self.weights["mix"] > 0 or self.weights["sim"] > 0

    @property
    def _alpha(self) -> float:
        return METHODS[self.method].alpha if self.alpha is None else self.alpha

    def filled(self) -> MixArguments:
        """The same arguments with the method's values written out; what a run records."""
        weights = self.weights
        site = METHODS[self.method].site if self.site is None else self.site
        return replace(
            self, site=site, alpha=self._alpha, w_mix=weights["mix"], w_cls=weights["cls"], w_sim=weights["sim"]
        )

    def record(self) -> dict[str, Any]:
        """What ``run.json`` says of the method."""
        mix = self.filled()
        return {
            "name": mix.method,
            "mixer": mix.mixer,
            "site": mix.site if mix.mixes else None,
            "alpha": mix.alpha,
            "lam": mix.lam,
            **{f"w_{term}": weight for term, weight in mix.weights.items()},
        }
