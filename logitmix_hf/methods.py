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
        members: how many subnetworks share the network (images); 1: a plain network.
        member_mask: by what they share its maps, a name in ``logitmix_hf.vision.member_masks.MASKS``.
        member_mask_prob: the share of batches that take the mask; the others mix linearly.
        member_alpha: of Dirichlet(alpha, …), the members' shares; 0: equal ones.
        weight_root: r of the members' weights in the loss.
        w_agree: weight of L_agree, the agreement of two views of a row.
        atom: the probability that a row keeps itself whole instead of being mixed: a second view of it.
        two_views: whether each row is mixed *and* seen a second time (texts).
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
    members: int = 1
    member_mask: str = "linear"
    member_mask_prob: float = 0.0
    member_alpha: float = 0.0
    weight_root: float = 1.0
    w_agree: float = 0.0
    atom: float = 0.0
    two_views: bool = False

    @property
    def images_only(self) -> bool:
        """Whether the method is for image networks alone."""
        return self.step == "members"

    @property
    def has_site(self) -> bool:
        """Whether rows meet, or are seen again, somewhere inside the network."""
        return self.alpha > 0 or self.atom > 0

    def site_of(self, modality: str) -> str:
        """The default site for ``"text"`` or ``"image"``."""
        return self.image_site if modality == "image" else self.site


_MIXMO = "Ramé, Sun, Cord, MixMo: Mixing Multiple Inputs for Multiple Outputs via Deep Subnetworks, ICCV 2021"
_DEPLOYED = (
    "For images. `--members M`, `--batch_repetition b` (the papers: 2 or 4). What was trained can be written as a plain"
    " network with the same logits: `logitmix export RUN --format plain`. See [MixMo](mixmo.md)."
)

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
        Method(
            "logitmix_atoms",
            "logitmix, where half of the rows are mixed and the others are seen a second time, with dropout of their own",
            (1.0, 1.0, 1.0),
            3.0,
            "middle",
            "this package: LogitMix (IJCAI 2022) where lam < 1, R-Drop (NeurIPS 2021) where lam = 1",
            "`--atom p` is the probability that a row is not mixed: 0 is `logitmix` to the last bit, 1 is R-Drop from the site"
            " on. At the price of `logitmix`. Such a row takes L_cls for both of its views, and L_agree; the others L_sim"
            " and, by w_mix, L_mix. A network without dropout has no second view.",
            w_agree=3.0,
            atom=0.5,
        ),
        Method(
            "logitmix_two_views",
            "logitmix, where each row is also seen a second time, with dropout of its own",
            (1.0, 1.0, 1.0),
            3.0,
            "middle",
            "this package: LogitMix (IJCAI 2022) and R-Drop (NeurIPS 2021) of every row",
            "For texts. Mixing after layer k of N costs 1 + 2 (N - k)/N of a plain step, 2 at `middle`. With w_agree 0 it is"
            " `logitmix` to the last bit, with w_mix and w_sim 0 R-Drop from the site on.",
            w_agree=3.0,
            two_views=True,
        ),
        Method(
            "rdrop",
            "two passes of the same rows with dropout, whose predictions should agree",
            (0.0, 1.0, 0.0),
            0.0,
            "embeddings",
            "Liang et al., R-Drop: Regularized Dropout for Neural Networks, NeurIPS 2021, eq. 3 and 4",
            "Two whole passes, twice the price of a plain step; after layer k of N (`--site layer.k`) the layers below are run"
            " once, and it costs 1 + (N - k)/N. The paper takes w_agree 5 for translation and at most 1 on GLUE. The network"
            " must have dropout.",
            w_agree=3.0,
            atom=1.0,
        ),
        Method(
            "mimo",
            "two subnetworks in one network, each shown an image of its own at equal shares",
            (1.0, 0.0, 0.0),
            0.0,
            "middle",
            "Havasi et al., Training independent subnetworks for robust prediction, ICLR 2021",
            _DEPLOYED,
            step="members",
            members=2,
        ),
        Method(
            "linear_mixmo",
            "as mimo, the images' shares drawn anew for each pair",
            (1.0, 0.0, 0.0),
            0.0,
            "middle",
            _MIXMO,
            _DEPLOYED,
            step="members",
            members=2,
            member_alpha=2.0,
            weight_root=3.0,
        ),
        Method(
            "cut_mixmo",
            "two subnetworks in one network, each shown an image of its own: one in a rectangle of the maps, one around it",
            (1.0, 0.0, 0.0),
            0.0,
            "middle",
            _MIXMO,
            _DEPLOYED,
            step="members",
            members=2,
            member_mask="cutmix",
            member_mask_prob=0.5,
            member_alpha=2.0,
            weight_root=3.0,
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
    if not any(value for name, value in weights.items() if name != "agree"):
        raise UserError("w_mix, w_cls and w_sim are all 0: nothing would be learnt; set one of them above 0.")


def methods_page() -> str:
    """The page ``docs/methods.md``, printed from :data:`METHODS`."""
    lines = [
        "# Methods",
        "",
        "Printed from `logitmix_hf.methods.METHODS`: `python -m logitmix_hf.methods > docs/methods.md`.",
        "Every value is a default; `--site`, `--alpha`, `--atom`, `--w_mix`, `--w_cls`, `--w_sim`, `--w_agree` override it.",
        "For images the mixer has a say too: `mixup` takes the alpha of its mixer, and L_sim is weighed by it",
        "([mixers](mixers.md)).",
        "",
    ]
    for method in METHODS.values():
        rows = {
            "Loss": _loss_of(method),
            "Mixing": _mixing_of(method),
            "Site (text)": f"`{method.site}`" if method.has_site else "none",
            "Site (images)": "not for images"
            if method.two_views
            else f"`{method.image_site}`"
            if method.has_site
            else "none",
            "Source": method.source,
        }
        if method.images_only:
            rows = _member_rows(method)
        lines += [f"## `{method.name}`", "", f"{method.idea[0].upper()}{method.idea[1:]}.", ""]
        lines += [markdown_table(("", ""), list(rows.items())), ""]
        lines += [method.note, ""] if method.note else []
    return "\n".join(lines)


def _loss_of(method: Method) -> str:
    if method.step != "mixed":
        return "L_cls as the paper has it"
    mix, cls, sim = method.weights
    agree = f" + {method.w_agree:g} L_agree" if method.w_agree else ""
    return f"{mix:g} L_mix + {cls:g} L_cls + {sim:g} L_sim{agree}"


def _mixing_of(method: Method) -> str:
    if not method.alpha:
        return "none: lam = 1" if method.atom else "none"
    drawn = f"~ Beta({method.alpha:g}, {method.alpha:g})"
    return f"lam = 1 with probability {method.atom:g}, else {drawn}" if method.atom else f"lam {drawn}"


def _member_rows(method: Method) -> dict[str, str]:
    shares = f"~ Dirichlet({method.member_alpha:g})" if method.member_alpha else "equal"
    mask = method.member_mask
    if method.member_mask_prob:
        mask += f" in {method.member_mask_prob:.0%} of the batches (falling to 0 in the last twelfth), else linear"
    return {
        "Loss": "the sum of the members' losses, weighed by share^(1/r)",
        "Members": f"{method.members}",
        "Shares": shares,
        "Mask": mask,
        "r": f"{method.weight_root:g}",
        "Text": "not for text",
        "Source": method.source,
    }


if __name__ == "__main__":
    print(methods_page(), end="")
