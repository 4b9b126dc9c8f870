"""The methods: one row each, and the row is the method's card."""

from __future__ import annotations

from dataclasses import dataclass

from logitmix_hf.errors import UserError, check_number
from logitmix_hf.tables import markdown_table


@dataclass(frozen=True)
class Method:
    """A named set of loss weights, mixer, site and alpha: what a flag of its own does not override.

    Attributes:
        name: what ``--method`` takes.
        idea: what it does, in a line.
        weights: (w_mix, w_cls, w_sim).
        alpha: of Beta(alpha, alpha); 0 where nothing is mixed.
        site: where a text model mixes by default.
        image_site: where an image model does.
        step: the kind of training step, a name in ``logitmix_hf.steps.STEPS``.
        source: the paper.
        note: what to know before using it.
    """

    name: str
    idea: str
    weights: tuple[float, float, float]
    alpha: float
    site: str
    source: str
    note: str = ""
    image_site: str = "input"
    step: str = "mixed"

    def site_of(self, modality: str) -> str:
        """The default site for ``"text"`` or ``"image"``."""
        return self.image_site if modality == "image" else self.site


METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        Method(
            "vanilla",
            "the plain task loss on clean examples",
            (0.0, 1.0, 0.0),
            0.0,
            "middle",
            "none: the baseline",
            "Takes the same road as every other method, so that gradient accumulation and several processes weigh"
            " every example the same.",
        ),
        Method(
            "mixup",
            "train on mixtures of two examples, answering to both labels by their share",
            (1.0, 0.0, 0.0),
            0.4,
            "embeddings",
            "Zhang et al., mixup: Beyond Empirical Risk Minimization, ICLR 2018; on text Guo et al., 2019",
            "Beta(0.4, 0.4) is what the LogitMix authors give their Mixup baseline.",
        ),
        Method(
            "manifold_mixup",
            "mixup after a layer drawn anew each step",
            (1.0, 0.0, 0.0),
            2.0,
            "layers",
            "Verma et al., Manifold Mixup, ICML 2019",
            image_site="stages",
        ),
        Method(
            "regmixup",
            "mixup as a regulariser beside the plain loss",
            (1.0, 1.0, 0.0),
            10.0,
            "middle",
            "Pinto et al., RegMixup, NeurIPS 2022",
            "The strongest plain rival: with alpha 10 a mixture is nearly half and half.",
        ),
        Method(
            "vwci",
            "several passes of the same rows with dropout, each row regularised by how much they disagree",
            (0.0, 1.0, 0.0),
            0.0,
            "middle",
            "Seo, Seo and Han, Learning for Single-Shot Confidence Calibration, CVPR 2019, eq. 11",
            "`--vwci N` sets the number of passes (5); it costs as many. The network must have dropout.",
            step="stochastic",
        ),
        Method(
            "logitmix",
            "the logits of a mixture should equal the mixture of the logits",
            (1.0, 1.0, 1.0),
            3.0,
            "middle",
            "LogitMix, IJCAI 2022, eq. 3",
            "At site pooled the classifier is linear, and the similarity term vanishes but for dropout: mix earlier.",
        ),
    )
}


def check_weights(weights: dict[str, float]) -> None:
    """Require every weight to be at least 0 and one to be above 0.

    Raises:
        UserError: naming the weight.
    """
    for name, value in weights.items():
        check_number(f"w_{name}", value, low=0)
    if not any(weights.values()):
        raise UserError("w_mix, w_cls and w_sim are all 0: nothing would be learnt; set one of them above 0.")


def methods_page() -> str:
    """The page ``docs/methods.md``, printed from :data:`METHODS`."""
    lines = [
        "# Methods",
        "",
        "Printed from `logitmix_hf.methods.METHODS`: `python -m logitmix_hf.methods > docs/methods.md`.",
        "Every value is a default; `--site`, `--alpha`, `--w_mix`, `--w_cls`, `--w_sim` override it. For images the mixer",
        "has a say too: `mixup` takes the alpha of its mixer, and L_sim is weighed by it ([mixers](mixers.md)).",
        "",
    ]
    for method in METHODS.values():
        mix, cls, sim = method.weights
        rows = {
            "Loss": f"{mix:g} L_mix + {cls:g} L_cls + {sim:g} L_sim"
            if method.step == "mixed"
            else "L_cls as the paper has it",
            "Mixing": f"lam ~ Beta({method.alpha:g}, {method.alpha:g})" if method.alpha else "none",
            "Site (text)": f"`{method.site}`" if method.alpha else "none",
            "Site (images)": f"`{method.image_site}`" if method.alpha else "none",
            "Source": method.source,
        }
        lines += [f"## `{method.name}`", "", f"{method.idea[0].upper()}{method.idea[1:]}.", ""]
        lines += [markdown_table(("", ""), list(rows.items())), ""]
        lines += [method.note, ""] if method.note else []
    return "\n".join(lines)


if __name__ == "__main__":
    print(methods_page(), end="")
