"""What kind of labels a model answers to, and labels as targets that a loss can mix."""

from __future__ import annotations

import math
import warnings
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from logitmix_hf.errors import UserError

SINGLE, MULTI, REGRESSION = "single_label_classification", "multi_label_classification", "regression"
PROBLEMS = (SINGLE, MULTI, REGRESSION)


def mean_loss(logits: Tensor, labels: Tensor, problem: str | None) -> Tensor:
    """The loss that a model of ours gives where it is handed labels: scalar, the mean over rows as every head has it."""
    if problem == MULTI:
        return F.binary_cross_entropy_with_logits(logits, labels.to(logits.dtype))
    if problem == REGRESSION:
        return F.mse_loss(logits, labels.to(logits.dtype).reshape(logits.shape))
    return F.cross_entropy(logits, labels)


def infer_problem(logits: Tensor, labels: Tensor) -> str:
    """HF's ``problem_type`` from shapes and dtypes alone, as the HF heads infer it.

    One output is regression; integer labels (B,) or (B, 1) are classes; labels (B, C) are several yes/no decisions. Soft
    labels (B, C) cannot be told from the last by their shape: pass ``problem_type="single_label_classification"``.
    """
    if logits.shape[1] == 1:
        return REGRESSION
    if labels.ndim == 2 and (labels.shape[1] > 1 or labels.is_floating_point()):
        return MULTI
    return REGRESSION if labels.is_floating_point() else SINGLE


def problem_of(config: Any, logits: Tensor, labels: Tensor) -> str:
    """What ``config`` (None for a module without one) calls the problem, or else what :func:`infer_problem` finds."""
    return getattr(config, "problem_type", None) or infer_problem(logits, labels)


def settle_problem(config: Any, logits: Tensor, labels: Tensor) -> str:
    """:func:`problem_of` of the first batch, written into ``config`` where it names none: a ``pipeline`` of the saved model
    reads it there, and without it takes several labels for classes, and a value for the logit of a decision.

    Labels (B, C) that look like the other kind are told by a warning: shares that were taken for several labels, or
    several labels where the configuration names classes.

    Raises:
        UserError: for classes of one output, from which nothing could be learnt.
    """
    named, problem = getattr(config, "problem_type", None), problem_of(config, logits, labels)
    if problem == SINGLE and logits.shape[1] == 1:
        raise UserError(
            f"model.config.problem_type is {SINGLE!r}, but the model has one output, whose cross entropy is always 0:"
            " load it with num_labels= the number of classes, or set problem_type = 'regression'."
        )
    if labels.shape == logits.shape and problem != REGRESSION:
        values = labels.detach().float()
        shares = bool(((values.sum(1) - 1).abs() < 1e-3).all())
        if problem == SINGLE and not shares:
            _warn_of_labels(problem, "do not sum to 1", MULTI)
        elif named is None and shares and bool((values != values.round()).any()):
            _warn_of_labels(problem, "sum to 1", SINGLE)
    if config is not None and named is None:
        config.problem_type = problem
    return problem


def _warn_of_labels(problem: str, seen: str, other: str) -> None:
    warnings.warn(
        f"rows of labels are read as {problem}, but the first ones {seen}: if that is not meant, set"
        f" model.config.problem_type = {other!r}.",
        stacklevel=4,
    )


def targets_of(labels: Tensor, logits: Tensor, problem: str, smoothing: float = 0.0) -> Tensor:
    """Labels as targets with a row per example, smoothed once: (B, C) float32.

    Single-label: one-hot of (B,) or (B, 1) int, or soft (B, C) float as given; with smoothing e: (1 - e) t + e / C.
    Multi-label: (B, C) 0/1; with smoothing e: (1 - e) t + e / 2. Regression: (B, 1) values; smoothing is refused.

    Raises:
        UserError: when the shapes do not fit, or a label lies outside the classes. Of labels on an accelerator the latter
            is not read, which would hold up every step: the targets of such a row are NaN, and so is its loss.
    """
    rows, classes = logits.shape
    if problem == REGRESSION:
        if smoothing:
            raise UserError("label smoothing needs classes, got a regression task: leave it at 0.")
        if labels.numel() == rows != rows * classes:
            raise UserError(
                f"labels of the type {str(labels.dtype).removeprefix('torch.')} are values of a regression, but the model has"
                f" {classes} outputs a row, not one: for classes make them whole numbers (int), for values load the model with"
                " num_labels=1."
            )
        if labels.numel() != rows * classes:
            raise UserError(f"regression labels must be one value a row of {classes}, got shape {tuple(labels.shape)}.")
        values = labels.reshape(rows, classes).float()
        if labels.is_floating_point() and labels.device.type == "cpu" and not bool(values.isfinite().all()):
            raise UserError("a label of the regression is not a finite number: leave such rows out of the data set.")
        return values
    if problem == SINGLE and labels.shape in ((rows,), (rows, 1)) and classes > 1:
        targets = _one_hot(labels.reshape(rows), classes)
    elif labels.shape == logits.shape:
        targets = _shares(labels.float(), problem)
    else:
        raise UserError(
            f"labels of shape {tuple(labels.shape)} do not fit logits of shape {tuple(logits.shape)} ({problem})."
        )
    return targets * (1 - smoothing) + smoothing / (classes if problem == SINGLE else 2)


def _shares(labels: Tensor, problem: str) -> Tensor:
    outside = ~((labels >= 0) & (labels <= 1))
    if labels.device.type != "cpu":
        return labels.masked_fill(outside, math.nan)
    if bool(outside.any()):
        raise UserError(
            f"labels of shape {tuple(labels.shape)} are read as {problem}, but one is {labels[outside][0].item():g}, outside"
            " [0, 1]: leave rows without a label out of the data set; for values to be learnt set"
            " model.config.problem_type = 'regression'."
        )
    return labels


def _one_hot(labels: Tensor, classes: int) -> Tensor:
    numbers = torch.arange(classes, device=labels.device)
    targets = (labels.unsqueeze(1) == numbers).float()
    outside = targets.sum(1) == 0
    if labels.device.type != "cpu":
        return targets.masked_fill(outside.unsqueeze(1), math.nan)
    if bool(outside.any()):
        raise UserError(
            f"a label is {labels[outside][0].item():g}, but the model's classes are 0 to {classes - 1}: leave rows without a"
            " label out of the data set, or load the model with num_labels= the number of classes."
        )
    return targets
