"""The scores of the GLUE tasks as a module for ``evaluate.load`` (which wants its imports one module a line)."""

from __future__ import annotations

import datasets
import evaluate
import numpy as np

from logitmix_hf.errors import pick
from logitmix_hf.evaluation.predictions import REGRESSION, SINGLE
from logitmix_hf.evaluation.scores import GLUE_METRICS, task_scores

_DESCRIPTION = """
The scores of the GLUE benchmark, by scikit-learn and SciPy. The configuration names the task and so the scores:
cola and ax: matthews_correlation; stsb: pearson and spearmanr; mrpc and qqp: accuracy and f1; all others: accuracy.
"""

_INPUTS = """
Args:
    predictions: one class number a row; for stsb one value a row.
    references: the true class numbers or values, in the same order.
Returns:
    the scores of the task, as floats.
Example:
    >>> glue = evaluate.load(module_path("glue_scores"), "mrpc")
    >>> glue.compute(predictions=[1, 1, 0, 1], references=[1, 0, 0, 1])
    {'accuracy': 0.75, 'f1': 0.8}
"""

_CITATION = """
@inproceedings{wang2019glue,
  title={{GLUE}: A Multi-Task Benchmark and Analysis Platform for Natural Language Understanding},
  author={Wang, Alex and Singh, Amanpreet and Michael, Julian and Hill, Felix and Levy, Omer and Bowman, Samuel R.},
  booktitle={ICLR},
  year={2019}
}
"""


class GlueScores(evaluate.Metric):
    """``evaluate.load(module_path("glue_scores"), "rte")``."""

    def _info(self) -> evaluate.MetricInfo:
        pick(GLUE_METRICS, self.config_name, "GLUE task")
        value = datasets.Value("float64" if self.config_name == "stsb" else "int64")
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description=_INPUTS,
            # no format: as lists the values stay float64, with format="numpy" datasets would round them to float32
            features=datasets.Features({"predictions": value, "references": value}),
        )

    def _compute(self, predictions, references) -> dict[str, float]:  # type: ignore[override]
        problem = REGRESSION if self.config_name == "stsb" else SINGLE
        return task_scores(problem, GLUE_METRICS[self.config_name], np.asarray(predictions), np.asarray(references))
