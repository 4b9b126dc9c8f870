"""The one mixed forward pass: clean and mixed rows in a single call of an unmodified Hugging Face classifier.

The batch enters doubled. Hooks keep its first half up to the site, append the mixture there, and let the rest of the
network run on both halves: a pass that mixes after k of N layers costs 1 + (N - k) / N of a plain one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

from logitmix_hf.errors import UserError
from logitmix_hf.models.compiled import Shapes
from logitmix_hf.models.hooked import HookedForward
from logitmix_hf.models.unwrap import has_rows, logits_of, unwrap
from logitmix_hf.plan import MixPlan, blend
from logitmix_hf.text.attention import TokenShares, add_soft_bias, mask_position, takes_soft_mask
from logitmix_hf.text.doubled_batch import first_half, put_hidden, replace_hidden, second_half
from logitmix_hf.text.site_names import TextSite, resolve_site
from logitmix_hf.text.sites import find_sites


@dataclass
class _Pass:
    """What the hooks of one forward pass need to know.

    Of the batch's size only what its tensors say: a Python number would be a constant of a compiled graph.
    """

    site: TextSite
    depth: int  # layers before the mixture; -1 where the site is not between layers
    tokens: TokenShares
    soft: bool
    last: Tensor | None  # (B,) position of each row's last token, for decoders
    lean: bool = False  # from the mixture on mixed rows run alone, in a batch that came doubled
    calls: int = 0
    done: bool = False  # mixed rows are in
    entered: Tensor | None = None  # the doubled embeddings that entered layer 1, and what became of them
    mixed: Tensor | None = None


class MixedForward(HookedForward):
    """Run clean and mixed rows through a classifier together; usable in anybody's own loop.

    Args:
        model: a Hugging Face sequence classifier, also inside DDP, ``torch.compile`` or PEFT; it is left unmodified
            but for hooks that sleep outside of a mixed pass.
        site: where to mix (see :data:`logitmix_hf.text.site_names.SITE_HELP`).
        attention: what a mixed row may attend to. ``"union"``: every token that one of its sources has.
            ``"soft"``: the same, each key weighed by the share of the sources that have it. None: soft where the
            layers take an additive mask, else union.

    Raises:
        UserError: when the model has no such site, is wrapped in ``nn.DataParallel``, or cannot weigh attention.

    Example:
        >>> forward = MixedForward(model, site="layer.3")  # doctest: +SKIP
        >>> clean_logits, mixed_logits = forward(batch, plan)  # doctest: +SKIP
    """

    def __init__(
        self, model: nn.Module, site: str = "middle", attention: Literal["union", "soft"] | None = None
    ) -> None:
        self.model = model
        base = unwrap(model)
        self.sites = find_sites(base)
        self.site = resolve_site(site, self.sites.depth)
        if self.sites.causal and self.site.kind != "pooled":
            raise UserError(
                f"site {site!r} is not open to {type(base).__name__}: a decoder's last token stands for the sentence, and"
                " two sentences end at different positions, so only site 'pooled' mixes what belongs together."
            )
        self._may_soften = takes_soft_mask(base.config, self.sites)
        if attention == "soft" and not self._may_soften:
            raise UserError(
                f"mix_attention 'soft' needs layers that take an additive attention mask; those of {type(base).__name__}"
                " do not: take 'union'."
            )
        self.attention = attention or ("soft" if self._may_soften else "union")
        self._pad_id = getattr(base.config, "pad_token_id", None)
        self._pass: _Pass | None = None
        self._may_be_lean = True  # until a model turns out to look at the whole batch after its layers
        self._dropped: dict[int, tuple[Tensor, Tensor]] = {}
        self._shapes = Shapes()
        super().__init__(base)
        for index, layer in enumerate(self.sites.layers):
            self._handles.append(layer.register_forward_pre_hook(self._before_layer(index), with_kwargs=True))
            self._handles.append(layer.register_forward_hook(self._after_layer(index)))
        for sibling in self.sites.siblings:
            self._handles.append(sibling.register_forward_pre_hook(self._before_sibling, with_kwargs=True))
        if self.sites.end is not None:
            self._handles.append(self.sites.end.register_forward_hook(self._after_end))
        for module in self.sites.dropouts:
            self._handles.append(module.register_forward_hook(self._after_dropout))
        for head in self.sites.heads:
            self._handles.append(head.register_forward_pre_hook(self._before_head))

    def __call__(
        self,
        batch: Mapping[str, Any],
        plan: MixPlan,
        generator: torch.Generator | None = None,
        model: nn.Module | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Logits of the clean and of the mixed rows.

        Args:
            batch: the model's inputs without labels: (B, S) token ids and what goes with them.
            plan: who is mixed with whom, B rows; or m B rows, each a mixture of rows of the batch
                (:func:`logitmix_hf.plan.with_views`).
            generator: draws the layer where the site names several.
            model: the wrapped model to call (DDP after ``prepare``) in place of the one given at construction.

        Returns:
            Two tensors, (B, C) and (B, C) or (m B, C). Backward may run at any time before :meth:`release` or the next pass
            of the model.
        """
        clean, mixed = self.run(batch, plan, generator, model)
        assert clean is not None
        return clean, mixed

    def run(
        self,
        batch: Mapping[str, Any],
        plan: MixPlan,
        generator: torch.Generator | None = None,
        model: nn.Module | None = None,
        *,
        clean: bool = True,
    ) -> tuple[Tensor | None, Tensor]:
        """As a call; with ``clean`` False mixed rows run alone from the mixture on, at the price of a plain step, and None
        stands for the logits of clean rows. (A model that looks at its mask after the layers, or has a convolution beside
        them, runs both all the same.)"""
        rows, _, device = _shape_of(batch)
        if plan.rows % rows:
            raise UserError(f"the plan speaks of {plan.rows} rows, the batch has {rows}: draw the plan for this batch.")
        depth = -1
        if self.site.kind == "depth":
            depths = self.site.depths
            if len(depths) > 1 and generator is None:
                raise UserError("this site draws a layer each step: pass generator=torch.Generator() to the call.")
            drawn = int(torch.randint(len(depths), (1,), generator=generator)) if len(depths) > 1 else 0
            depth = depths[drawn]
        return self._run(batch, plan.to(device), depth, model, clean)

    def _run(
        self, batch: Mapping[str, Any], plan: MixPlan, depth: int, model: nn.Module | None, clean: bool
    ) -> tuple[Tensor | None, Tensor]:
        rows, length, _ = _shape_of(batch)
        times = plan.rows // rows
        tokens = TokenShares.of(batch.get("attention_mask"), plan, length, times)
        # At the head of an encoder nothing but the head itself runs on mixed rows: one copy of the batch is enough.
        # A convolution beside the layers sees padding, which the embeddings zero by each row's own mask: not by the union.
        lone = not clean and not self.sites.siblings and not self.sites.causal
        first = lone and depth == 0
        lean = lone and not first and self._may_be_lean
        alone = first or lean
        double = (self.site.kind != "pooled" or self.sites.causal) and not first
        inputs = {
            name: torch.cat([value] * (1 + times)) if double and has_rows(value, rows) else value
            for name, value in batch.items()
        }
        tokens = replace(tokens, alone=alone)
        if first and tokens.padded:
            inputs["attention_mask"] = tokens.union.to(inputs["attention_mask"].dtype)
        elif double and not self.sites.causal and tokens.padded:
            own = inputs["attention_mask"]
            inputs["attention_mask"] = torch.cat([own[:rows], tokens.union.to(own.dtype)])
        last = _last_tokens(batch, self._pad_id) if self.sites.causal else None
        self._dropped.clear()
        soft = self.attention == "soft" and tokens.padded and depth >= 0
        self._pass = _Pass(self.site, depth, tokens, soft, last, lean)
        try:
            with self._own_call():
                called = self.model if model is None else model  # a compiled one has no truth value
                logits = logits_of(self._shapes.call(called, inputs, held=(last, *tokens.tensors())))
        except RuntimeError as problem:
            if not lean or isinstance(problem, torch.OutOfMemoryError):
                raise
            logits = None  # rows that do not fit the doubled mask, say of a mean over tokens
        expected, found = (times if alone else 1 + times) * rows, 0 if logits is None else logits.shape[0]
        if lean and found != expected:
            self._may_be_lean = False
            return self._run(batch, plan, depth, model, clean)
        if not self._pass.done or logits is None or found != expected:
            # A model may run its layers past their hooks (SqueezeBERT calls layer.forward): never train on that.
            raise UserError(
                f"{type(unwrap(self.model)).__name__} does not pass its hidden states through the modules found at this"
                f" site ({found} rows came back, {expected} were expected): take site 'pooled'."
            )
        return (None, logits) if alone else (logits[:rows], logits[rows:])

    def release(self) -> None:
        """Let the hooks sleep; they stay installed for the next call."""
        self._pass = None
        self._dropped.clear()

    # --- hooks -----------------------------------------------------------------------------------------------------

    def _before_layer(self, index: int):
        position = mask_position(self.sites.layers[index]) if self._may_soften else -1

        def hook(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]):
            now = self._pass
            if now is None:
                return None
            number = now.calls if self.sites.shared else index
            if self.sites.shared:
                now.calls += 1
            if now.depth < 0 or number < now.depth:
                return self._cut(args), self._cut(kwargs)
            hidden = args[0] if args else kwargs["hidden_states"]
            if now.lean:
                args, kwargs = (
                    second_half(value, now.tokens.rows, now.tokens.length, now.tokens.times) for value in (args, kwargs)
                )
            if number == now.depth:
                entered, hidden = hidden, now.tokens.append_blend(hidden[: now.tokens.rows])
                now.done = True
                if number == 0:
                    now.entered, now.mixed = entered, hidden
                args, kwargs = put_hidden(args, kwargs, hidden)
            return add_soft_bias(position, args, kwargs, now.tokens) if now.soft else (args, kwargs)

        return hook

    def _after_layer(self, index: int):
        def hook(module: nn.Module, args: tuple[Any, ...], output: Any):
            now = self._pass
            # "cls" is here too where nothing follows the last layer that still belongs to the last hidden state.
            if now is None or not (
                now.depth == self.sites.depth or (now.site.kind == "cls" and self.sites.end is None)
            ):
                return None
            number = now.calls - 1 if self.sites.shared else index
            if number != self.sites.depth - 1:
                return None
            now.done = True
            return replace_hidden(output, now.tokens.append_blend)

        return hook

    def _cut(self, value: Any) -> Any:
        assert self._pass is not None
        return first_half(value, *self._pass.tokens.size)

    def _before_sibling(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]):
        now = self._pass
        if now is None:
            return None
        if now.depth != 0:
            return None if now.done else (self._cut(args), self._cut(kwargs))
        if now.entered is None:
            return None
        # It is handed the embeddings as they were before layer 1's hook mixed them.
        args = tuple(now.mixed if value is now.entered else value for value in args)
        return args, {name: now.mixed if value is now.entered else value for name, value in kwargs.items()}

    def _after_end(self, module: nn.Module, args: tuple[Any, ...], output: Any):
        now = self._pass
        if now is None or now.site.kind != "cls":
            return None
        now.done = True
        return replace_hidden(output, now.tokens.append_blend)

    def _after_dropout(self, module: nn.Module, args: tuple[Any, ...], output: Tensor) -> None:
        if self._pass is not None and self._pass.site.kind == "pooled":
            self._dropped[id(module)] = (args[0], output)

    def _before_head(self, module: nn.Module, args: tuple[Any, ...]):
        now = self._pass
        if now is None or now.site.kind != "pooled":
            return None
        pooled, again = args[0], None
        for dropout in self.sites.dropouts:
            raw, dropped = self._dropped.get(id(dropout), (None, None))
            if dropped is pooled:
                # The head's own dropout: mixed rows are dropped out anew, as the authors do; with the masks shared,
                # L_sim would be zero even in training.
                pooled, again = raw, dropout
        assert pooled is not None
        mixed = blend(pooled, now.tokens.plan) if now.last is None else _blend_last(pooled, now)
        if again is not None:
            mixed = again.forward(mixed)
        now.done = True
        return (mixed if now.lean else torch.cat([args[0], mixed]), *args[1:])


def _shape_of(batch: Mapping[str, Any]) -> tuple[int, int, torch.device]:
    if "labels" in batch:
        raise UserError("the batch of a mixed pass must come without labels: pop them and give them to the loss.")
    for name in ("input_ids", "inputs_embeds"):
        if batch.get(name) is not None:
            return batch[name].shape[0], batch[name].shape[1], batch[name].device
    raise UserError(f"the batch needs input_ids or inputs_embeds, got {', '.join(sorted(batch))}.")


def _last_tokens(batch: Mapping[str, Any], pad_id: int | None) -> Tensor:
    """The position that a decoder's head reads, as transformers' generic head picks it."""
    ids = batch.get("input_ids")
    if ids is None or pad_id is None:
        raise UserError("a decoder mixes at 'pooled' by its last token: it needs input_ids and config.pad_token_id.")
    return (torch.arange(ids.shape[1], device=ids.device) * (ids != pad_id)).argmax(-1)


def _blend_last(hidden: Tensor, now: _Pass) -> Tensor:
    """Blend each sentence's last token and put the result at every position: the head then picks it anywhere."""
    rows = torch.arange(now.tokens.rows, device=hidden.device)
    pooled = blend(hidden[rows, now.last], now.tokens.plan)
    return pooled.unsqueeze(1).expand(-1, hidden.shape[1], -1)
