"""The LogitMix loss and its named terms.

LogitMix (IJCAI 2022, eq. 3): L = w_mix L_mix + w_cls L_cls + w_sim L_sim, where the logits of a mixed example should
equal the mixture of the logits. Every plain method is a choice of weights: Mixup is (1, 0, 0), RegMixup (1, 1, 0). A
mixture of lam = 1 is the row itself, seen once more with other dropout: with w_agree it is taken as such, and where every
row is, the loss is that of R-Drop (NeurIPS 2021, eq. 4).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from logitmix_hf.errors import UserError, check_choice, check_number
from logitmix_hf.methods import check_weights
from logitmix_hf.plan import MixPlan, blend
from logitmix_hf.targets import MULTI, PROBLEMS, REGRESSION, SINGLE, infer_problem, targets_of

# Under the square root of the norm form: d = 0 happens (lam = 1, or a row paired with itself), and sqrt'(0) is not finite.
NORM_EPS = 1e-12


def distance(logits: Tensor, targets: Tensor, problem: str, class_weights: Tensor | None = None) -> Tensor:
    """The task loss H(logits, targets) of each row: (B, C), (B, C) -> (B,).

    Single-label: cross entropy, class c weighted by ``class_weights[c]``. Multi-label: binary cross entropy, mean over
    labels, positives of label c weighted by ``class_weights[c]``. Regression: squared error.
    """
    if problem == SINGLE:
        return F.cross_entropy(logits, targets, weight=class_weights, reduction="none")
    if problem == MULTI:
        return F.binary_cross_entropy_with_logits(logits, targets, pos_weight=class_weights, reduction="none").mean(1)
    return (logits - targets).square().mean(1)


def entropy(logits: Tensor, problem: str) -> Tensor:
    """H(p) of each row's predicted distribution in nats: (B, C) -> (B,); for several labels the mean over them."""
    if problem == MULTI:
        p = logits.sigmoid()
        return -(p * F.logsigmoid(logits) + (1 - p) * F.logsigmoid(-logits)).mean(1)
    log_p = logits.log_softmax(1)
    return -(log_p.exp() * log_p).sum(1)


def vwci(passes: Tensor, targets: Tensor) -> Tensor:
    """The variance-weighted confidence-integrated loss of each row: (T, B, C), (B, C) -> (B,) in nats.

    ``mean_t (1 - a) H(p_t, y) + a KL(uniform || p_t)``, where a in [0, 1] is how much the T predictions of a row disagree:
    ``mean_t 1 - sum_c sqrt(p_c p_tc)``, p their mean (Seo, Seo and Han, CVPR 2019, eq. 11; the distance is one minus the
    Bhattacharyya coefficient). Gradient flows through a, too.

    Args:
        passes: logits of T >= 2 passes of the same rows with dropout, in float32.
        targets: distributions.
    """
    log_p = passes.log_softmax(2)
    p = log_p.exp()
    # sqrt has no slope at 0, where a softmax that ran dry would ask for it.
    agreement = (p * p.mean(0)).clamp(min=1e-12).sqrt().sum(2).mean(0)
    disagreement = (1 - agreement).clamp(min=0)
    own = -(targets * log_p).sum(2).mean(0)
    to_uniform = -log_p.mean(2).mean(0) - math.log(passes.shape[2])
    return (1 - disagreement) * own + disagreement * to_uniform


def disagreement(one: Tensor, other: Tensor, problem: str) -> Tensor:
    """How far two predictions of the same rows are apart: (B, C), (B, C) -> (B,), at least 0, 0 for equal logits.

    Classes: ``(KL(p || q) + KL(q || p)) / 2`` in nats (R-Drop, Liang et al., NeurIPS 2021, eq. 3). Several labels: the same
    of each yes/no decision, their mean. Regression: the mean squared difference.
    """
    if problem == REGRESSION:
        return (one - other).square().mean(1)
    if problem == MULTI:  # the log odds are the logits
        return ((one.sigmoid() - other.sigmoid()) * (one - other)).mean(1) / 2
    log_p, log_q = one.log_softmax(1), other.log_softmax(1)
    return ((log_p.exp() - log_q.exp()) * (log_p - log_q)).sum(1) / 2


@dataclass(frozen=True)
class LossOutput:
    """What one call of :class:`LogitMixLoss` gives.

    Attributes:
        loss: scalar, the mean of ``per_example``.
        per_example: (B,) the weighted sum of the terms.
        terms: unweighted (B,) values under ``"mix"``, ``"cls"``, ``"sim"``, ``"agree"``; a term of weight 0 is not
            computed and is absent, and a term that a row does not take is 0 there.
    """

    loss: Tensor
    per_example: Tensor
    terms: dict[str, Tensor]


class LogitMixLoss(nn.Module):
    r"""``w_mix L_mix + w_cls L_cls + w_sim L_sim + w_agree L_agree``, each a mean over examples.

    * L_mix = ``sum_k share_k H(f(mixed), y_k)`` (eq. 2): the mixed row answers to each source's label by its share.
    * L_cls = ``H(f(x), y)``: the plain task on the clean rows.
    * L_sim: the distance of ``f(mixed)`` from ``sum_k share_k f(x_k)`` (eq. 3).
    * L_agree: with w_agree above 0 a mixed row of lam = 1 is no mixture but a second view of its row. It takes no L_mix and
      no L_sim; its label loss joins L_cls, ``H(f(x), y) + H(f(view), y)``, and L_agree is the :func:`disagreement` of
      ``f(view)`` and ``f(x)``. Where every row has a view *and* a mixture (:func:`logitmix_hf.plan.with_views`), it takes
      all four terms.

    Args:
        w_mix, w_cls, w_sim: weights, at least 0, not all 0. The authors use 1, 1 and, for images, 1 (Mixup),
            0.1 (CutMix), 0.5 (PuzzleMix).
        sim_form: ``"mse"``, the mean over classes of the squared difference (the authors' code, which w_sim was tuned
            with), or ``"l2"``, the norm of the difference (the paper's eq. 3).
        sim_detach: which side of L_sim gets no gradient: ``"none"`` (the authors), ``"clean"``, ``"mixed"``.
        sim_on: compare ``"logits"`` (paper) or ``"log_softmax"``.
        cls_sum: the paper's L_cls, a sum over both sources of a pair: for a permutation exactly twice the mean.
        problem_type: HF's word; None infers it (see :func:`infer_problem`).
        class_weights: C factors >= 0, or None.
        label_smoothing: e in [0, 1), applied once, to the targets.
        confidence_penalty: b at least 0: every label loss is lessened by b times the entropy of the prediction that it
            judges (Pereyra et al. 2017, eq. 4; 0.1 for networks of CIFAR's size).
        w_agree: weight of L_agree, at least 0 (R-Drop's alpha: 5 for translation, at most 1 on GLUE).

    Raises:
        UserError: for an argument out of its range.
    """

    class_weights: Tensor | None

    def __init__(
        self,
        w_mix: float = 1.0,
        w_cls: float = 1.0,
        w_sim: float = 1.0,
        sim_form: Literal["mse", "l2"] = "mse",
        sim_detach: Literal["none", "clean", "mixed"] = "none",
        sim_on: Literal["logits", "log_softmax"] = "logits",
        cls_sum: bool = False,
        problem_type: str | None = None,
        class_weights: Sequence[float] | Tensor | None = None,
        label_smoothing: float = 0.0,
        confidence_penalty: float = 0.0,
        w_agree: float = 0.0,
    ) -> None:
        super().__init__()
        self.weights = {"mix": w_mix, "cls": w_cls, "sim": w_sim, "agree": w_agree}
        check_weights(self.weights)
        check_choice("sim_form", sim_form, ("mse", "l2"))
        check_choice("sim_detach", sim_detach, ("none", "clean", "mixed"))
        check_choice("sim_on", sim_on, ("logits", "log_softmax"))
        check_choice("problem_type", problem_type, (*PROBLEMS, None))
        check_number("label_smoothing", label_smoothing, low=0, high=1)
        check_number("confidence_penalty", confidence_penalty, low=0)
        self.confidence_penalty = confidence_penalty
        self.sim_form, self.sim_detach, self.sim_on = sim_form, sim_detach, sim_on
        self.cls_sum, self.problem_type, self.label_smoothing = cls_sum, problem_type, label_smoothing
        weights = None if class_weights is None else torch.as_tensor(class_weights, dtype=torch.float32)
        self.register_buffer("class_weights", weights, persistent=False)

    def of_passes(self, passes: Tensor, labels: Tensor) -> LossOutput:
        """VWCI in place of the loss: ``passes`` (T, B, C) are logits of the same rows with dropout, see :func:`vwci`.

        Raises:
            UserError: for labels that are no classes.
        """
        passes = _at_least_float32(passes)
        problem = self.problem_type or infer_problem(passes[0], labels)
        if problem != SINGLE:
            raise UserError(f"vwci needs one class a row, got a task of {problem}: leave it at 0.")
        loss = vwci(passes, targets_of(labels, passes[0], problem, self.label_smoothing).to(passes.dtype))
        return LossOutput(loss.mean(), loss, {"cls": loss})

    @property
    def needs_mixed(self) -> bool:
        """Whether any term looks at mixed rows; if not, none need to be run."""
        return any(self.weights[name] > 0 for name in ("mix", "sim", "agree"))

    def forward(
        self, clean_logits: Tensor | None, mixed_logits: Tensor | None, labels: Tensor, plan: MixPlan | None
    ) -> LossOutput:
        """The loss of one batch.

        Args:
            clean_logits: (B, C) any float dtype; computed with in float32. None where no term looks at them, that is
                where w_cls, w_sim and w_agree are 0.
            mixed_logits: (B, C), row i the network's answer to row i of the plan; (2B, C) for a plan with views; None for a
                plain step.
            labels: (B,) int classes, (B, C) float soft or 0/1 labels, or (B,) / (B, 1) float values.
            plan: what was mixed; None for a plain step. A plain step is the task loss of the clean rows, weight 1.
        """
        some = mixed_logits if clean_logits is None else clean_logits
        if some is None or (clean_logits is None and any(self.weights[name] for name in ("cls", "sim", "agree"))):
            raise UserError(
                "the loss got no clean logits, but w_cls, w_sim or w_agree is above 0, or nothing was mixed."
            )
        clean = _at_least_float32(some)
        problem = self.problem_type or infer_problem(clean, labels)
        targets = targets_of(labels, clean, problem, self.label_smoothing).to(clean.dtype)
        if mixed_logits is None or plan is None:
            plain = self._labels(clean, targets, problem)
            return LossOutput(plain.mean(), plain, {"cls": plain})
        mixed, plan = _at_least_float32(mixed_logits), plan.to(clean.device)
        terms: dict[str, Tensor] = {}
        view = whole = plan.lam == 1 if self.weights["agree"] else None
        again, rows = mixed, len(clean)
        if plan.rows > rows:  # a view and a mixture of each row
            again, mixed = mixed.split(rows)
            plan, view, whole = MixPlan(plan.sources[rows:], plan.shares[rows:]), plan.lam[:rows] == 1, None
        if self.weights["mix"]:
            terms["mix"] = _where_mixed(self._each_source(mixed, targets, problem, plan), whole)
        if self.weights["cls"]:
            own = self._labels(clean, targets, problem)
            terms["cls"] = own[plan.sources].sum(1) if self.cls_sum else own
            if view is not None:
                terms["cls"] = terms["cls"] + self._labels(again, targets, problem).masked_fill(~view, 0)
        if self.weights["sim"]:
            terms["sim"] = _where_mixed(self._similarity(clean, mixed, plan), whole)
        if view is not None:
            terms["agree"] = disagreement(clean, again, problem).masked_fill(~view, 0)
        per_example = torch.stack([self.weights[name] * term for name, term in terms.items()]).sum(0)
        return LossOutput(per_example.mean(), per_example, terms)

    def _labels(self, logits: Tensor, targets: Tensor, problem: str) -> Tensor:
        return self._penalised(distance(logits, targets, problem, self.class_weights), logits, problem)

    def _each_source(self, mixed: Tensor, targets: Tensor, problem: str, plan: MixPlan) -> Tensor:
        # Not H against the blended target: for squared errors that has another value (though the same gradient).
        parts = [
            plan.shares[:, k].to(mixed.dtype)
            * distance(mixed, targets[plan.sources[:, k]], problem, self.class_weights)
            for k in range(plan.sources.shape[1])
        ]
        return self._penalised(torch.stack(parts).sum(0), mixed, problem)  # shares sum to 1: once, whatever K

    def _penalised(self, loss: Tensor, logits: Tensor, problem: str) -> Tensor:
        if not self.confidence_penalty:
            return loss
        if problem == REGRESSION:
            raise UserError("confidence_penalty needs classes, got a regression task: leave it at 0.")
        return loss - self.confidence_penalty * entropy(logits, problem)

    def _similarity(self, clean: Tensor, mixed: Tensor, plan: MixPlan) -> Tensor:
        if self.sim_on == "log_softmax":
            if clean.shape[1] == 1:
                raise UserError("sim_on='log_softmax' needs at least two outputs, got 1: use sim_on='logits'.")
            clean, mixed = clean.log_softmax(1), mixed.log_softmax(1)
        if self.sim_detach == "clean":
            clean = clean.detach()
        elif self.sim_detach == "mixed":
            mixed = mixed.detach()
        squares = (mixed - blend(clean, plan)).square()
        return squares.mean(1) if self.sim_form == "mse" else (squares.sum(1) + NORM_EPS).sqrt()


def _where_mixed(term: Tensor, whole: Tensor | None) -> Tensor:
    return term if whole is None else term.masked_fill(whole, 0)


def _at_least_float32(logits: Tensor) -> Tensor:
    """Half precision is lifted; float64 (gradient checks) stays."""
    return logits if logits.dtype == torch.float64 else logits.float()
