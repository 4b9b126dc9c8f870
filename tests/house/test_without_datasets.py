"""`datasets` and `evaluate` may be absent: what trains must import, and train, without them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow  # other processes

ROOT = Path(__file__).parents[2]

# Finders that look through the names, as on a machine where they are not installed: an import fails, and
# `importlib.util.find_spec`, by which other libraries ask, gives None.
BLIND = """
import sys

ABSENT = {"datasets", "evaluate"}

class Blind:
    def __init__(self, finder):
        self.finder = finder
    def find_spec(self, name, path=None, target=None):
        return None if name.split(".")[0] in ABSENT else self.finder.find_spec(name, path, target)
    def __getattr__(self, name):
        return getattr(self.finder, name)

sys.meta_path[:] = [Blind(finder) for finder in sys.meta_path]
try:
    import datasets
except ModuleNotFoundError:
    pass
else:
    raise SystemExit("datasets is not blocked")
"""

CORE = """
import logitmix_hf
import logitmix_hf.plan, logitmix_hf.losses, logitmix_hf.methods, logitmix_hf.trainer
import logitmix_hf.text.forward, logitmix_hf.text.spans, logitmix_hf.evaluation
for name in logitmix_hf.__all__:
    getattr(logitmix_hf, name)
"""

TRAIN = """
import tempfile
import torch
from transformers import BertConfig, BertForSequenceClassification, TrainingArguments
from logitmix_hf import MixArguments, MixTrainer

config = BertConfig(vocab_size=20, hidden_size=8, num_hidden_layers=2, num_attention_heads=2, intermediate_size=8)
rows = [{"input_ids": [1, 2 + i], "attention_mask": [1, 1], "labels": i % 2} for i in range(4)]
with tempfile.TemporaryDirectory() as folder:
    args = TrainingArguments(folder, max_steps=1, per_device_train_batch_size=4, use_cpu=True, save_strategy="no",
                             disable_tqdm=True)
    mix = MixArguments(method="logitmix", site="layer.1")
    model = BertForSequenceClassification(config)
    before = model.classifier.weight.detach().clone()
    MixTrainer(model=model, args=args, mix=mix, train_dataset=rows).train()
    assert not torch.equal(before, model.classifier.weight)
"""


def run(code: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", BLIND + code + "\nassert not ABSENT & set(sys.modules)\nprint('done')"],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "done"


def test_the_core_imports_and_trains() -> None:
    run(CORE + TRAIN)
