"""The image processor that goes into a saved folder: a stock one, so that `pipeline` needs nothing of ours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def image_processor(
    size: int, mean: Sequence[float], std: Sequence[float], channels: int = 3, resize: int | None = None
) -> Any:
    """A stock image processor: resize the short side, cut out the centre, divide by 255, normalise.

    An image of ``size`` x ``size`` pixels is neither resized nor cut: what comes out is ``(uint8 / 255 - mean) / std``.

    Args:
        size: side of what the network sees.
        mean: one value a channel of the pixels in [0, 1].
        std: likewise.
        channels: 3, or 1 for grey images. `pipeline` turns every image into RGB, so a processor for grey images gives
            three equal channels, normalised alike, and our networks weigh them as Pillow makes grey of colour.
        resize: to which the short side is resized before the centre is cut out; 256 is usual for a size of 224. None:
            ``size``.
    """
    from PIL import Image
    from transformers import CLIPImageProcessor

    wide = 3 if channels == 1 else 1
    return CLIPImageProcessor(
        do_convert_rgb=True,
        do_resize=True,
        size={"shortest_edge": resize or size},
        resample=Image.Resampling.BILINEAR,
        do_center_crop=True,
        crop_size={"height": size, "width": size},
        do_rescale=True,
        rescale_factor=1 / 255,
        do_normalize=True,
        image_mean=[float(value) for value in mean] * wide,
        image_std=[float(value) for value in std] * wide,
    )
