"""The masks by which members share the maps: names and checks alone, read without torch; the command line lists them."""

from __future__ import annotations

from logitmix_hf.errors import UserError, pick
from logitmix_hf.vision.mixers import MIXERS

MASKS = {
    "linear": "every place by the shares (Linear-MixMo; at equal shares MIMO)",
    "cutmix": "a rectangle to one member, the rest to the others (Cut-MixMo)",
    "vconcat": "upper and lower part",
    "hconcat": "left and right part",
    "patchup_hard": "square blocks",
    "fmix": "blobs of low-frequency noise",
    "cowmask": "spots of blurred noise",
}
"""The masks of Ramé et al., table 2: "Mixup", CutMix, "Horizontal", "Vertical", PatchUp2D, FMix, CowMask."""

SEVERAL = ("linear", "cutmix")
"""Those that more than two members can share."""

HEAD_TARGETS = {
    "own": "head k answers for the image that member k sees",
    "random": "heads are matched to the images at random, anew for each row",
    "larger": "head 0 answers for the image with the largest share, the others follow in order",
}
"""What a head answers for (Ramé et al., table 3; other than own where all members share the first convolution)."""


def check_mask(mask: str, members: int) -> None:
    """Require a mask that this many members can share.

    Raises:
        UserError: for an unknown name, also one of a mixer that makes no mask, and one for two members alone.
    """
    if mask in MIXERS and mask not in MASKS:
        why = "needs the saliency of single images" if MIXERS[mask].needs_saliency else "is none that members can share"
        raise UserError(f"member_mask {mask!r} {why}; these are: {', '.join(MASKS)}.")
    pick(MASKS, mask, "member_mask")
    if members > 2 and mask not in SEVERAL:
        raise UserError(f"member_mask {mask!r} is for 2 members, got {members}: take {' or '.join(SEVERAL)}.")


def check_root(root: float) -> None:
    """Require a number above 0, or infinity.

    Raises:
        UserError: for another.
    """
    if isinstance(root, bool) or not isinstance(root, int | float) or not root > 0:  # NaN is not
        raise UserError(f"weight_root must be a number above 0, or inf for equal weights, got {root!r}.")
