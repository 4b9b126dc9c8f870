"""``MixTrainer``: a one-class swap for ``transformers.Trainer``.

It overrides what is computed (the loss) and what is counted (examples), and nothing of the training loop.
"""

from __future__ import annotations

import bisect
import itertools
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from transformers import default_data_collator

from logitmix_hf.arguments import MixArguments
from logitmix_hf.errors import UserError
from logitmix_hf.losses import REGRESSION, LogitMixLoss, LossOutput, settle_problem
from logitmix_hf.modality import IMAGE
from logitmix_hf.models.unwrap import check_checkpointing, has_rows, logits_of, unwrap
from logitmix_hf.plan import MixPlan, draw_plan, step_generator
from logitmix_hf.steps.passes import Passes, collate_images, modality_of, passes_for
from logitmix_hf.steps.schedule import step_mix
from logitmix_hf.trainer.terms import TermLog
from logitmix_hf.trainer.whole_evaluation import WholeEvaluation

__all__ = ["MixArguments", "MixTrainer", "TrainingDiverged"]


class TrainingDiverged(RuntimeError):
    """The loss is no longer finite: the message names the step and the term that went first."""


class MixTrainer(WholeEvaluation):
    """``Trainer`` with mixing inside the network and the LogitMix loss.

    Args:
        *args, **kwargs: as for ``Trainer``.
        mix: what to mix and how to weigh it; default ``MixArguments()``, that is LogitMix.

    Differences from ``Trainer``:
        * Losses of single examples are summed and divided by the number of examples of the whole accumulated,
          all-process batch: 8 x 1, 1 x 8 and 2 processes x 4 give the same gradient. (Stock ``Trainer`` with a
          BERT-like head counts the loss once per accumulation step.)
        * ``loss_mix``, ``loss_cls``, ``loss_sim`` and ``lam`` are logged beside ``loss``.
        * Evaluation runs the untouched model, in the order of the data also with length grouping.
        * Labels are called ``labels``; ``TrainingArguments.label_names`` cannot rename them.
        * A loss that is not finite ends the training (:class:`TrainingDiverged`).
        * Rows of an image data set may be pairs (image, label), as torchvision's data sets give them.

    The kind of labels is ``model.config.problem_type``. Without one it is told from the labels, and written there: whole
    numbers (B,) are classes, floats (B,) or (B, 1) for one output a regression, and floats (B, C) **several labels a
    row**: where they are soft labels that sum to 1, set ``problem_type = "single_label_classification"``.

    Raises:
        UserError: for ``compute_loss_func`` (the loss is set by ``mix``) and for ``nn.DataParallel``.
    """

    # What newer versions of Trainer ask; the older ones are told by model_accepts_loss_kwargs below.
    loss_is_scaled_for_ga = True

    def __init__(self, *args: Any, mix: MixArguments | None = None, **kwargs: Any) -> None:
        self.term_log = TermLog()
        self._micro_step = 0
        self._passes: Passes | None = None
        self._losses: dict[tuple[float, ...], LogitMixLoss] = {}
        super().__init__(*args, **kwargs)
        self.modality = modality_of(self.model)  # type: ignore[arg-type]
        if self.modality == IMAGE and self.data_collator is default_data_collator:
            self.data_collator = collate_images
        if self.args.gradient_checkpointing:
            check_checkpointing(self.model)  # type: ignore[arg-type]
        self.mix = mix or MixArguments()
        self.model_accepts_loss_kwargs = True
        if self.compute_loss_func is not None:
            raise UserError(
                "compute_loss_func was given, but MixTrainer computes its own loss: set it by mix=MixArguments."
            )
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
        self._mix = mix.filled(self.modality)
        chances = mix.mixers(self.modality)
        self.mixers = {name: mix.filled(self.modality, name) for name in chances}
        self._bounds = list(itertools.accumulate(chances.values()))
        self._losses.clear()
        self.remove_hooks()

    def train(self, *args: Any, **kwargs: Any) -> Any:
        """As ``Trainer``; afterwards no hook is left in the model, which can be copied and pickled again."""
        try:
            return super().train(*args, **kwargs)
        finally:
            self.remove_hooks()

    def training_step(self, *args: Any, **kwargs: Any) -> Tensor:
        """As ``Trainer``; the hooks sleep once backward is through, also for whoever calls a part of the model."""
        loss = super().training_step(*args, **kwargs)
        if self._passes is not None:
            self._passes.release()
        return loss

    def remove_hooks(self) -> None:
        if self._passes is not None:
            self._passes.remove()
            self._passes = None

    # --- what is counted ---------------------------------------------------------------------------------------------

    def get_batch_samples(
        self, epoch_iterator: Iterator[Any], num_batches: int, device: torch.device
    ) -> tuple[list[Any], Tensor]:
        """The micro-batches of one optimiser step, and how many examples they and those of all processes hold."""
        samples = list(itertools.islice(epoch_iterator, num_batches))
        self._micro_step = 0
        examples = torch.tensor(sum(_rows(batch) for batch in samples), device=device)
        if self.args.world_size > 1:
            examples = self.accelerator.gather(examples).sum()  # type: ignore[union-attr]
        return samples, examples

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
        batch = dict(inputs)
        labels = batch.pop("labels", None)
        if labels is None:
            raise UserError(f"the batch has no 'labels', only {', '.join(sorted(batch))}: the loss needs them.")
        if not model.training:
            outputs = model(**batch)
            loss = self.loss_of(model, logits_of(outputs), None, labels, None).loss
            if not isinstance(outputs, Mapping):  # Trainer takes the first of a tuple for the loss
                outputs = (loss, outputs) if isinstance(outputs, Tensor) else (loss, *outputs)
            return (loss, outputs) if return_outputs else loss
        out, clean = self._mixed_step(model, batch, labels)
        self._micro_step += 1
        if num_items_in_batch is None:
            loss = out.loss
        else:
            # DDP averages over processes; the sum over all of them is what the count stands for.
            loss = out.per_example.sum() * (self.accelerator.num_processes / num_items_in_batch)
        return (loss, {"loss": loss, "logits": clean}) if return_outputs else loss

    def _mixed_step(self, model: nn.Module, batch: dict[str, Any], labels: Tensor) -> tuple[LossOutput, Tensor]:
        seed, step, process = self.args.seed, self.state.global_step, self.accelerator.process_index
        generator = step_generator(seed, step, self._micro_step, process)
        if self.mix.vwci:
            return self._stochastic_step(model, batch, labels)
        mix = self.choose(step_generator(seed, step, self._micro_step, process, purpose=1))
        plan = None if mix is None else self.draw(_rows({**batch, "labels": labels}), generator, mix)
        if plan is None or mix is None:
            clean, mixed, plan = logits_of(model(**batch)), None, None
        else:
            clean, mixed, plan = self.passes_of(model).step(batch, plan, generator, model, labels, mix)
        out = self.loss_of(model, clean, mixed, labels, plan, mix)
        some = mixed if clean is None else clean
        assert some is not None
        self.term_log.add(out.terms if plan is None else {**out.terms, "lam": plan.lam.to(some.device)}, step + 1)
        if some.device.type == "cpu":
            self._check_finite()  # costs nothing there; elsewhere a read would hold up every step
        return out, some

    def _stochastic_step(self, model: nn.Module, batch: dict[str, Any], labels: Tensor) -> tuple[LossOutput, Tensor]:
        rows, times = len(labels), self.mix.vwci
        several = {name: torch.cat([v] * times) if has_rows(v, rows) else v for name, v in batch.items()}
        passes = logits_of(model(**several)).unflatten(0, (times, rows))
        out = self._loss_for(self.mix.weights, model, passes[0], labels).of_passes(passes, labels)
        self.term_log.add(out.terms, self.state.global_step + 1)
        return out, passes[0]

    def choose(self, generator: torch.Generator) -> MixArguments | None:
        """What this micro-batch mixes, filled for the mixer that is drawn; None for a plain step by the schedule."""
        draw, uniform = torch.rand(2, generator=generator).tolist()
        number = min(bisect.bisect_right(self._bounds, draw), len(self._bounds) - 1)  # their sum may be just below 1
        mix = list(self.mixers.values())[number]
        milestones = getattr(self.args, "lr_milestones", None) or ()
        return step_mix(
            mix,
            self.state.global_step,
            self.state.max_steps or 0,
            self.state.num_train_epochs or 0,
            milestones,
            uniform,
        )

    def draw(self, rows: int, generator: torch.Generator, mix: MixArguments) -> MixPlan | None:
        """The plan of this micro-batch, or None for a plain step by chance."""
        if not float(torch.rand((), generator=generator)) < mix.mix_prob:
            return None
        assert mix.alpha is not None
        return draw_plan(rows, mix.alpha, generator, per=mix.lam_per, lam=mix.lam)

    def loss_of(
        self,
        model: nn.Module,
        clean: Tensor | None,
        mixed: Tensor | None,
        labels: Tensor,
        plan: MixPlan | None,
        mix: MixArguments | None = None,
    ) -> LossOutput:
        """The loss by ``mix``, for the problem that the config names; smoothing and penalty in training only."""
        weights = (self.mix if mix is None else mix).weights
        some = mixed if clean is None else clean
        assert some is not None
        return self._loss_for(weights, model, some, labels)(clean, mixed, labels, plan)

    def _loss_for(self, weights: dict[str, float], model: nn.Module, logits: Tensor, labels: Tensor) -> LogitMixLoss:
        key = tuple(weights.values())
        if key not in self._losses:
            self._losses[key] = self._new_loss(weights, unwrap(model), logits, labels)
        loss = self._losses[key]
        # Both are means of training, no part of what an evaluation reports.
        loss.label_smoothing = self.args.label_smoothing_factor if model.training else 0.0
        loss.confidence_penalty = self.mix.confidence_penalty if model.training else 0.0
        return loss

    def _new_loss(self, weights: dict[str, float], model: nn.Module, logits: Tensor, labels: Tensor) -> LogitMixLoss:
        mix = self.mix
        problem = settle_problem(getattr(model, "config", None), logits, labels)
        classes = mix.class_weights
        if classes is not None and (problem == REGRESSION or len(classes) != logits.shape[1]):
            raise UserError(f"class_weights has {len(classes)} values for {logits.shape[1]} outputs ({problem}).")
        if weights["sim"] and mix.mixer != "spans" and mix.site == "pooled":
            warnings.warn(
                "site 'pooled' lies right before a linear layer, where mixed logits are the mixture of logits already:"
                " L_sim is zero there but for dropout. Mix earlier (for example --site middle) to give it work.",
                stacklevel=3,
            )
        return LogitMixLoss(
            **{f"w_{name}": weight for name, weight in weights.items()},  # type: ignore[arg-type]
            sim_form=mix.sim_form,
            sim_detach=mix.sim_detach,
            sim_on=mix.sim_on,
            cls_sum=mix.cls_sum,
            problem_type=problem,
            class_weights=classes,
        ).to(logits.device)

    def passes_of(self, model: nn.Module) -> Passes:
        base = unwrap(model)
        if self._passes is None or unwrap(self._passes.model) is not base:
            self.remove_hooks()
            self._passes = passes_for(base, self.mix, self.processing_class, self.modality)
        return self._passes

    # --- what is told ------------------------------------------------------------------------------------------------

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """As ``Trainer``; a training line also carries the loss terms since the last one."""
        if "loss" in logs and "learning_rate" in logs:
            self._check_finite()
            logs.update(self.term_log.drain(self.accelerator))
        super().log(logs, start_time)

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        self._check_finite()
        super()._save_checkpoint(model, trial)

    def _check_finite(self) -> None:
        bad = self.term_log.first_bad()
        if bad is not None:
            step, terms = bad
            names = " and ".join(f"L_{name}" for name in terms)
            raise TrainingDiverged(
                f"{names} stopped being finite at step {step}: nothing after that was saved. Lower the learning rate, or"
                " the weight of that term."
            )


def _rows(batch: Mapping[str, Any]) -> int:
    for name in ("labels", "input_ids", "inputs_embeds", "pixel_values"):
        if isinstance(batch.get(name), Tensor):
            return batch[name].shape[0]
    return next(value.shape[0] for value in batch.values() if isinstance(value, Tensor) and value.ndim)
