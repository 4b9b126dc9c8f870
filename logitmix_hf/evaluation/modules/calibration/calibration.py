"""Calibration as a module for ``evaluate.load`` (which wants its imports one module a line)."""

from __future__ import annotations

import datasets
import evaluate
import numpy as np

from logitmix_hf.errors import UserError, pick
from logitmix_hf.evaluation.calibration import calibration_scores
from logitmix_hf.evaluation.decisions import decisions, probability_decisions, softmax
from logitmix_hf.evaluation.scores import further_scores

_DESCRIPTION = """
Can the confidence be believed? Expected calibration error (equal-width bins, open on the left, closed on the right),
over-confidence error (with the factor of the bin's confidence), signed gap (mean confidence - accuracy), mean negative
log-likelihood, and Brier's score summed over the classes (in [0, 2]).
"""

_INPUTS = """
Args:
    predictions: a list of C logits or probabilities a row; a single one a row for a binary model with one output.
    references: one class number a row; with the configuration "multilabel" a list of C labels 0 or 1 a row, and every
        label of every row is judged as a yes-no decision of its own.
    predictions_are: "logits" or "probabilities"; there is no default, because the numbers cannot tell.
    n_bins: number of bins, default 15.
    full: also the scores of a final report (the same as logitmix_hf.evaluation.review), default False.
Returns:
    ece, oe, confidence_gap, nll, brier, as floats; with full also ece_mass, ece_classwise, mce, rmsce_debiased,
    ece_by_chance, brier_reliability, brier_resolution, brier_uncertainty, aurc, accuracy_at_80.
Example:
    >>> calibration = evaluate.load(module_path("calibration"))
    >>> calibration.compute(predictions=[[0.0, 0.0]], references=[1], predictions_are="logits")["nll"]
    0.6931471805599453
"""

_CITATION = """
@inproceedings{guo2017calibration,
  title={On Calibration of Modern Neural Networks},
  author={Guo, Chuan and Pleiss, Geoff and Sun, Yu and Weinberger, Kilian Q.},
  booktitle={ICML},
  year={2017}
}
@inproceedings{thulasidasan2019mixup,
  title={On Mixup Training: Improved Calibration and Predictive Uncertainty for Deep Neural Networks},
  author={Thulasidasan, Sunil and Chennupati, Gopinath and Bilmes, Jeff and Bhattacharya, Tanmoy and Michalak, Sarah},
  booktitle={NeurIPS},
  year={2019}
}
"""


class CalibrationMetric(evaluate.Metric):
    """``evaluate.load(module_path("calibration"))``."""

    def _info(self) -> evaluate.MetricInfo:
        pick({"default": 0, "multilabel": 1}, self.config_name, "configuration of calibration")
        score, label = datasets.Value("float64"), datasets.Value("int64")
        several = {"predictions": datasets.Sequence(score)}
        if self.config_name == "multilabel":
            features = datasets.Features(several | {"references": datasets.Sequence(label)})
        else:
            features = [
                datasets.Features(several | {"references": label}),
                datasets.Features({"predictions": score, "references": label}),
            ]
        return evaluate.MetricInfo(
            description=_DESCRIPTION, citation=_CITATION, inputs_description=_INPUTS, features=features
        )

    def _compute(  # type: ignore[override]
        self, predictions, references, predictions_are=None, n_bins=15, full=False
    ) -> dict[str, float]:
        if predictions_are is None:
            raise UserError(
                'Say what the predictions are: predictions_are="logits" or predictions_are="probabilities".'
            )
        to_decisions = pick({"logits": decisions, "probabilities": probability_decisions}, predictions_are, "kind")
        references = np.asarray(references)
        scores, labels = to_decisions(np.asarray(predictions, dtype=np.float64), references)
        logits = scores if predictions_are == "logits" else None
        probabilities = scores if logits is None else softmax(logits)
        found = calibration_scores(probabilities, labels, n_bins, logits)
        if full:
            of_classes = probabilities[:, 1].reshape(references.shape) if references.ndim == 2 else probabilities
            right = scores.argmax(axis=1) == labels
            found |= further_scores(probabilities.max(axis=1), right, of_classes, references, n_bins)
        return found
