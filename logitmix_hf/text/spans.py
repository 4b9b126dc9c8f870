"""CutMix of sentences: a span of one sentence gives way to a span of its partner's, of the same length.

The papers mix sentences by their vectors only and leave the cutting out. Here tokens move, as pixels do in CutMix (Yun
et al., ICCV 2019), and the share of a row is the measured share of its content tokens that stayed. With a saliency the
least salient span of the row gives way to the most salient one of the partner, as in SSMix (Yoon et al., Findings of
ACL 2021, arXiv:2106.08062); without one both are drawn.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, NamedTuple

import torch
from torch import Tensor

from logitmix_hf.errors import UserError
from logitmix_hf.plan import MixPlan


class Segments(NamedTuple):
    """The sentences of each row: its maximal runs of attended tokens that are not special.

    Attributes:
        content: (B, S) bool, the tokens that belong to a sentence.
        number: (B, S) int64, which sentence of its row a content token belongs to; 0 elsewhere.
        start: (B, P) int64, first position of each sentence; P bounds their number by S, so no value is read back
            from the device. S where there is none.
        length: (B, P) int64, tokens of each sentence; 0 where there is none.
    """

    content: Tensor
    number: Tensor
    start: Tensor
    length: Tensor


def boundary_ids(tokenizer: Any) -> frozenset[int]:
    """The special ids that end a sentence: all but those of the unknown and the masked word, which are content.

    A tokenizer that uses one id for both (GPT-2: unknown is end of text) keeps it as a boundary.
    """
    words = {getattr(tokenizer, f"{role}_token_id", None) for role in ("unk", "mask")}
    marks = {getattr(tokenizer, f"{role}_token_id", None) for role in ("bos", "eos", "cls", "sep", "pad")}
    return frozenset(set(tokenizer.all_special_ids) - (words - marks))


def find_segments(input_ids: Tensor, attention_mask: Tensor | None, special_ids: Collection[int]) -> Segments:
    """The sentences of each row, in order: one of ``[CLS] a [SEP]``, two of ``<s> a </s></s> b </s>``.

    Args:
        input_ids: (B, S) int.
        attention_mask: (B, S), above 0 where there is a token; None for everywhere.
        special_ids: ids that belong to no sentence (:func:`boundary_ids`).
    """
    rows, length = input_ids.shape
    special = torch.tensor(sorted(special_ids), dtype=input_ids.dtype, device=input_ids.device)
    content = ~torch.isin(input_ids, special)
    if attention_mask is not None:
        content &= attention_mask > 0
    first = content.clone()
    first[:, 1:] &= ~content[:, :-1]
    index = torch.where(content, first.cumsum(1) - 1, 0)
    most = (length + 1) // 2
    positions = torch.arange(length, device=input_ids.device).expand(rows, length)
    start = _smallest(positions.masked_fill(~content, length), index, most, length)
    end = 1 - _smallest((-positions).masked_fill(~content, 0), index, most, 0)
    return Segments(content, index, start, torch.where(start < length, end - start, 0))


def mix_spans(
    batch: dict[str, Tensor],
    plan: MixPlan,
    generator: torch.Generator,
    special_ids: Collection[int],
    saliency: Tensor | None = None,
) -> tuple[dict[str, Tensor], MixPlan]:
    """Replace a span of each sentence by one of the partner's sentence in the same place.

    Of a sentence with n tokens round((1 - lam) n) are replaced (float32, half to even), but never more than the
    partner's sentence has. Special tokens, padding, lengths and token types stay; a sentence without a counterpart
    stays whole.

    Args:
        batch: ``input_ids`` (B, S), ``attention_mask`` (B, S) or none, and whatever else goes with them.
        plan: K = 2: the partner of each row and the share lam that the row should keep.
        generator: a CPU generator: draws where the spans start, by the same numbers however far the batch is padded.
            Left alone with a saliency.
        special_ids: ids that never move and that end a sentence (:func:`boundary_ids`).
        saliency: (B, S) >= 0, how much each token matters (:func:`token_saliency`). The first of equal spans is taken.

    Returns:
        A new dict with new ``input_ids`` and the other entries as they came, and the plan carried out, on the batch's
        device: column 0 is the measured share of the row's content tokens that stayed (at least lam but for rounding),
        exactly 1 where the row is its own partner, lam is 1, or nothing fits.

    Raises:
        UserError: for a plan with K != 2, or shapes that do not fit together.

    8 rows of 128 tokens take about a millisecond of one CPU core.
    """
    ids = batch.get("input_ids")
    if ids is None:
        raise UserError(f"mixing spans replaces tokens: the batch needs input_ids, got {', '.join(sorted(batch))}.")
    rows, length = ids.shape
    if plan.sources.shape != (rows, 2):
        raise UserError(
            f"mixing spans needs a plan of {rows} rows and K = 2 (the row and one partner), got"
            f" {tuple(plan.sources.shape)}: draw the plan for this batch."
        )
    if saliency is not None and saliency.shape != ids.shape:
        raise UserError(f"saliency must be {tuple(ids.shape)} like input_ids, got {tuple(saliency.shape)}.")
    plan = plan.to(ids.device)
    partner = plan.sources[:, 1]
    own = find_segments(ids, batch.get("attention_mask"), special_ids)
    other = Segments(*(part[partner] for part in own))

    cut = torch.round((1 - plan.lam.float()).clamp(0, 1).unsqueeze(1) * own.length).long()
    cut = torch.minimum(cut, other.length).masked_fill((partner == torch.arange(rows, device=ids.device))[:, None], 0)
    if saliency is None:
        # Sentence by sentence, so that more padding (a larger P) draws the same numbers for the sentences there are.
        draws = torch.rand(own.start.shape[1], 2, rows, generator=generator).to(ids.device)
        own_start = own.start + _offset(draws[:, 0].T, own.length - cut)
        other_start = other.start + _offset(draws[:, 1].T, other.length - cut)
    else:
        own_start = _extreme_span(saliency, own, cut)
        other_start = _extreme_span(-saliency[partner], other, cut)

    offset = torch.arange(length, device=ids.device) - own_start.gather(1, own.number)
    replaced = own.content & (offset >= 0) & (offset < cut.gather(1, own.number))
    source = (other_start.gather(1, own.number) + offset).clamp(0, length - 1)
    mixed = torch.where(replaced, ids[partner].gather(1, source), ids)

    gone = replaced.sum(1) / own.content.sum(1).clamp(min=1)
    shares = torch.stack([1 - gone, gone], dim=1).to(plan.shares.dtype)
    return {**batch, "input_ids": mixed}, MixPlan(plan.sources, shares)


def token_saliency(grad: Tensor, attention_mask: Tensor | None = None) -> Tensor:
    """How much each token matters to the loss: the L2 norm of the gradient at its embedding (SSMix, section 2).

    Args:
        grad: (B, S, H) gradient of the clean loss at the embeddings. A factor common to a row changes nothing.
        attention_mask: (B, S), above 0 where there is a token; None for everywhere.

    Returns:
        (B, S) float32 >= 0, 0 at padding.

    Raises:
        UserError: when ``grad`` is not (B, S, H) or the mask does not fit it.
    """
    if grad.ndim != 3 or (attention_mask is not None and attention_mask.shape != grad.shape[:2]):
        mask = "" if attention_mask is None else f" and a mask of {tuple(attention_mask.shape)}"
        raise UserError(
            f"token_saliency takes a (B, S, H) gradient and its (B, S) mask, got {tuple(grad.shape)}{mask}."
        )
    norm = grad.detach().float().norm(dim=-1)
    return norm if attention_mask is None else norm * (attention_mask > 0)


def _offset(uniform: Tensor, room: Tensor) -> Tensor:
    """(B, P) uniform numbers in [0, 1) to one of the room + 1 places where a span can start."""
    return torch.minimum((uniform * (room + 1)).long(), room)


def _extreme_span(score: Tensor, segments: Segments, cut: Tensor) -> Tensor:
    """(B, P) where the span of ``cut`` tokens with the smallest total score starts in each sentence, the first of
    equals."""
    rows, length = score.shape
    # In whole numbers running sums are exact: equal spans tie, on every device. A power of two scales without rounding.
    score = score.float().nan_to_num(0.0).masked_fill(~segments.content, 0.0)
    exponent = torch.frexp(score.abs().amax(1, keepdim=True)).exponent.clamp(min=-80)
    running = torch.ldexp(score, 40 - exponent).long().cumsum(1)
    running = torch.cat([running.new_zeros(rows, 1), running], dim=1)
    begin = torch.arange(length, device=score.device)
    end = begin + cut.gather(1, segments.number)
    fits = segments.content & (end <= (segments.start + segments.length).gather(1, segments.number))
    total = running.gather(1, end.clamp(max=length)) - running[:, :-1]
    most, never = cut.shape[1], torch.iinfo(torch.int64).max
    best = _smallest(total.masked_fill(~fits, never), segments.number, most, never)
    taken = fits & (total == best.gather(1, segments.number))
    return _smallest(begin.expand(rows, length).masked_fill(~taken, length), segments.number, most, length)


def _smallest(values: Tensor, index: Tensor, groups: int, empty: int) -> Tensor:
    """(B, P) the smallest of ``values`` (B, S) in each group of a row, at most ``empty``."""
    out = torch.full((values.shape[0], groups), empty, dtype=values.dtype, device=values.device)
    return out.scatter_reduce_(1, index, values, reduce="amin")
