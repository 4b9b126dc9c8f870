"""MIXERS: one row a mixer. Read without importing torch: flags and arguments are checked by it; the code comes on use."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from logitmix_hf.errors import UserError, nearest

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from logitmix_hf.plan import MixPlan
    from logitmix_hf.vision.mixers.pasting import MaskedPlan


@dataclass(frozen=True)
class Option:
    """An option of a mixer.

    Attributes:
        default: what it is where nobody says.
        kind: what ``--mixer_options`` reads a word as: bool, int or float. None: a flag of its own or the trainer sets it.
        optional: whether it may be None.
    """

    default: Any
    kind: type | None = None
    optional: bool = False


@dataclass(frozen=True)
class Mixer:
    """A way to combine two images; the row is its card.

    Attributes:
        name: what ``--mixer`` takes.
        idea: what it does, in a line.
        source: the paper.
        alpha: of Beta(alpha, alpha) where it is used alone.
        w_sim: weight of L_sim where it is LogitMix's base.
        knobs: the options of a call by name.
        needs_saliency: whether a call needs ``saliency=``.
        hidden: whether it may also run on feature maps inside a network.
        blends: whether it mixes value by value: then also vectors, and more than two rows.
        note: what to know before using it.
        function: (images, plan, generator, **options) -> (mixed, carried out); None: that of
            ``logitmix_hf.vision.mixers.functions`` with this name.
    """

    name: str
    idea: str
    source: str
    alpha: float
    w_sim: float
    knobs: Mapping[str, Option] = field(default_factory=dict)
    needs_saliency: bool = False
    hidden: bool = False
    blends: bool = False
    note: str = ""
    function: Callable[..., tuple[Tensor, MaskedPlan]] | None = None

    @property
    def options(self) -> dict[str, Any]:
        """The options of a call by name, with their defaults."""
        return {name: option.default for name, option in self.knobs.items()}

    def __call__(
        self,
        images: Tensor,
        plan: MixPlan,
        generator: torch.Generator,
        *,
        saliency: Tensor | None = None,
        **options: Any,
    ) -> tuple[Tensor, MaskedPlan]:
        """Mix one batch; ``images`` and ``plan`` are left untouched.

        Args:
            images: (B, C, H, W) float of any dtype.
            plan: pairs, (B, 2), or (B, K) where it :attr:`blends`: how much of each row should survive. A row of share 1
                comes back as it was.
            generator: on the CPU, the only source of randomness.
            saliency: (B, H, W) >= 0, for mixers that need it; others ignore it.
            options: see :attr:`options`.

        Returns:
            The mixed images, and the plan that was carried out: same sources, shares the exact means of the masks.

        Raises:
            UserError: for an unknown option, a missing saliency, or shapes that do not fit.
        """
        for option in options:
            if option not in self.knobs:
                known = ", ".join(self.knobs) or "none"
                raise UserError(
                    f"mixer {self.name!r} has no option {option!r}.{nearest(option, self.knobs)} Known: {known}."
                )
        if images.ndim != 4 or not images.is_floating_point():
            raise UserError(f"images must be (B, C, H, W) float, got {tuple(images.shape)} {images.dtype}.")
        if plan.rows != len(images) or (plan.sources.shape[1] != 2 and not self.blends):
            raise UserError(
                f"mixer {self.name!r} mixes pairs: the plan must be ({len(images)}, 2), got {tuple(plan.sources.shape)}."
            )
        if self.needs_saliency:
            wanted = (len(images), *images.shape[2:])
            if saliency is None or saliency.shape != wanted:
                got = "none" if saliency is None else tuple(saliency.shape)
                raise UserError(f"mixer {self.name!r} needs saliency of the shape {wanted}, got {got}.")
            options["saliency"] = saliency
        if plan.sources.device != images.device:
            plan = plan.to(images.device)
        return self._code()(images, plan, generator, **options)

    def _code(self) -> Callable[..., tuple[Tensor, MaskedPlan]]:
        if self.function is not None:
            return self.function
        from logitmix_hf.vision.mixers.functions import FUNCTIONS

        return FUNCTIONS[self.name]


_PER = {"per": Option("batch")}
_CONCAT = "Summers and Dinneen, Improved Mixed-Example Data Augmentation, WACV 2019"
_PATCHUP = "Faramarzi et al., PatchUp, 2020 (arXiv 2006.07794)"
_PATCHUP_NOTE = (
    " Each channel has blocks of its own, as in the paper; on pixels per_channel=False keeps colours together."
    " On maps smaller than 14 x 14 a block is at most half a side."
)

MIXERS = {
    row.name: row
    for row in (
        Mixer(
            "mixup",
            "blend two images pixel by pixel",
            "Zhang et al., mixup: Beyond Empirical Risk Minimization, ICLR 2018",
            alpha=0.4,
            w_sim=1.0,
            hidden=True,
            blends=True,
            note="Beta(0.4, 0.4) is what the LogitMix authors give their Mixup baseline.",
        ),
        Mixer(
            "cutmix",
            "replace a box by the same box of the partner",
            "Yun et al., CutMix, ICCV 2019",
            alpha=1.0,
            w_sim=0.1,
            knobs={**_PER, "lam_correction": Option(True)},
            note="The share is corrected to the box as clipped at the edges; lam_correction=False leaves it as drawn.",
        ),
        Mixer(
            "resizemix",
            "paste the whole partner, made small",
            "Qin et al., ResizeMix, 2020",
            alpha=1.0,
            w_sim=0.1,
            knobs={**_PER, "smallest": Option(0.1, float), "largest": Option(0.8, float)},
            note="The partner's scale is 0.1 + 0.7 (1 - lam): at alpha 1 the paper's uniform draw from (0.1, 0.8).",
        ),
        Mixer(
            "saliencymix",
            "as CutMix, around the most salient pixel of the partner",
            "Uddin et al., SaliencyMix, ICLR 2021",
            alpha=1.0,
            w_sim=0.1,
            knobs={"per": Option("example")},
            needs_saliency=True,
            note="A place for each row, as the paper says; per='batch' takes one for all, as the authors' code does.",
        ),
        Mixer(
            "fmix",
            "paste by a mask of low-frequency noise",
            "Harris et al., FMix, 2020",
            alpha=1.0,
            w_sim=0.1,
            knobs={**_PER, "decay": Option(3.0, float)},
            note="The share is that of the mask, a whole number of pixels, and not the one drawn.",
        ),
        Mixer(
            "cowmask",
            "paste by a mask of blurred noise: the spots of a cow",
            "French et al., Milking CowMask for Semi-Supervised Image Classification, 2020",
            alpha=1.0,
            w_sim=0.1,
            knobs={**_PER, "smallest": Option(4.0, float), "largest": Option(16.0, float)},
        ),
        Mixer("vconcat", "the upper part of one image above the lower part of the other", _CONCAT, 1.0, 0.1),
        Mixer("hconcat", "the left part of one image beside the right part of the other", _CONCAT, 1.0, 0.1),
        Mixer(
            "mixedconcat",
            "both cuts at once: a chequerboard of two by two",
            _CONCAT,
            alpha=1.0,
            w_sim=0.1,
            knobs=_PER,
            note="The horizontal cut follows the share that was drawn, the vertical one is drawn beside it.",
        ),
        Mixer(
            "patchup_hard",
            "swap blocks of a feature map with the partner's",
            _PATCHUP,
            alpha=2.0,
            w_sim=0.1,
            knobs={
                **_PER,
                "gamma": Option(0.5, float, optional=True),
                "block_size": Option(7, int),
                "per_channel": Option(True, bool),
            },
            hidden=True,
            note="How much is swapped follows gamma, not the share that was drawn (gamma=None: 1 - share); the authors mix"
            " 0.7 of their batches." + _PATCHUP_NOTE,
        ),
        Mixer(
            "patchup_soft",
            "blend blocks of a feature map with the partner's",
            _PATCHUP,
            alpha=2.0,
            w_sim=0.5,
            knobs={
                **_PER,
                "gamma": Option(0.75, float),
                "block_size": Option(7, int),
                "per_channel": Option(True, bool),
            },
            hidden=True,
            note="The share that was drawn is that within a block; as the rest stays, the whole keeps more." + _PATCHUP_NOTE,
        ),
        Mixer(
            "puzzlemix",
            "keep the salient blocks of both images, by an exact cut, and move them to where they show",
            "Kim et al., PuzzleMix, ICML 2020",
            alpha=1.0,
            w_sim=0.5,
            knobs={
                "blocks": Option(None, int, optional=True),
                "levels": Option(3, int),
                "beta": Option(1.2, float),
                "gamma": Option(0.5, float),
                "eta": Option(0.2, float),
                "neighbours": Option(4, int),
                "transport": Option(True, bool),
                "transport_size": Option(4, int, optional=True),
                "transport_eps": Option(0.8, float),
                "mean": Option(None),
                "std": Option(None),
                "noise": Option(None),
                "noisy": Option("both"),
            },
            needs_saliency=True,
            note="The mask is the exact minimum of the energy as trained; the authors' solver is a local search.",
        ),
    )
}  # fmt: skip
"""Every mixer by the name that ``--mixer`` takes."""
