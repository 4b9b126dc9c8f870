"""`python -m benchmarks.first_step SCRIPT …`: run a training script and leave right after its first step."""

from __future__ import annotations

import os
import runpy
import sys
from typing import Any

from transformers import Trainer

_step = Trainer.training_step


def _leave_after(self: Trainer, *args: Any, **kwargs: Any) -> Any:
    _step(self, *args, **kwargs)
    print("first step done", flush=True)
    os._exit(0)  # nothing is to be saved or cleaned up


if __name__ == "__main__":
    Trainer.training_step = _leave_after
    script, sys.argv = sys.argv[1], sys.argv[1:]
    runpy.run_path(script, run_name="__main__")
