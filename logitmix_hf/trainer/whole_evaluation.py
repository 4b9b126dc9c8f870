"""``Trainer`` that judges every row, in the order of the data."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.utils.data import SequentialSampler

from logitmix_hf.trainer.checkpoints import AtomicCheckpoints
from logitmix_hf.trainer.resolved import resolved


class WholeEvaluation(AtomicCheckpoints):
    """Stock ``Trainer`` sorts evaluation by length, and drops its last batch, where training does so.

    Attributes:
        named_outputs: what predictions hold of a model's outputs, as a dictionary of those that there are; None for all
            but the loss, by place, as ``Trainer`` has them (of an encoder-decoder also every hidden state of the encoder).
        row_losses: set by ``compute_loss`` in evaluation: (B,) the loss of each row of this process's batch.
    """

    named_outputs: tuple[str, ...] | None = None
    row_losses: torch.Tensor | None = None
    _judged: list[torch.Tensor] | None = None

    def evaluation_loop(
        self,
        dataloader: Any,
        description: str,
        prediction_loss_only: bool | None = None,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "eval",
    ) -> Any:
        """As ``Trainer``, whose loss of several processes is not that of one: it counts the mean of a process as often as a
        batch has rows, and cuts off what is too much in the order of the processes. Here it is the mean over all rows."""
        self._judged = []
        try:
            output = super().evaluation_loop(
                dataloader, description, prediction_loss_only, ignore_keys, metric_key_prefix
            )
            name, metrics = f"{metric_key_prefix}_loss", output.metrics
            if self._judged and metrics is not None and name in metrics:
                losses = torch.cat(self._judged).cpu().double()
                finite = losses.isfinite()
                if self.args.logging_nan_inf_filter and finite.any():
                    losses = losses[finite]
                metrics[name] = losses.mean().item()
        finally:
            self._judged = None
        return output

    def prediction_step(
        self, model: nn.Module, inputs: dict[str, Any], prediction_loss_only: bool, ignore_keys: list[str] | None = None
    ) -> tuple[Any, Any, Any]:
        """As ``Trainer``, with the outputs by name where ``named_outputs`` says which."""
        self.row_losses = None
        found = self._predicted(model, inputs, prediction_loss_only, ignore_keys)
        if self._judged is not None and self.row_losses is not None:
            losses: Any = self.gather_function(self.row_losses)
            self._judged.append(losses)
        self.row_losses = None
        return found

    def _predicted(
        self, model: nn.Module, inputs: dict[str, Any], prediction_loss_only: bool, ignore_keys: list[str] | None
    ) -> tuple[Any, Any, Any]:
        if self.named_outputs is None:
            return super().prediction_step(model, inputs, prediction_loss_only, ignore_keys)
        inputs = self._prepare_inputs(inputs)
        labels = inputs.get("labels")
        loss: Any
        outputs: Any
        with torch.no_grad(), self.compute_loss_context_manager():
            if labels is None:
                loss, outputs = None, model(**inputs)
            else:
                loss, outputs = self.compute_loss(model, inputs, return_outputs=True)
                loss = loss.detach().mean()
        if prediction_loss_only:
            return loss, None, None
        tensors = {name: outputs[name].detach() for name in self.named_outputs if outputs.get(name) is not None}
        return loss, tensors, labels

    def get_eval_dataloader(self, *args: Any, **kwargs: Any) -> Any:
        """As ``Trainer``, but ``dataloader_drop_last`` is for training: every row is judged."""
        with self._all_rows():
            return super().get_eval_dataloader(*args, **kwargs)

    def get_test_dataloader(self, *args: Any, **kwargs: Any) -> Any:
        """As ``Trainer``, but every row is predicted."""
        with self._all_rows():
            return super().get_test_dataloader(*args, **kwargs)

    @contextmanager
    def _all_rows(self) -> Iterator[None]:
        asked, self.args = self.args, resolved(self.args, dataloader_drop_last=False)
        try:
            yield
        finally:
            self.args = asked

    def _get_eval_sampler(self, eval_dataset: Any) -> Any:
        # Stock sorts evaluation by length too when training does; predictions must keep the order of the data.
        if self.args.world_size <= 1 and hasattr(eval_dataset, "__len__"):
            return SequentialSampler(eval_dataset)
        return None if hasattr(eval_dataset, "__len__") else super()._get_eval_sampler(eval_dataset)
