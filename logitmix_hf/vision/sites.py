"""Where an image model may mix: found in a model by its structure and never by its family's name.

A stage is what a model calls one after the other between its first convolution (or patch embedding) and its head: the
stages of a convolutional network, the layers of a ViT. Its output is a tensor whose first axis is the batch, or a tuple
or ``ModelOutput`` that begins with one: :func:`stage_tensor` takes it out, :func:`with_tensor` puts another in.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from logitmix_hf.errors import UserError
from logitmix_hf.models.heads import find_heads
from logitmix_hf.models.unwrap import unwrap
from logitmix_hf.vision.site_names import ImageSite, check_site, resolve_site


@dataclass(frozen=True)
class ImageSites:
    """The places of one model.

    Attributes:
        stages: the module after which each stage ends, in order of use; none where the structure is not recognised.
        heads: the last linear layer, with the copies that an adapter keeps. DeiT with a distillation token has two that
            see different tokens, and ``pooled`` mixes the inputs of both by one plan.
        channels: of the images, None where nothing tells.
        name: of the model, for messages.
        modules: which modules the model has, for messages.
    """

    stages: tuple[nn.Module, ...]
    heads: tuple[nn.Module, ...]
    channels: int | None = None
    name: str = "this model"
    modules: str = ""

    def resolve(self, site: str) -> ImageSite:
        """The site of that name here.

        Raises:
            UserError: for a site that this model does not have, naming what it has.
        """
        check_site(site)
        if site not in ("input", "pooled") and not self.stages:
            raise UserError(
                f"site {site!r} needs stages, and {self.name} has none that are recognised (a list of modules, or modules"
                f" named alike with numbers, that hold most of the parameters before the head): take 'input' or"
                f" 'pooled'. Modules that exist: {self.modules}."
            )
        if site == "pooled" and not self.heads:
            raise UserError(
                f"site 'pooled' needs a last linear layer that gives the logits, and {self.name} has none that is"
                f" recognised: take 'input'. Modules that exist: {self.modules}."
            )
        return resolve_site(site, len(self.stages), self.name)


def stage_tensor(output: Any) -> Tensor:
    """The hidden states in what a stage returns: itself, or the first of a tuple, list or ``ModelOutput``.

    Raises:
        UserError: when it begins with no tensor.
    """
    first: Any = output
    if isinstance(output, Mapping):  # a ModelOutput is one
        first = next(iter(output.values()), None)
    elif isinstance(output, tuple | list):
        first = output[0] if output else None
    if not isinstance(first, Tensor):
        raise UserError(
            f"a stage of this model returns {type(output).__name__}, which begins with no tensor: take site 'input'."
        )
    return first


def with_tensor(output: Any, hidden: Tensor) -> Any:
    """What a stage returns, with other hidden states in the place of its own; ``output`` stays as it is."""
    if isinstance(output, Tensor):
        return hidden
    if isinstance(output, Mapping):
        return type(output)(**{**output, next(iter(output)): hidden})  # type: ignore[call-arg]
    return [hidden, *output[1:]] if isinstance(output, list) else (hidden, *output[1:])


def find_sites(model: nn.Module) -> ImageSites:
    """Find the stages and the head of an image classifier, also inside DDP, ``torch.compile`` or PEFT.

    The head is what :func:`logitmix_hf.models.heads.find_heads` finds. The stages are the outermost list of modules
    (``ModuleList``, ``Sequential``), or family of siblings named alike with numbers (``layer1`` to ``layer4``), that holds
    most parameters of what is not the head; a list of lists ends a stage with each inner one. A model without such stages
    is left with ``input`` and ``pooled``.
    """
    base: Any = unwrap(model)
    heads = tuple(find_heads(base, copies=True).values())
    stages = _find_stages(base, heads)
    config = getattr(base, "config", None)
    kinds = Counter(type(module).__name__ for module in base.modules() if module is not base)
    class_names = ", ".join(f"{name} x{count}" if count > 1 else name for name, count in kinds.most_common(12))
    first = next((module.in_channels for module in base.modules() if isinstance(module, nn.Conv2d)), None)
    channels = getattr(config, "num_channels", None)
    return ImageSites(
        stages=stages,
        heads=heads,
        channels=channels if isinstance(channels, int) else first,
        name=str(getattr(config, "architecture", None) or type(base).__name__),
        modules=class_names,
    )


def _find_stages(model: nn.Module, heads: tuple[nn.Module, ...]) -> tuple[nn.Module, ...]:
    """Of the candidates the one with most parameters; of equals the outermost."""
    inside_head = {id(module) for head in heads for module in head.modules()}
    best, _ = max(_candidates(model, inside_head), key=lambda candidate: candidate[1], default=((), 0))
    return tuple(_end(module) for module in best)


def _candidates(parent: nn.Module, inside_head: set[int]) -> Iterator[tuple[tuple[nn.Module, ...], int]]:
    """Lists and families of modules that hold no head, from the outside in, with the number of their parameters; nothing
    is looked for inside of one."""
    children = [(name, child) for name, child in parent.named_children() if _size(child)]
    families: dict[str, list[nn.Module]] = {}
    for name, child in children:
        if (match := re.fullmatch(r"(.*?[^\d])\d+", name)) and not _holds(child, inside_head):
            families.setdefault(match[1], []).append(child)
    taken: set[int] = set()
    for family in families.values():
        # Bare layers named alike are the linear layers of a head, or the inside of a block.
        equal = len(family) > 1 and len({type(child) for child in family}) == 1
        if equal and not _is_bare(family[0]):
            yield tuple(family), sum(map(_size, family))
            taken.update(id(child) for child in family)
    for _, child in children:
        if id(child) in taken:
            continue
        parts = _parts(child) if not _holds(child, inside_head) else ()
        if parts:
            yield parts, _size(child)
        else:
            yield from _candidates(child, inside_head)


def _parts(module: nn.Module) -> tuple[nn.Module, ...]:
    """Where the stages of a list of modules end; nothing where it is no list of stages."""
    if not isinstance(module, nn.ModuleList | nn.Sequential):
        return ()
    parts = [part for part in module if _size(part)]
    if len(parts) < 2 or max(map(_size, parts)) > _DOMINATES * _size(module):
        return ()
    if all(map(_is_bare, parts)):  # a plain chain of layers, such as VGG's: its stages end where it pools
        pools = [part for part in module if "Pool" in type(part).__name__]
        return tuple(pools) if len(pools) > 1 else tuple(parts)
    return tuple(parts)


def _is_bare(module: nn.Module) -> bool:
    return next(module.children(), None) is None


_DOMINATES = 0.9  # a list of which one module holds so much is a wrapper of that module


def _end(stage: nn.Module) -> nn.Module:
    """The module that is called last in a stage: a ``ModuleList`` is never called itself."""
    while isinstance(stage, nn.ModuleList) and len(stage):
        stage = stage[-1]
    return stage


def _holds(module: nn.Module, inside_head: set[int]) -> bool:
    return any(id(part) in inside_head for part in module.modules())


def _size(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
