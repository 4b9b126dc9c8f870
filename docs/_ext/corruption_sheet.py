"""Draw the contact sheet of all corruptions at severity 1, 3 and 5.

    python docs/_ext/corruption_sheet.py docs/images/corruptions.png

The picture is of Grace Hopper, a work of the United States Navy in the public domain, which matplotlib brings along.
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib.cbook
import numpy as np
from PIL import Image, ImageDraw

from logitmix_hf.vision.data.corruptions import NAMES, corrupt

SHOWN, SIDE, SCALE, COLUMNS, GAP, TEXT = (1, 3, 5), 32, 2, 4, 12, 14


def portrait() -> np.ndarray:
    """(32, 32, 3) uint8."""
    file = matplotlib.cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)
    square = Image.open(str(file)).convert("RGB").crop((20, 20, 492, 492))
    return np.asarray(square.resize((SIDE, SIDE), Image.Resampling.LANCZOS))


def sheet(path: Path) -> None:
    """The picture as it is, then each corruption with its three severities side by side."""
    image = portrait()
    cells = [("as it is", [image])]
    cells += [(name, [corrupt(image[None], name, level, np.array([7]))[0] for level in SHOWN]) for name in NAMES]
    side = SIDE * SCALE
    width, height = len(SHOWN) * (side + 2) + GAP, side + TEXT + GAP
    made = Image.new("RGB", (COLUMNS * width + GAP, -(-len(cells) // COLUMNS) * height + GAP), "white")
    pen = ImageDraw.Draw(made)
    for number, (name, images) in enumerate(cells):
        left, top = GAP + number % COLUMNS * width, GAP // 2 + number // COLUMNS * height
        pen.text((left, top), name.replace("_", " "), fill="black")
        for place, one in enumerate(images):
            enlarged = Image.fromarray(one).resize((side, side), Image.Resampling.NEAREST)
            made.paste(enlarged, (left + place * (side + 2), top + TEXT))
    made.quantize(192).save(path, optimize=True)


if __name__ == "__main__":
    sheet(Path(sys.argv[1]))
