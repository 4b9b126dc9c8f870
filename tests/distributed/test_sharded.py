"""Whole commands whose processes hold parts of the model: FSDP2 over gloo, DeepSpeed's ZeRO in one process.

The truth is the invariant of every run: the saved folder, loaded by transformers alone, gives the stored predictions.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
import torch
from processes import TWO
from tinyrun import flags
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from logitmix_hf.models.unwrap import unwrap

WORKER = Path(__file__).parent / "fsdp_worker.py"
FEW = {"max_steps": 3, "num_train_epochs": None, "bootstrap": 0, "save_strategy": "no", "eval_strategy": "no"}


def run(command, **environment):
    own = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
    done = subprocess.run([sys.executable, *map(str, command)], env=own, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]


def logits_of_the_saved_model(folder, texts):
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    batch = AutoTokenizer.from_pretrained(folder)(texts, padding=True, return_tensors="pt")
    with torch.no_grad():
        return model(**batch).logits.numpy()


def assert_saved_model_gives_the_predictions(folder, validation):
    texts = pyarrow.csv.read_csv(validation)["text"].to_pylist()
    stored = np.array(pq.read_table(folder / "predictions/validation.parquet")["logits"].to_pylist())
    found = logits_of_the_saved_model(folder, texts)
    np.testing.assert_allclose(found.squeeze(), stored.squeeze(), atol=1e-4, rtol=1e-4)


@pytest.mark.slow
def test_fsdp_saves_and_folds_what_was_trained(tiny_model, files, tmp_path):
    settings = tmp_path / "fsdp.json"
    # Of its own accord accelerate also wraps what holds the token embeddings, and then those once more, which torch refuses.
    settings.write_text('{"transformer_layer_cls_to_wrap": ["BertLayer"]}')
    argv = flags(
        tiny_model, files, tmp_path / "run", fsdp="true", fsdp_config=settings, calibrate_on_eval="true", **FEW
    )
    run([*TWO, WORKER, "glue", *argv], ACCELERATE_USE_CPU="true")
    assert_saved_model_gives_the_predictions(tmp_path / "run", files / "validation.csv")
    config = json.loads((tmp_path / "run/config.json").read_text())
    assert config["architectures"] == ["BertForSequenceClassification"]
    assert config["logitmix"]["folded"]


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("deepspeed") is None, reason="DeepSpeed is not installed")
@pytest.mark.parametrize("stage", [2, 3])
@pytest.mark.parametrize("regression", [False, True])
def test_zero_trains_saves_and_folds(tiny_model, files, tmp_path, stage, regression):
    zero = {"stage": stage, "stage3_gather_16bit_weights_on_model_save": True}
    sizes = dict.fromkeys(("train_batch_size", "train_micro_batch_size_per_gpu", "gradient_accumulation_steps"), "auto")
    (tmp_path / "zero.json").write_text(json.dumps({"zero_optimization": zero, **sizes}))
    changes = {"deepspeed": tmp_path / "zero.json", **FEW}
    if regression:
        for name in ("train", "validation"):
            table = pyarrow.csv.read_csv(files / f"{name}.csv")
            prices = [177_000.0 + 900 * (row % 7) for row in range(len(table))]
            pyarrow.csv.write_csv(table.append_column("price", [prices]), tmp_path / f"{name}.csv")
        changes |= {"regression": "true", "label_column": "price", "text_columns": "text"}
        changes |= {f"{name}_file": tmp_path / f"{name}.csv" for name in ("train", "validation")}
    else:
        changes["calibrate_on_eval"] = "true"
    one = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0"}
    run(["-m", "logitmix_hf.cli", "glue", *flags(tiny_model, files, tmp_path / "run", **changes)], **one)
    assert_saved_model_gives_the_predictions(tmp_path / "run", files / "validation.csv")


def test_an_engine_of_deepspeed_is_opened():
    class DeepSpeedEngine(torch.nn.Module):  # it is known by its name
        def __init__(self, module):
            super().__init__()
            self.module, self.config = module, {"stage": 2}

    class PipelineEngine(DeepSpeedEngine):
        pass

    model = torch.nn.Linear(2, 2)
    assert unwrap(DeepSpeedEngine(model)) is model
    assert unwrap(PipelineEngine(model)) is model
