"""Words of the model card that never change: names of scores, what the base model has seen, whom to cite."""

from __future__ import annotations

BUILTIN_MODEL_ID = "sentence-transformers/all-MiniLM-L6-v2"
"""The Hub's name of the weights that ``--model builtin`` installs (the same file, byte for byte)."""

TASK_NAMES = {"text-classification": "Text Classification", "image-classification": "Image Classification"}

SCORE_NAMES = {
    "accuracy": "Accuracy",
    "top5_accuracy": "Top-5 accuracy",
    "f1": "F1",
    "f1_micro": "F1 (micro)",
    "f1_macro": "F1 (macro)",
    "subset_accuracy": "Accuracy of whole rows",
    "matthews_correlation": "Matthews correlation",
    "pearson": "Pearson correlation",
    "spearmanr": "Spearman correlation",
    "mse": "Mean squared error",
    "mae": "Mean absolute error",
    "ece": "Expected calibration error (ECE)",
    "oe": "Over-confidence error (OE)",
    "confidence_gap": "Confidence gap",
    "nll": "Negative log-likelihood (NLL)",
    "brier": "Brier score",
    "ece_mass": "ECE, bins of equal mass",
    "ece_classwise": "ECE, class-wise",
    "mce": "Maximum calibration error (MCE)",
    "rmsce_debiased": "Root mean squared calibration error, debiased",
    "ece_by_chance": "ECE that a perfectly calibrated model would show by chance",
    "brier_reliability": "Brier score: reliability",
    "brier_resolution": "Brier score: resolution",
    "brier_uncertainty": "Brier score: uncertainty",
    "aurc": "Area under the risk-coverage curve (AURC)",
    "accuracy_at_80": "Accuracy at 80 % coverage",
    "true_calibration_error": "True calibration error",
    "bayes_accuracy": "Bayes accuracy",
}
"""Every score of a report, in its order, and how it is called."""

BINNED = ("ece", "oe", "mce", "ece_mass", "ece_classwise", "rmsce_debiased")
"""The scores that depend on the number of bins."""

TEMPERED = ("ece", "oe", "confidence_gap", "nll", "brier", "ece_mass", "ece_classwise", "true_calibration_error")
"""What is shown before and after a temperature; eval_results.json has the others too."""

REFERENCES = ("ece_by_chance",)
"""What stands among the scores to read them by, and is none of the model."""

SCORE_NOTES = {
    "ece_by_chance": (
        "The ECE by chance is what a perfectly calibrated model of the same size and sharpness shows on as many rows: an "
        "ECE near it is as good as can be measured here."
    ),
    "brier_reliability": "Brier's score is its reliability (lower is better) minus its resolution (higher is better) plus "
    "its uncertainty (the data's own).",
    "aurc": "AURC is the mean error over all coverages, the surest rows first: lower is better.",
}
"""What a reader needs to know of a score, where it is among the results."""

METRIC_IDS = {
    "pearson": "pearsonr",
    "brier": "brier_score",
    "subset_accuracy": "accuracy",
    "top5_accuracy": "top_5_accuracy",
}
"""Where the Hub calls a metric otherwise than we do."""

TRAINING_ARGUMENTS = (
    "alpha",
    "learning_rate",
    "num_train_epochs",
    "max_steps",
    "per_device_train_batch_size",
    "gradient_accumulation_steps",
    "lr_scheduler_type",
    "warmup_steps",
    "weight_decay",
    "max_length",
    "optim",
    "momentum",
    "nesterov",
    "lr_milestones",
    "lr_gamma",
    "ema",
    "bn_mode",
    "mix_schedule",
    "mixer_probs",
    "mixer_options",
)
"""The arguments of a run that its card shows; all of them are in run.json."""

PAIR_TASKS_SEEN = {
    "mnli": "MultiNLI is the very source of this task, so its scores may be better than those of an untouched model",
    "qqp": "QQP is this very task, so its scores may be better than those of an untouched model",
    "rte": "they pose the same question as RTE (does one sentence entail the other), so its scores may profit",
}
"""What the contrastive training of the builtin model has to do with a task, by the task's first word."""

CITATIONS = {
    "logitmix": """\
@inproceedings{bang2022logitmix,
  title     = {Logit Mixing Training for More Reliable and Accurate Prediction},
  author    = {Bang, Duhyeon and Baek, Kyungjune and Kim, Jiwoo and Jeon, Yunho and Kim, Jin-Hwa and
               Kim, Jiwon and Lee, Jongwuk and Shim, Hyunjung},
  booktitle = {Proceedings of the Thirty-First International Joint Conference on Artificial Intelligence (IJCAI)},
  year      = {2022}
}""",
    "mixup": """\
@inproceedings{zhang2018mixup,
  title     = {mixup: Beyond Empirical Risk Minimization},
  author    = {Zhang, Hongyi and Cisse, Moustapha and Dauphin, Yann N. and Lopez-Paz, David},
  booktitle = {International Conference on Learning Representations (ICLR)},
  year      = {2018}
}""",
    "mixup_transformer": """\
@inproceedings{sun2020mixup,
  title     = {Mixup-Transformer: Dynamic Data Augmentation for {NLP} Tasks},
  author    = {Sun, Lichao and Xia, Congying and Yin, Wenpeng and Liang, Tingting and Yu, Philip S. and He, Lifang},
  booktitle = {Proceedings of the 28th International Conference on Computational Linguistics (COLING)},
  pages     = {3436--3440},
  year      = {2020},
  url       = {https://aclanthology.org/2020.coling-main.305}
}""",
    "temperature": """\
@inproceedings{guo2017calibration,
  title     = {On Calibration of Modern Neural Networks},
  author    = {Guo, Chuan and Pleiss, Geoff and Sun, Yu and Weinberger, Kilian Q.},
  booktitle = {Proceedings of the 34th International Conference on Machine Learning (ICML)},
  pages     = {1321--1330},
  year      = {2017}
}""",
}
