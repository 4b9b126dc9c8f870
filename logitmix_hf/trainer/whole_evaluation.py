"""``Trainer`` that judges every row, in the order of the data."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch.utils.data import SequentialSampler

from logitmix_hf.trainer.checkpoints import AtomicCheckpoints
from logitmix_hf.trainer.resolved import resolved


class WholeEvaluation(AtomicCheckpoints):
    """Stock ``Trainer`` sorts evaluation by length, and drops its last batch, where training does so."""

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
