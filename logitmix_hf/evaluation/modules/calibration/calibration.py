"""Calibration as a module for ``evaluate.load`` (which wants its imports one module a line)."""

from __future__ import annotations

import datasets
import evaluate
import numpy as np

from logitmix_hf.errors import UserError, pick
from logitmix_hf.evaluation.calibration import calibration_scores
from logitmix_hf.evaluation.decisions import decisions, probability_decisions, softmax

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
Returns:
    ece, oe, confidence_gap, nll, brier, as floats.
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


class Calibration(evaluate.Metric):
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

    def _compute(self, predictions, references, predictions_are=None, n_bins=15) -> dict[str, float]:  # type: ignore[override]
        if predictions_are is None:
            raise UserError(
                'Say what the predictions are: predictions_are="logits" or predictions_are="probabilities".'
            )
        to_decisions = pick({"logits": decisions, "probabilities": probability_decisions}, predictions_are, "kind")
        scores, labels = to_decisions(np.asarray(predictions, dtype=np.float64), np.asarray(references))
        if predictions_are == "logits":
            return calibration_scores(softmax(scores), labels, n_bins, logits=scores)
        return calibration_scores(scores, labels, n_bins)
