"""Clean and span-mixed rows through a classifier: CutMix of sentences as a pass of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn

from logitmix_hf.errors import UserError
from logitmix_hf.losses import distance
from logitmix_hf.models.compiled import is_compiled
from logitmix_hf.models.unwrap import logits_of, unwrap
from logitmix_hf.plan import MixPlan
from logitmix_hf.targets import problem_of, targets_of
from logitmix_hf.text.spans import boundary_ids, mix_spans, token_saliency


class SpanForward:
    """Run clean rows and rows with a span of their partner's tokens through a classifier.

    Args:
        model: a Hugging Face sequence classifier.
        tokenizer: says which token ids are special and stay where they are.
        choice: ``"chance"`` draws the spans, and both halves go through the network in one call. ``"saliency"`` takes
            the partner's most and the row's least salient span by the gradient of the clean loss at the embeddings,
            from the clean pass that is needed anyway (SSMix, Yoon et al., 2021): two calls, one more backward.

    Raises:
        UserError: without a tokenizer.
    """

    def __init__(self, model: nn.Module, tokenizer: Any, choice: Literal["chance", "saliency"] = "chance") -> None:
        if tokenizer is None or not hasattr(tokenizer, "all_special_ids"):
            raise UserError("mixer 'spans' needs to know the special tokens: pass processing_class=tokenizer.")
        self.model = model
        self.choice = choice
        if choice == "saliency" and _reentrant(unwrap(model)):
            raise UserError(
                "span_choice 'saliency' asks for the gradient at the embeddings, which reentrant checkpointing does not"
                " give: pass gradient_checkpointing_kwargs={'use_reentrant': False}, or take span_choice 'chance'."
            )
        self.special_ids = boundary_ids(tokenizer)

    def __call__(
        self, batch: Mapping[str, Any], plan: MixPlan, generator: torch.Generator, model: nn.Module, labels: Tensor
    ) -> tuple[Tensor, Tensor, MixPlan]:
        """Logits of clean rows (B, C), of mixed rows (B, C), and the plan really carried out."""
        if batch.get("input_ids") is None:
            raise UserError("mixer 'spans' replaces tokens: the batch needs input_ids.")
        tokens = {name: value for name, value in batch.items() if isinstance(value, Tensor)}
        if self.choice == "chance":
            mixed, carried = mix_spans(tokens, plan, generator, self.special_ids)
            logits = logits_of(model(**{name: torch.cat([value, mixed[name]]) for name, value in tokens.items()}))
            return logits[: plan.rows], logits[plan.rows :], carried
        if is_compiled(model):
            raise UserError(
                "span_choice 'saliency' reads gradients at the embeddings, which a compiled model does not give: leave"
                " torch_compile out, or take span_choice 'chance'."
            )
        clean, saliency = self._clean_with_saliency(tokens, model, labels)
        mixed, carried = mix_spans(tokens, plan, generator, self.special_ids, saliency=saliency)
        return clean, logits_of(model(**mixed)), carried

    def _clean_with_saliency(
        self, tokens: dict[str, Tensor], model: nn.Module, labels: Tensor
    ) -> tuple[Tensor, Tensor]:
        vectors: list[Tensor] = []

        def keep(module: nn.Module, args: tuple[Any, ...], output: Tensor) -> Tensor:
            vectors.append(output if output.requires_grad else output.requires_grad_())
            return output

        handle = unwrap(self.model).get_input_embeddings().register_forward_hook(keep)  # type: ignore[operator]
        try:
            clean = logits_of(model(**tokens))
        finally:
            handle.remove()
        problem = problem_of(unwrap(self.model).config, clean, labels)
        loss = distance(clean.float(), targets_of(labels, clean, problem), problem).sum()
        (gradient,) = torch.autograd.grad(loss, vectors[0], retain_graph=True)
        return clean, token_saliency(gradient, tokens.get("attention_mask"))


def _reentrant(model: nn.Module) -> bool:
    """Whether the model recomputes layers in the reentrant way (transformers keeps the bound function)."""
    for module in model.modules():
        function = getattr(module, "_gradient_checkpointing_func", None)
        if getattr(module, "gradient_checkpointing", False) and function is not None:
            return bool(getattr(function, "keywords", {}).get("use_reentrant", False))
    return False
