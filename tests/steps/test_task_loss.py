"""One loss for training and evaluation: what training adds to it, an evaluation leaves out, whichever came first."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from logitmix_hf import MixArguments
from logitmix_hf.steps.task_loss import TaskLoss

LOGITS = torch.tensor([[2.0, 0.0, -1.0], [0.5, 1.5, 0.0]])
LABELS = torch.tensor([0, 2])


def test_an_evaluation_reports_the_plain_loss_and_training_the_smoothed_one():
    mix = MixArguments(method="vanilla", confidence_penalty=0.1)
    loss, model = TaskLoss(mix, label_smoothing=0.3), nn.Linear(1, 1)
    entropy = torch.distributions.Categorical(logits=LOGITS).entropy()
    smoothed = F.cross_entropy(LOGITS, LABELS, label_smoothing=0.3, reduction="none") - 0.1 * entropy
    plain = F.cross_entropy(LOGITS, LABELS, reduction="none")
    for _ in range(2):
        out = loss.of({"mix": 0.0, "cls": 1.0, "sim": 0.0}, model, LOGITS, LABELS)(LOGITS, None, LABELS, None)
        torch.testing.assert_close(out.per_example, smoothed)
        torch.testing.assert_close(loss.plain(model, LOGITS, LABELS).per_example, plain)
