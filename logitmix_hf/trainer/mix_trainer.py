"""``MixTrainer``: a one-class swap for ``transformers.Trainer``.

It overrides what is computed (the loss) and what is counted (examples), and nothing of the training loop.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate.utils import DistributedType
from torch import Tensor, nn
from torch.utils.data import DataLoader
from transformers import default_data_collator
from transformers.trainer_utils import get_last_checkpoint, has_length

from logitmix_hf.arguments import MixArguments
from logitmix_hf.class_weights import BALANCED, weights_in_order
from logitmix_hf.errors import UserError
from logitmix_hf.modality import IMAGE
from logitmix_hf.models.compiled import Shapes
from logitmix_hf.models.unwrap import check_checkpointing, logits_of, unwrap
from logitmix_hf.steps import MixStep, Where, build_step
from logitmix_hf.steps.passes import collate_images, modality_of
from logitmix_hf.steps.task_loss import TaskLoss
from logitmix_hf.trainer.own_loss import has_own_loss, is_plain, warn_of_own_loss
from logitmix_hf.trainer.resolved import by_score, resolved
from logitmix_hf.trainer.terms import TermLog
from logitmix_hf.trainer.weight_average import AVERAGE, WeightAverage, check_not_the_best
from logitmix_hf.trainer.whole_evaluation import WholeEvaluation

__all__ = ["MixArguments", "MixTrainer", "TrainingDiverged"]


class TrainingDiverged(RuntimeError):
    """The loss is no longer finite: the message names the step and the term that went first."""


class MixTrainer(WholeEvaluation):
    """``Trainer`` with mixing inside the network and the LogitMix loss.

    Args:
        *args, **kwargs: as for ``Trainer``.
        mix: what to mix and how to weigh it; default ``MixArguments()``, that is LogitMix.
        ema: decay of an exponential moving average of weights and buffers, which is what the model holds once
            :meth:`train` returns, and so what is judged and saved at the end; evaluations on the way judge the weights
            themselves. 0: none.

    Differences from ``Trainer``:
        * Losses of single examples are summed and divided by the number of examples of the whole accumulated,
          all-process batch: 8 x 1, 1 x 8 and 2 processes x 4 give the same gradient. (Stock ``Trainer`` with a
          BERT-like head counts the loss once per accumulation step.)
        * ``loss_mix``, ``loss_cls``, ``loss_sim``, ``loss_agree`` and ``lam`` are logged beside ``loss``.
        * Evaluation runs the untouched model, in the order of the data also with length grouping.
        * ``greater_is_better`` follows from the score (``ece`` is better when lower), and with
          ``load_best_model_at_end`` the best model is saved even where it lies between two checkpoints.
        * Labels are called ``labels``, and a model's own loss is not taken, which a warning says where it is another:
          losses of single rows are needed. Where nothing is mixed (``method="vanilla"``) and the loss may be another than
          the task loss (a head of the user's own, tokens, ``compute_loss_func``, other ``label_names``), it is
          computed and accumulated as ``Trainer`` does.
        * A loss that is not finite ends the training (:class:`TrainingDiverged`), but for a model's own.
        * Rows of an image data set may be pairs (image, label), as torchvision's data sets give them.

    The kind of labels is ``model.config.problem_type``. Without one it is told from the labels, and written there: whole
    numbers (B,) are classes, floats (B,) or (B, 1) for one output a regression, and floats (B, C) **several labels a
    row**: where they are soft labels that sum to 1, set ``problem_type = "single_label_classification"``.

    Raises:
        UserError: for ``compute_loss_func`` beside a method that computes its loss, for ``nn.DataParallel``, for ``ema``
            beside ``load_best_model_at_end``, and at the first batch for a model without logits (B, C) and for labels
            that are none of its classes.
    """

    def __init__(self, *args: Any, mix: MixArguments | None = None, ema: float = 0.0, **kwargs: Any) -> None:
        self.term_log: TermLog | None = None  # made with the step, whose terms it counts
        self._micro_step = 0
        self._step: MixStep | None = None
        self._judged_shapes = Shapes()
        super().__init__(*args, **kwargs)
        self.average = WeightAverage(ema) if ema else None
        if self.average is not None:
            check_not_the_best(self.args)
            self.add_callback(self.average)
        self._stock_accepts_loss_kwargs = self.model_accepts_loss_kwargs
        self.mix = mix or MixArguments()
        if self.modality == IMAGE and self.data_collator is default_data_collator:
            self.data_collator = collate_images
        if self.args.gradient_checkpointing:
            check_checkpointing(self.model)  # type: ignore[arg-type]
        values = by_score(self.args)
        if "greater_is_better" in values:
            name = self.args.metric_for_best_model
            warnings.warn(f"{name} is better when lower: greater_is_better=False is taken for it.", stacklevel=2)
        self.args = resolved(self.args, **values)
        if self.args.n_gpu > 1:
            raise UserError(
                f"{self.args.n_gpu} GPUs in one process would be used by nn.DataParallel: start with `accelerate launch`,"
                " or set CUDA_VISIBLE_DEVICES to one."
            )

    @property
    def mix(self) -> MixArguments:
        """What is mixed and how it is weighed, the method's values written out; may be set between trainings."""
        return self._mix

    @mix.setter
    def mix(self, mix: MixArguments) -> None:
        if not isinstance(mix, MixArguments):
            raise UserError(
                f"mix must be MixArguments(…), got {mix!r}: write mix=MixArguments(method='mixup') or the like."
            )
        plain = is_plain(mix)
        if self.compute_loss_func is not None and not plain:
            raise UserError(
                f"compute_loss_func was given, but method {mix.method!r} computes its own loss: set it by"
                " mix=MixArguments(…), or train with MixArguments(method='vanilla')."
            )
        self.modality = modality_of(self.model, required=mix.mixes)  # type: ignore[arg-type]
        self._mix = balanced_by_rows(mix.filled(self.modality), self.model, self.train_dataset)
        self._task_loss = TaskLoss(self._mix)
        self.remove_hooks()
        self._as_stock = plain and (
            self.compute_loss_func is not None
            or "labels" not in (self.args.label_names or ["labels"])
            or has_own_loss(self.model)  # type: ignore[arg-type]
        )
        self._compared = plain or mix.class_weights is not None or mix.confidence_penalty > 0  # or asked for another
        if not self._as_stock and not self.label_names:
            self.label_names = ["labels"]  # of a module that takes none: else the column goes, and nothing is judged
        # Newer versions of Trainer ask the one, older ones the other.
        self.loss_is_scaled_for_ga = None if self._as_stock else True
        self.model_accepts_loss_kwargs = self._stock_accepts_loss_kwargs if self._as_stock else True

    def train(self, resume_from_checkpoint: str | bool | None = None, *args: Any, **kwargs: Any) -> Any:
        """As ``Trainer``; afterwards no hook is left in the model, which can be copied and pickled again, and it holds the
        average of its weights where one was asked for."""
        if self.average is not None:
            last = get_last_checkpoint(str(self.args.output_dir)) if resume_from_checkpoint is True else None
            folder = resume_from_checkpoint if isinstance(resume_from_checkpoint, str) else last
            self.average.resume_from = Path(folder) if folder else None
        try:
            result = super().train(resume_from_checkpoint, *args, **kwargs)
        finally:
            self.remove_hooks()
        if self.average is not None:
            self.average.put_into(self.model)
        return result

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """As ``Trainer``; a checkpoint also carries the average."""
        super().save_model(output_dir, _internal_call=_internal_call)
        if self.average is not None and _internal_call and output_dir and self.args.should_save:
            self.average.save(Path(output_dir) / AVERAGE)

    def create_accelerator_and_postprocess(self) -> None:
        """As ``Trainer``, but DDP does not walk the graph of every step to look for parameters that took no part, unless it
        is told to: here every one does."""
        if self.args.ddp_find_unused_parameters is None:
            self.args = resolved(self.args, ddp_find_unused_parameters=False)
        super().create_accelerator_and_postprocess()

    def get_train_dataloader(self) -> DataLoader:
        """As ``Trainer``, which would train for no step, or ask for ``max_steps``, where no batch is left."""
        loader = super().get_train_dataloader()
        if self.args.dataloader_drop_last and _is_empty(loader):
            raise UserError(
                "dataloader_drop_last leaves nothing to train on: the rows give no whole batch of"
                f" {self.args.train_batch_size} in each process."
            )
        return loader

    def training_step(self, *args: Any, **kwargs: Any) -> Tensor:
        """As ``Trainer``; the hooks sleep once backward is through, also for whoever calls a part of the model."""
        try:
            loss = super().training_step(*args, **kwargs)
        except RuntimeError as problem:
            if "find_unused_parameters" not in str(problem):
                raise
            raise UserError(
                f"{type(unwrap(self.model)).__name__} has parameters that take no part in its logits, and several processes"  # type: ignore[arg-type]
                " wait for their gradients: give ddp_find_unused_parameters=True (--ddp_find_unused_parameters true)."
            ) from problem
        if self._step is not None:
            self._step.release()
        return loss

    def _clip_grad_norm(self, model: nn.Module) -> Any:
        """As ``Trainer``; members that are trained beside each other are clipped each for itself. Their norm is that of all."""
        members = getattr(unwrap(model), "member_parameters", list)()
        if len(members) < 2:
            return super()._clip_grad_norm(model)
        self.accelerator.unscale_gradients()
        norms = [nn.utils.clip_grad_norm_(one, self.args.max_grad_norm) for one in members]
        return torch.stack(norms).norm()

    def remove_hooks(self) -> None:
        if self._step is not None:
            self._step.remove()
            self._step = None

    # --- what is counted ---------------------------------------------------------------------------------------------

    def get_batch_samples(
        self, epoch_iterator: Iterator[Any], num_batches: int, device: torch.device
    ) -> tuple[list[Any], Tensor | int]:  # type: ignore[override]
        """The micro-batches of one optimiser step, and how many examples they and those of all processes hold."""
        if self._as_stock:
            return super().get_batch_samples(epoch_iterator, num_batches, device)  # type: ignore[return-value]
        samples = list(itertools.islice(epoch_iterator, num_batches))
        self._micro_step = 0
        examples = sum(_rows(batch) for batch in samples)
        if self.args.world_size == 1:
            return samples, examples  # a number: a tensor on the device would make the host wait for it
        counted = self.accelerator.gather(torch.tensor(examples, device=device))
        return samples, counted.sum()  # type: ignore[union-attr]

    # --- what is computed --------------------------------------------------------------------------------------------

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:
        """The loss of one micro-batch; in evaluation the plain task loss of the untouched model.

        Args:
            num_items_in_batch: examples in the whole accumulated batch of all processes; None means this batch alone.
        """
        if self._as_stock:
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)  # type: ignore[arg-type]
        batch = dict(inputs)
        labels = batch.pop("labels", None)
        if labels is None:
            raise UserError(
                f"the batch has no 'labels', only {', '.join(sorted(batch))}: name the column of the data set 'label' or"
                " 'labels'. A model that computes its loss from other inputs is trained by it with"
                " MixArguments(method='vanilla')."
            )
        if not model.training:
            outputs = self._judged_shapes.call(model, batch)
            judged = self._task_loss.plain(model, logits_of(outputs), labels)
            self.row_losses, loss = judged.per_example.detach(), judged.loss
            if not isinstance(outputs, Mapping):  # Trainer takes the first of a tuple for the loss
                outputs = (loss, outputs) if isinstance(outputs, Tensor) else (loss, *outputs)
            return (loss, outputs) if return_outputs else loss
        if not any(value.requires_grad for value in model.parameters()):
            raise UserError(
                f"nothing of {type(unwrap(model)).__name__} is trained: no parameter has requires_grad set."
            )
        if not self._compared:
            self._compared = True
            self._compare(model, batch, labels)
        result = self.step_of(model).run(model, batch, labels, self.where())
        self._micro_step += 1
        self.term_log.add(result.terms, self.state.global_step + 1)  # type: ignore[union-attr]
        if result.logits.device.type == "cpu":
            self._check_finite()  # costs nothing there; elsewhere a read would hold up every step
        if num_items_in_batch is None:
            loss = result.per_example.mean()
        else:
            # DDP averages over processes; the sum over all of them is what the count stands for.
            loss = result.per_example.sum() * (self.accelerator.num_processes / num_items_in_batch)
        return (loss, {"loss": loss, "logits": result.logits}) if return_outputs else loss

    def _compare(self, model: nn.Module, batch: dict[str, Any], labels: Tensor) -> None:
        whole = DistributedType.NO, DistributedType.MULTI_CPU, DistributedType.MULTI_GPU  # not in parts
        if self.is_world_process_zero() and self.accelerator.distributed_type in whole:
            warn_of_own_loss(unwrap(model), batch, labels, lambda *at: self._task_loss.plain(*at).loss)

    def step_of(self, model: nn.Module) -> MixStep:
        """The training step for this model, made when it is first needed: hooks enter a model that is trained only."""
        base = unwrap(model)
        if self._step is None or self._step.model is not base:
            self.remove_hooks()
            smoothing = self.args.label_smoothing_factor
            self._step = build_step(base, self.mix, self.processing_class, label_smoothing=smoothing)
            if self.term_log is None or self.term_log.names != self._step.terms:
                self.term_log = TermLog(self._step.terms)
        return self._step

    def where(self) -> Where:
        """Where the micro-batch under way stands."""
        state = self.state
        return Where(
            seed=self.args.seed,
            step=state.global_step,
            micro_step=self._micro_step,
            process=self.accelerator.process_index,
            share_done=state.global_step / max(state.max_steps or 0, 1),
            epochs=state.num_train_epochs or 0,
            milestones=tuple(getattr(self.args, "lr_milestones", None) or ()),
        )

    # --- what is told ------------------------------------------------------------------------------------------------

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """As ``Trainer``; a training line also carries the loss terms since the last one."""
        if "loss" in logs and "learning_rate" in logs:
            self._check_finite()
            if self.term_log is not None:
                logs.update(self.term_log.drain(self.accelerator))
        super().log(logs, start_time)

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        self._check_finite()
        super()._save_checkpoint(model, trial)

    def _check_finite(self) -> None:
        bad = None if self.term_log is None else self.term_log.first_bad()
        if bad is not None:
            step, terms = bad
            names = " and ".join(f"L_{name}" for name in terms)
            raise TrainingDiverged(
                f"{names} stopped being finite at step {step}: nothing after that was saved. Lower the learning rate, or"
                " the weight of that term."
            )


def _is_empty(loader: Any) -> bool:
    return has_length(loader) and len(loader) == 0


def _rows(batch: Mapping[str, Any]) -> int:
    for name in ("labels", "input_ids", "inputs_embeds", "pixel_values"):
        if isinstance(batch.get(name), Tensor):
            return batch[name].shape[0]
    return next(value.shape[0] for value in batch.values() if isinstance(value, Tensor) and value.ndim)


def balanced_by_rows(mix: MixArguments, model: nn.Module | None, train_dataset: Any) -> MixArguments:
    """``mix`` with numbers where its class weights are to be balanced and the labels of the rows are a column that can be
    read without the rest; else as it is.

    Raises:
        UserError: for a column without rows.
    """
    config = getattr(model, "config", None)
    if mix.class_weights != BALANCED or config is None:
        return mix
    names = getattr(train_dataset, "column_names", None) or ()
    column = next((name for name in ("labels", "label") if name in names), None)
    if column is None:
        return mix
    labels = np.asarray(train_dataset[column])
    if labels.dtype.kind not in "biuf" or (labels.ndim == 1 and (labels.dtype.kind == "f" or (labels < 0).any())):
        return mix  # no classes: what they are is told where the loss meets them
    classes = list(map(str, range(config.num_labels)))
    return replace(mix, class_weights=weights_in_order(BALANCED, classes, labels))
