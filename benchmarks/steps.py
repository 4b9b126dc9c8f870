"""One training step of stock Trainer, of MixTrainer by method and site, and of LogitMix as the paper writes it."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import AutoModelForSequenceClassification, PrinterCallback, Trainer, TrainingArguments

from logitmix_hf import MixArguments, MixTrainer

ROWS, LENGTH, LABELS = 8, 128, 2


class ThreePasses(Trainer):
    """LogitMix at the embeddings, read off the paper's equations: f(x1), f(x2), f(mixed), then one backward."""

    def compute_loss(  # type: ignore[override]
        self, model: nn.Module, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Tensor:
        labels, mask, words = inputs["labels"], inputs["attention_mask"], model.get_input_embeddings()  # type: ignore[operator]
        partner = torch.randperm(len(labels), device=labels.device)
        lam = torch.distributions.Beta(3.0, 3.0).sample()
        first = {"input_ids": inputs["input_ids"], "attention_mask": mask}
        second = {name: value[partner] for name, value in first.items()}
        mixed = lam * words(first["input_ids"]) + (1 - lam) * words(second["input_ids"])  # type: ignore[operator]
        one, two = model(**first).logits, model(**second).logits
        both = model(inputs_embeds=mixed, attention_mask=mask | mask[partner]).logits
        return (
            lam * F.cross_entropy(both, labels)
            + (1 - lam) * F.cross_entropy(both, labels[partner])
            + F.cross_entropy(one, labels)
            + F.cross_entropy(two, labels[partner])
            + F.mse_loss(both, lam * one + (1 - lam) * two)
        )


def batches(vocabulary: int, count: int = 4) -> list[dict[str, Tensor]]:
    """Batches of 8 x 128 token ids; the first row is full, the others are padded by up to half, as real pairs are."""
    generator = torch.Generator().manual_seed(0)
    made = []
    for _ in range(count):
        ids = torch.randint(5, vocabulary, (ROWS, LENGTH), generator=generator)
        lengths = torch.randint(LENGTH // 2, LENGTH + 1, (ROWS,), generator=generator)
        lengths[0] = LENGTH
        mask = (torch.arange(LENGTH) < lengths[:, None]).long()
        labels = torch.randint(0, LABELS, (ROWS,), generator=generator)
        made.append({"input_ids": ids * mask, "attention_mask": mask, "labels": labels})
    return made


class TrainingStep:
    """Calling it does one optimiser step through the trainer's own parts, as ``Trainer.train`` strings them together."""

    def __init__(self, trainer: Trainer, feed: Iterator[dict[str, Tensor]]) -> None:
        trainer.train()  # one step: makes optimizer and scheduler, and wraps the model
        self.trainer, self.feed = trainer, feed

    def __call__(self) -> None:
        trainer = self.trainer
        model: Any = trainer.model_wrapped
        optimizer: Any = trainer.optimizer
        samples, items = trainer.get_batch_samples(self.feed, 1, trainer.args.device)
        trainer.training_step(model, samples[0], items)
        trainer.accelerator.clip_grad_norm_(model.parameters(), trainer.args.max_grad_norm)
        optimizer.step()
        model.zero_grad()
        trainer.state.global_step += 1


def build_steps(folder: Path, output: Path, only: str = "") -> tuple[dict[str, TrainingStep], int]:
    """Every step by name, each with a model of its own, and the number of layers N; vanilla and those named like ``only``."""
    logging.getLogger("transformers.trainer").setLevel(logging.ERROR)
    steps: dict[str, TrainingStep] = {}
    depth = _model(folder).config.num_hidden_layers
    sites = ["embeddings", *(f"layer.{number}" for number in range(1, depth + 1)), "cls", "pooled"]
    kinds: dict[str, tuple[type[Trainer], dict[str, Any]]] = {
        "stock": (Trainer, {}),
        "vanilla": (MixTrainer, {"mix": MixArguments(method="vanilla")}),
        "three passes": (ThreePasses, {}),
        **{site: (MixTrainer, {"mix": MixArguments(method="logitmix", site=site)}) for site in sites},
        # L_mix alone: mixed rows take the place of clean ones, wherever they are mixed.
        **{f"mixup {site}": (MixTrainer, {"mix": MixArguments(method="mixup", site=site)}) for site in sites},
    }
    for name, (kind, extra) in kinds.items():
        if only not in name and name != "vanilla":
            continue
        model = _model(folder)
        feed = batches(model.config.vocab_size)
        arguments = TrainingArguments(
            output_dir=str(output),
            per_device_train_batch_size=ROWS,
            max_steps=1,
            lr_scheduler_type="constant",
            learning_rate=1e-6,
            save_strategy="no",
            logging_strategy="no",
            report_to="none",
            disable_tqdm=True,
            dataloader_pin_memory=torch.cuda.is_available(),
        )
        rows = [{key: value[row] for key, value in feed[0].items()} for row in range(ROWS)]
        trainer = kind(model=model, args=arguments, train_dataset=rows, **extra)  # type: ignore[arg-type]
        trainer.remove_callback(PrinterCallback)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="site 'pooled'")  # its cost is the point here
            steps[name] = TrainingStep(trainer, cycle(feed))
    return steps, depth


def _model(folder: Path) -> Any:
    torch.manual_seed(0)
    return AutoModelForSequenceClassification.from_pretrained(folder, num_labels=LABELS, dtype="float32")
