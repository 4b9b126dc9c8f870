"""Clean and mixed images through one classifier: mixed at the pixels, after a stage, or before the last linear layer.

At the pixels clean and mixed rows go through together, or in two passes where BatchNorm should not see them together or
a mixer needs the saliency of the clean ones. After a stage the clean rows run alone up to there: hooks append the mixture.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from logitmix_hf.errors import UserError, pick
from logitmix_hf.models.hooked import HookedForward
from logitmix_hf.models.unwrap import logits_of, unwrap
from logitmix_hf.plan import MixPlan, blend
from logitmix_hf.vision.mixers import MIXERS
from logitmix_hf.vision.mixers.puzzle.adversarial import adversarial_noise, adversarial_start
from logitmix_hf.vision.saliency import as_in_evaluation, clean_with_gradient, run_pixels, saliency_of
from logitmix_hf.vision.sites import find_sites, stage_tensor, with_tensor


@dataclass
class _Inside:
    """What the hooks of one pass need to know."""

    rows: int
    stage: int  # of the network, from 1; 0 is the input of the last linear layer
    plan: MixPlan
    draws: Tensor  # the generator's state: checkpointing runs the hook again
    clean: bool
    carried: MixPlan | None = None


class ImageForward(HookedForward):
    """Run clean and mixed rows through an image classifier; usable in anybody's own loop.

    Args:
        model: a classifier that takes ``pixel_values`` (B, C, H, W); also inside DDP or ``torch.compile``. It is left
            unmodified but for hooks that sleep outside of a mixed pass.
        mixer: a name in :data:`MIXERS`.
        site: where to mix (see :data:`logitmix_hf.vision.site_names.SITE_HELP`).
        bn_mode: ``"joint"``: BatchNorm sees clean and mixed rows as one batch, as in the LogitMix authors' code;
            ``"separate"``: a pass each. None: joint; separate where the mixer needs saliency, which then comes from the
            clean pass that the loss needs anyway: two forwards, two backwards.
        options: of the mixer, see ``MIXERS[name].options``; of puzzlemix also ``adv_prob`` and ``adv_eps``.
        mean, std: of the images' normalisation, one for each channel: puzzlemix wants pixels in [0, 1].

    Raises:
        UserError: for an unknown mixer, a site that the model lacks, or a mixer that cannot work there.

    Example:
        >>> forward = ImageForward(model, mixer="cutmix")  # doctest: +SKIP
        >>> clean, mixed, carried = forward({"pixel_values": images}, plan, generator)  # doctest: +SKIP
    """

    def __init__(
        self,
        model: nn.Module,
        mixer: str = "mixup",
        site: str = "input",
        bn_mode: Literal["joint", "separate"] | None = None,
        *,
        options: Mapping[str, Any] | None = None,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
    ) -> None:
        self.model = model
        self.mixer = pick(MIXERS, mixer, "mixer")
        base = unwrap(model)
        self.options = dict(options or {})
        self._adversarial = (self.options.pop("adv_prob", 0.0), self.options.pop("adv_eps", 10.0))
        self._scale = {} if mean is None or std is None else {"mean": tuple(mean), "std": tuple(std)}
        super().__init__()
        self._now: _Inside | None = None
        if site == "input":
            self.kind, self.stages = "stage", (0,)
        else:
            sites = find_sites(base)
            resolved = sites.resolve(site)
            self.kind, self.stages = resolved.kind, tuple(resolved.stages)
            self._check_hidden(site, bn_mode)
            self._install(base, sites)
        self.bn_mode = bn_mode or ("separate" if self.mixer.needs_saliency else "joint")

    def _check_hidden(self, site: str, bn_mode: str | None) -> None:
        if self.kind == "stage" and set(self.stages) == {0}:
            return
        fit = [name for name, row in MIXERS.items() if row.hidden and (self.kind == "stage" or row.blends)]
        if self.mixer.name not in fit:
            raise UserError(
                f"mixer {self.mixer.name!r} mixes pixels, so it works at site input; at site {site!r} take"
                f" {' or '.join(fit)}."
            )
        if bn_mode == "separate":
            raise UserError(
                f"bn_mode 'separate' needs two passes, and site {site!r} has one: leave it out, or mix at input."
            )

    def _install(self, base: nn.Module, sites: Any) -> None:
        self._handles.append(base.register_forward_pre_hook(self._on_enter))
        if self.kind == "pooled":
            self._handles += [head.register_forward_pre_hook(self._before_head) for head in sites.heads]
        for number in sorted({stage for stage in self.stages if stage > 0}):
            self._handles.append(sites.stages[number - 1].register_forward_hook(self._after_stage(number)))

    def __call__(
        self,
        batch: Mapping[str, Any],
        plan: MixPlan,
        generator: torch.Generator,
        model: nn.Module | None = None,
        *,
        labels: Tensor | None = None,
        clean: bool = True,
    ) -> tuple[Tensor | None, Tensor, MixPlan]:
        """Logits of the clean rows, of the mixed rows, and the plan that was carried out.

        Args:
            batch: ``pixel_values`` (B, C, H, W), and whatever else the model takes; without labels.
            plan: who is mixed with whom and how much, B rows.
            generator: on the CPU; draws places, blocks and the stage.
            model: the wrapped model to call in place of the one given at construction.
            labels: (B,) or (B, C), for mixers that need saliency.
            clean: whether the logits of clean rows are wanted; without them only mixed rows run where that is possible,
                and None comes back.

        Returns:
            Two (B, C) tensors and a plan. Backward may run before :meth:`release` or the next pass of the model.

        Raises:
            UserError: when plan and batch disagree, or the model passes its images by the place where they are mixed.
        """
        pixels = batch["pixel_values"]
        if plan.rows != len(pixels):
            raise UserError(
                f"the plan speaks of {plan.rows} rows, the batch has {len(pixels)}: draw the plan for this batch."
            )
        run = self.model if model is None else model  # a compiled module has no truth value
        drawn = int(torch.randint(len(self.stages), (1,), generator=generator)) if len(self.stages) > 1 else 0
        if self.kind == "pooled" or self.stages[drawn] > 0:
            return self._inside(batch, plan.to(pixels.device), generator, run, self.stages[drawn : drawn + 1], clean)
        # With a clean pass of its own, the saliency of that pass will do.
        shared = clean and self.bn_mode == "separate"
        own, mixed, carried = self._mixed_pixels(batch, plan, generator, labels, run if shared else None)
        if not clean:
            return None, run_pixels(run, batch, mixed), carried
        if shared:
            own = run_pixels(run, batch, pixels) if own is None else own
            return own, run_pixels(run, batch, mixed), carried
        logits = run_pixels(run, batch, torch.cat([pixels, mixed]))
        return logits[: plan.rows], logits[plan.rows :], carried

    def mix_pixels(
        self, batch: Mapping[str, Any], plan: MixPlan, generator: torch.Generator, labels: Tensor | None = None
    ) -> tuple[Tensor, MixPlan]:
        """The mixed images (B, C, H, W) alone, and the plan that was carried out; the model is as it was."""
        _, mixed, carried = self._mixed_pixels(batch, plan, generator, labels, None)
        return mixed, carried

    def _mixed_pixels(
        self,
        batch: Mapping[str, Any],
        plan: MixPlan,
        generator: torch.Generator,
        labels: Tensor | None,
        run: nn.Module | None,
    ) -> tuple[Tensor | None, Tensor, MixPlan]:
        """Logits of the clean rows where ``run`` is to train on them and they were needed, mixed images, plan."""
        pixels, own, noise = batch["pixel_values"], None, None
        # A processor of grey images may repeat its numbers for three channels.
        scale = {name: values[: pixels.shape[1]] for name, values in self._scale.items()}
        extra: dict[str, Any] = dict(self.options)
        if self.mixer.needs_saliency:
            if labels is None:
                raise UserError(
                    f"mixer {self.mixer.name!r} needs the saliency of the clean rows: give labels to the call."
                )
            start = self._adversarial_start(pixels, generator, scale)
            if run is not None and start is None:
                own, gradient = clean_with_gradient(run, batch, pixels, labels, keep=True)
            else:
                point, base = pixels if start is None else pixels + start[0], unwrap(self.model)
                with as_in_evaluation(base):
                    gradient = clean_with_gradient(base, batch, point, labels, keep=False)[1]
            if start is not None:
                eps, extra["noisy"] = self._adversarial[1], start[1]
                noise = adversarial_noise(start[0], gradient, generator, eps=eps, std=scale.get("std", (1.0,)))
            extra["saliency"] = saliency_of(gradient)
        if "noise" in self.mixer.options:
            extra |= {"noise": noise, **scale}
        with torch.no_grad():
            return own, *self.mixer(pixels, plan, generator, **extra)

    def release(self) -> None:
        """Let the hooks sleep; they stay installed for the next call."""
        self._now = None

    # --- saliency ----------------------------------------------------------------------------------------------------

    def _adversarial_start(
        self, pixels: Tensor, generator: torch.Generator, scale: Mapping[str, Any]
    ) -> tuple[Tensor, str] | None:
        """Noise to begin with, and which of a pair gets it; None for most batches."""
        probability, eps = self._adversarial
        if not probability:
            return None
        own, partner = (torch.rand(2, generator=generator) < probability).tolist()
        if not own and not partner:
            return None
        noise = adversarial_start(pixels, generator, eps=eps, **scale)
        return noise, "both" if own and partner else "own" if own else "partner"

    # --- hooks -------------------------------------------------------------------------------------------------------

    def _inside(
        self,
        batch: Mapping[str, Any],
        plan: MixPlan,
        generator: torch.Generator,
        run: nn.Module,
        stage: Sequence[int],
        clean: bool,
    ) -> tuple[Tensor | None, Tensor, MixPlan]:
        self._now = now = _Inside(plan.rows, stage[0] if stage else 0, plan, generator.get_state(), clean)
        with self._own_call():
            logits = logits_of(run(**batch))
        expected = plan.rows * (2 if clean else 1)
        if now.carried is None or len(logits) != expected:
            raise UserError(
                f"{type(unwrap(self.model)).__name__} does not pass its images through the modules found at this site"
                f" ({len(logits)} rows came back, {expected} were expected): take site 'input'."
            )
        return (logits[: plan.rows], logits[plan.rows :], now.carried) if clean else (None, logits, now.carried)

    def _after_stage(self, number: int):
        def hook(module: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
            now = self._now
            if now is None or now.stage != number:
                return None
            return with_tensor(output, self._mixed(stage_tensor(output), now))

        return hook

    def _before_head(self, module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...] | None:
        return None if self._now is None else (self._mixed(args[0], self._now), *args[1:])

    def _mixed(self, hidden: Tensor, now: _Inside) -> Tensor:
        if self.mixer.blends:
            mixed, now.carried = blend(hidden, now.plan), now.plan
        elif hidden.ndim != 4:
            raise UserError(
                f"mixer {self.mixer.name!r} cuts feature maps, but this stage hands on {tuple(hidden.shape)}: take mixup."
            )
        else:
            generator = torch.Generator()
            generator.set_state(now.draws)
            mixed, now.carried = self.mixer(hidden, now.plan, generator, **self.options)
        return torch.cat([hidden, mixed]) if now.clean else mixed
