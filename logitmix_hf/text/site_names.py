"""The sites of a text model by name, and which layers a name means. Read without importing torch: arguments check them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from logitmix_hf.errors import UserError, nearest

SITE_HELP = (
    "embeddings, layer.K (after the K-th layer), middle (after half of the layers), layers or layers:1,3,5 (one of "
    "them drawn each step; 0 is the embeddings), cls (the last hidden state), pooled (the input of the last linear layer)"
)
_WORDS = ("embeddings", "middle", "layers", "cls", "pooled")
_NUMBERED = re.compile(r"layer\.(\d+)|layers:(\d+(?:,\d+)*)")


@dataclass(frozen=True)
class TextSite:
    """A place to mix.

    Attributes:
        kind: ``"depth"`` (after ``depths[0]`` layers), ``"cls"`` or ``"pooled"``.
        depths: for ``"depth"`` the numbers of layers to choose from: 0 is the embeddings, N the last layer.
    """

    kind: str
    depths: tuple[int, ...] = ()


def check_site(name: str) -> None:
    """Require a site's spelling to be right; whether its layer exists, :func:`resolve_site` says.

    Raises:
        UserError: naming every spelling.
    """
    if name not in _WORDS and not _NUMBERED.fullmatch(name):
        raise UserError(f"No site is called {name!r}.{nearest(name, _WORDS)} Known: {SITE_HELP}.")


def resolve_site(name: str, layers: int) -> TextSite:
    """The site called ``name`` in a network of ``layers`` layers.

    Raises:
        UserError: for an unknown spelling or a layer that does not exist, naming those that do.
    """
    check_site(name)
    if name in ("cls", "pooled"):
        return TextSite(name)
    words = {"embeddings": (0,), "middle": (layers // 2,), "layers": tuple(range(1, layers + 1))}
    if name in words:
        return TextSite("depth", words[name])
    match = _NUMBERED.fullmatch(name)
    assert match is not None  # check_site has seen it
    depths = tuple(int(number) for number in (match[1] or match[2]).split(","))
    lowest = 1 if match[1] else 0
    for depth in depths:
        if not lowest <= depth <= layers:
            raise UserError(
                f"site {name!r} asks for layer {depth}, but this model has layers {lowest} to {layers}: take one of them."
            )
    return TextSite("depth", depths)
