"""From what is to be mixed to the pass that does it: what the trainer knows of text and images."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from transformers import default_data_collator

from logitmix_hf.arguments import MixArguments
from logitmix_hf.errors import UserError
from logitmix_hf.modality import IMAGE, TEXT, options_of
from logitmix_hf.models.compiled import Shapes
from logitmix_hf.models.hooked import HookedForward
from logitmix_hf.models.unwrap import has_rows, logits_of, unwrap
from logitmix_hf.models.windows import Windowed
from logitmix_hf.plan import MixPlan
from logitmix_hf.vision.mixers import MIXERS


class Passed(NamedTuple):
    """What one pass gives: logits of clean rows (B, C), None where no term looks at them; of mixed rows (B, C); and the
    plan that was carried out."""

    clean: Tensor | None
    mixed: Tensor
    plan: MixPlan


class Passes(ABC):
    """Runs clean and mixed rows of one model, which it knows as ``model``, by the hooks of ``hooked``."""

    model: nn.Module
    hooked: Collection[HookedForward] = ()

    @abstractmethod
    def step(
        self,
        batch: Mapping[str, Any],
        plan: MixPlan,
        generator: torch.Generator,
        model: nn.Module,
        labels: Tensor,
        mix: MixArguments,
    ) -> Passed:
        """One micro-batch: ``model`` is the wrapped one to call, ``mix`` is filled for this step's mixer."""

    def release(self) -> None:
        """Called once backward is through."""
        for forward in self.hooked:
            forward.release()

    def remove(self) -> None:
        """Leave the model as it was."""
        for forward in self.hooked:
            forward.remove()


class _TextPasses(Passes):
    """Hidden states, or spans of tokens."""

    def __init__(self, model: nn.Module, mix: MixArguments, processor: Any) -> None:
        from logitmix_hf.text.forward import MixedForward
        from logitmix_hf.text.span_forward import SpanForward

        self.model = model
        assert mix.site is not None
        # Nothing meets: rows are seen twice from the first module on, as R-Drop has it, in any model.
        self.twice = mix.atom == 1 and mix.site == "embeddings"
        self.shapes = Shapes()
        self.spans = SpanForward(model, processor, mix.span_choice) if mix.mixer == "spans" else None
        self.forward = None if self.spans or self.twice else MixedForward(model, mix.site, mix.mix_attention)
        self.hooked = [self.forward] if self.forward is not None else []

    def step(self, batch, plan, generator, model, labels, mix) -> Passed:
        windows = Windowed.of(batch)
        if windows is None:
            return self._step(batch, plan, generator, model, labels, mix)
        of_windows = windows.plan(plan)
        clean, mixed, carried = self._step(windows.inputs, of_windows, generator, model, labels[windows.row], mix)
        clean = None if clean is None else windows.pool(clean)
        shares = plan.shares if carried is of_windows else windows.pool(carried.shares)
        return Passed(clean, windows.pool(mixed), MixPlan(plan.sources, shares))

    def _step(self, batch, plan, generator, model, labels, mix) -> Passed:
        if self.twice:
            rows = len(labels)
            both = {name: torch.cat([v, v]) if has_rows(v, rows) else v for name, v in batch.items()}
            logits = logits_of(self.shapes.call(model, both))
            return Passed(logits[:rows], logits[rows:], plan)
        if self.spans is not None:
            return Passed(*self.spans(batch, plan, generator, model, labels))
        assert self.forward is not None
        return Passed(*self.forward.run(batch, plan, generator, model, clean=needs_clean(mix)), plan)


class _ImagePasses(Passes):
    """Images, by one of several mixers each step."""

    def __init__(self, model: nn.Module, mix: MixArguments, processor: Any) -> None:
        from logitmix_hf.vision.forward import ImageForward

        self.model = model
        assert mix.site is not None
        mean, std = getattr(processor, "image_mean", None), getattr(processor, "image_std", None)
        self.forwards = {
            name: ImageForward(model, name, mix.site, mix.bn_mode, options=image_options(mix, name), mean=mean, std=std)
            for name in mix.mixers(IMAGE)
        }
        self.hooked = self.forwards.values()

    def step(self, batch, plan, generator, model, labels, mix) -> Passed:
        forward = self.forwards[str(mix.mixer)]
        return Passed(*forward(batch, plan, generator, model, labels=labels, clean=needs_clean(mix)))


def needs_clean(mix: MixArguments) -> bool:
    """Whether any term in force looks at the logits of clean rows."""
    return any(mix.weights[name] > 0 for name in ("cls", "sim", "agree"))


def image_options(mix: MixArguments, mixer: str) -> dict[str, Any]:
    """The options of one image mixer that ``mix`` sets."""
    options = options_of(mixer, mix.mixer_options)
    known = MIXERS[mixer].options
    if "per" in known and mix.lam_per == "example":
        options["per"] = "example"
    if "lam_correction" in known:
        options["lam_correction"] = mix.lam_correction == "on"
    return options


def collate_images(rows: Sequence[Any]) -> dict[str, Any]:
    """Rows of an image data set to a batch: dictionaries, or pairs of an image (C, H, W) and its label.

    Raises:
        UserError: for a pair whose image is not a tensor yet.
    """
    if not isinstance(rows[0], tuple | list) or len(rows[0]) != 2:
        return default_data_collator(list(rows))
    if not isinstance(rows[0][0], Tensor):
        raise UserError(
            f"a row of the data set holds an image of the type {type(rows[0][0]).__name__}: let its transform end in a"
            " tensor (C, H, W), or give a data_collator."
        )
    return {
        "pixel_values": torch.stack([image for image, _ in rows]),
        "labels": torch.stack([torch.as_tensor(label) for _, label in rows]),
    }


def modality_of(model: nn.Module, required: bool = True) -> str:
    """``"image"`` for a model that reads ``pixel_values``, else ``"text"``.

    Raises:
        UserError: where it is ``required``, for a model that can be called with neither.
    """
    base = unwrap(model)
    named = getattr(base, "main_input_name", None)
    if named is not None:
        return IMAGE if named == "pixel_values" else TEXT
    inputs = inspect.signature(base.forward).parameters
    takes_any = any(one.kind is one.VAR_KEYWORD for one in inputs.values())
    if required and not takes_any and not inputs.keys() & {"pixel_values", "input_ids", "inputs_embeds"}:
        raise UserError(
            f"{type(base).__name__} takes {', '.join(inputs) or 'nothing'}, but a model is called with pixel_values"
            " (images) or input_ids (text): take logitmix_hf.vision.build_network for torchvision's networks, or wrap it"
            " in a module whose forward has such a name."
        )
    return IMAGE if "pixel_values" in inputs and "input_ids" not in inputs else TEXT


def passes_for(model: nn.Module, mix: MixArguments, processor: Any, modality: str) -> Passes:
    """The pass for a model, not wrapped, by ``mix``, filled; ``processor`` is a tokenizer or an image processor.

    Raises:
        UserError: when the model has no such site, or the mixer does not fit it.
    """
    if modality == IMAGE:
        return _ImagePasses(model, mix, processor)
    return _TextPasses(model, mix, processor)
