"""Can the confidence be believed? Confidences are counted into bins once, and every measure reads those counts.

The confidence of a row is the largest of its class probabilities, and the row is right when that class is its label.
Everything is computed in float64, whatever the precision of the logits. Several decisions a row (multi-label) are
flattened first: see ``decisions.py``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from logitmix_hf.errors import UserError
from logitmix_hf.evaluation.binning import Bins, bin_decisions
from logitmix_hf.evaluation.decisions import decisions, log_softmax, probability_decisions, require_probabilities


def ece(bins: Bins) -> float:
    """Expected calibration error in [0, 1]: the gap of each bin, weighted by its share (Naeini et al., 2015)."""
    return _plain(np.sum(bins.share * np.abs(bins.gap), axis=-1))


def oe(bins: Bins) -> float:
    """Over-confidence error in [0, ECE]: only gaps where confidence exceeds accuracy, weighted by share and confidence.

    The factor of the bin's confidence is part of the definition (Thulasidasan et al., 2019, arXiv:1905.11001); some
    public versions drop it.
    """
    return _plain(np.sum(bins.share * np.nan_to_num(bins.confidence) * np.maximum(bins.gap, 0.0), axis=-1))


def mce(bins: Bins) -> float:
    """Maximum calibration error in [0, 1]: the largest gap of any bin that holds a decision."""
    return _plain(np.max(np.abs(bins.gap), axis=-1))


def confidence_gap(bins: Bins) -> float:
    """Mean confidence minus accuracy, in [-1, 1]: above 0 over-confident, below 0 under-confident.

    The number of bins does not matter, and |confidence_gap| <= ECE.
    """
    return _plain(np.sum(bins.share * bins.gap, axis=-1))


def rmsce_debiased(bins: Bins) -> float:
    """Root mean square calibration error without the upward bias of few rows, in [0, 1]; use bins of equal mass.

    Kumar, Liang and Ma (2019, arXiv:1909.10155, section 5): from the squared gap of a bin of n decisions with accuracy
    a is taken a (1 - a) / (n - 1), which is what noise adds to it on average; the sum over bins, weighted by share, is
    cut at 0 before the root. The square is chosen because its bias is known exactly: of a sum of absolute gaps (ECE) it
    is not, and ``ece_by_chance`` says how large it is. Being a root mean square, it is no less than the true ECE of the
    same bins. A bin of one decision does not tell its noise, so it is left out; NaN where no bin holds two.
    """
    several = bins.count > 1
    noise = bins.accuracy * (1 - bins.accuracy) / np.where(several, bins.count - 1, 1)
    total = np.where(several, bins.count, 0).sum(axis=-1)
    excess = np.where(several, bins.count * (bins.gap**2 - noise), 0.0).sum(axis=-1)
    return _plain(np.sqrt(np.maximum(excess, 0.0) / np.where(total > 0, total, np.nan)))


def nll(logits: ArrayLike, labels: ArrayLike) -> float:
    """Mean negative log-likelihood of the labels in nats, at least 0; finite for any finite logits.

    logits (N, C) and labels (N,) in [0, C); (N, C) labels of 0/1 are multi-label, averaged over all N * C decisions.
    """
    z, y = decisions(logits, labels)
    return _mean_surprise(log_softmax(z), y)


def brier(probabilities: ArrayLike, labels: ArrayLike) -> float:
    """Brier's score in [0, 2]: the squared error of the probabilities, summed over classes, averaged over rows.

    This is Brier's own (1950) sum over all classes. For two classes it is twice scikit-learn's default, which halves.
    probabilities (N, C) and labels (N,) in [0, C); (N, C) labels of 0/1 are multi-label: N * C two-class decisions.
    """
    p, y = probability_decisions(probabilities, labels)
    return float(np.mean(np.sum((p - np.eye(p.shape[1])[y]) ** 2, axis=1)))


def true_calibration_error(probabilities: ArrayLike, posterior: ArrayLike) -> float:
    """Mean |confidence of the predicted class - true posterior of that class|, in [0, 1].

    Only known where the data generator knows p(y|x). No bins and no sampled labels are involved, so unlike ECE it
    has neither the bias of few rows nor errors that cancel inside a bin. Both arguments (N, C), rows sum to 1.
    """
    p, q = require_probabilities("probabilities", probabilities), require_probabilities("posterior", posterior)
    if p.shape != q.shape:
        raise UserError(f"probabilities have the shape {p.shape} but the posterior {q.shape}; they must be equal.")
    rows, predicted = np.arange(len(p)), p.argmax(axis=1)
    return float(np.mean(np.abs(p[rows, predicted] - q[rows, predicted])))


def bayes_accuracy(posterior: ArrayLike) -> float:
    """The expected accuracy of the best possible classifier on these rows: mean of max_c p(c|x). posterior (N, C)."""
    return float(np.mean(require_probabilities("posterior", posterior).max(axis=1)))


def calibration_scores(
    probabilities: np.ndarray, labels: np.ndarray, bins: int = 15, logits: ArrayLike | None = None
) -> dict[str, float]:
    """ece, oe, confidence_gap, nll and brier, in this order, as plain floats. Arguments as :func:`bin_decisions`.

    With logits the likelihood is taken from them, which is exact where a probability rounds to 0; without, a label
    that was given the probability 0 makes it infinite.
    """
    counted = bin_decisions(probabilities, labels, bins, logits)
    with np.errstate(divide="ignore"):
        log_p = np.log(probabilities) if logits is None else log_softmax(logits)
    return {
        "ece": ece(counted),
        "oe": oe(counted),
        "confidence_gap": confidence_gap(counted),
        "nll": _mean_surprise(log_p, labels),
        "brier": brier(probabilities, labels),
    }


def _mean_surprise(log_p: np.ndarray, labels: np.ndarray) -> float:
    # 0.0 - x rather than -x: a perfect score is 0, not -0
    return float(np.mean(0.0 - log_p[np.arange(len(log_p)), labels]))


def _plain(value: np.ndarray) -> float:
    # an array of several countings passes as it is; the signatures tell of the common case
    return float(value) if np.ndim(value) == 0 else value  # type: ignore[return-value]
