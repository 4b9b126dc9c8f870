"""Which size and how many channels a network is given of a data set, and how its images are usually augmented."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from logitmix_hf.errors import UserError
from logitmix_hf.vision.data.augment import Augment
from logitmix_hf.vision.data.decode import Scan
from logitmix_hf.vision.data.named import Named

PHOTO = 224
"""What networks for photographs are made for, and the default for them."""
_SMALL_PHOTO = 160  # a median short side below that is no photograph: nobody wants it blown up without being asked
SCANNED = 5_000
"""Headers that are read, evenly spaced, of a data set that is not known by name."""


@dataclass(frozen=True)
class Shape:
    """size: side of what the network sees. stored: of what memory holds, so that windows can move in it. channels: 1
    or 3. augment: what is usual in training."""

    size: int
    stored: int
    channels: int
    augment: Augment


def choose_shape(scan: Scan | None, named: Named | None, image_size: int | None, channels: int | None) -> Shape:
    """The shape asked for, else that of a known data set, else what the images suggest.

    Equal squares of up to 224 keep their side; other images, when their median short side is at least 160, become 224.
    Networks of 224 and more train on ``"resized"`` crops and are judged on the centre 7/8 (224 of 256), as usual for
    photographs; smaller ones on crops of images padded by an eighth. One channel if no image has colour.

    Args:
        scan: headers of train; None only where ``named`` or the arguments say everything.

    Raises:
        UserError: for small images of many sizes without a size asked for.
    """
    if channels is None:
        channels = named.channels if named else 1 if scan is not None and scan.grey else 3
    native = _native(scan, named)
    size = image_size or (named.image_size if named else _default(scan, native))
    if named:
        augment = named.augment
        if augment.crop == "pad" and size != named.image_size:
            augment = replace(augment, padding=max(1, round(augment.padding * size / named.image_size)))
    else:
        augment = Augment(crop="resized") if size >= PHOTO else Augment(padding=max(1, size // 8))
    stored = size
    if augment.crop == "resized":
        stored = round(size * 8 / 7)
        if native is not None:
            stored = min(max(native, size), stored)
    return Shape(size, stored, channels, augment)


def _native(scan: Scan | None, named: Named | None) -> int | None:
    """The side, where all images are squares of one size."""
    if named:
        return None if named.augment.crop == "resized" else named.image_size
    if scan is None or len(np.unique(scan.sizes)) != 1:
        return None
    return int(scan.sizes[0, 0])


def _default(scan: Scan | None, native: int | None) -> int:
    if native is not None and native <= PHOTO:
        return native
    assert scan is not None
    short = scan.sizes.min(axis=1)
    middle = int(np.median(short))
    if middle >= _SMALL_PHOTO:
        return PHOTO
    widths, heights = scan.sizes[:, 0], scan.sizes[:, 1]
    one = len(np.unique(scan.sizes, axis=0)) == 1
    what = (
        f"no squares ({widths[0]} wide, {heights[0]} high)"
        if one
        else f"of different sizes ({widths.min()} to {widths.max()} wide, {heights.min()} to {heights.max()} high)"
    )
    raise UserError(
        f"The images are {what}: say to which square they shall be resized by --image_size, for example"
        f" {max(4, middle // 8 * 8)}."
    )
