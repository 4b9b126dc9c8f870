"""The sites of an image model by name, and which stages a name means. Read without importing torch: arguments check them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from logitmix_hf.errors import UserError, nearest
from logitmix_hf.vision.network_table import NETWORKS

SITE_HELP = (
    "input (the pixels), stage.K (after the K-th stage; of a ViT: layer), middle (after half of the stages), stages or"
    " stages:0,1,2 (one of them drawn each step; 0 is the input, the last is left out unless named), pooled (the input of"
    " the last linear layer, where L_sim vanishes)"
)
_WORDS = ("input", "middle", "stages", "pooled")
_NUMBERED = re.compile(r"stage\.(\d+)|stages:(\d+(?:,\d+)*)")


@dataclass(frozen=True)
class ImageSite:
    """A place to mix.

    Attributes:
        kind: ``"stage"`` (after ``stages[0]`` stages) or ``"pooled"``.
        stages: for ``"stage"`` the numbers to choose from: 0 is the input, N comes after the last stage.
    """

    kind: str
    stages: tuple[int, ...] = ()


def check_site(name: str) -> None:
    """Require a site's spelling to be right; whether its stage exists, :func:`resolve_site` says.

    Raises:
        UserError: naming every spelling.
    """
    if name not in _WORDS and not _NUMBERED.fullmatch(name):
        raise UserError(f"No site is called {name!r}.{nearest(name, _WORDS)} Known: {SITE_HELP}.")


def resolve_site(name: str, stages: int, model: str = "this model") -> ImageSite:
    """The site called ``name`` in a network of ``stages`` stages.

    ``stages`` draws from 0 to N - 1, as Manifold Mixup does: after the last stage most networks only average and apply
    a linear layer, where mixing teaches nothing about the similarity of logits.

    Raises:
        UserError: for an unknown spelling or a stage that does not exist, naming those that do and who has more.
    """
    check_site(name)
    if name == "pooled":
        return ImageSite(name)
    if name == "input":
        return ImageSite("stage", (0,))
    if not stages:
        raise UserError(
            f"site {name!r} needs stages, and {model} has none that are recognised: take 'input' or 'pooled'."
        )
    words = {"middle": (max(1, stages // 2),), "stages": tuple(range(stages))}
    if name in words:
        return ImageSite("stage", words[name])
    match = _NUMBERED.fullmatch(name)
    assert match is not None  # check_site has seen it
    numbers = tuple(int(number) for number in (match[1] or match[2]).split(","))
    lowest = 1 if match[1] else 0
    for number in numbers:
        if not lowest <= number <= stages:
            raise UserError(
                f"site {name!r} asks for stage {number}, but {model} has stages {lowest} to {stages}: take one of them"
                f"{_who_has(number)}."
            )
    return ImageSite("stage", numbers)


def _who_has(stage: int) -> str:
    having = [f"{row.name} ({row.stages})" for row in NETWORKS.values() if row.stages >= stage > 0]
    return f", or a network with so many: {', '.join(having)}" if having else ""
