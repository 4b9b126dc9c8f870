"""One training step of images by method, of a bare loop, and whole trainings against that loop."""

from __future__ import annotations

import logging
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import cycle
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import PrinterCallback, TrainerCallback

from benchmarks.image_rivals import MEAN, STD, photographs
from benchmarks.member_steps import member_steps
from benchmarks.steps import TrainingStep
from benchmarks.timing import CLOCKS, Row, quartiles
from logitmix_hf import MixArguments
from logitmix_hf.modality import IMAGE
from logitmix_hf.training.vision.settings import VisionTrainSettings
from logitmix_hf.training.vision.trainer import ImageTrainer
from logitmix_hf.vision.networks import build_network, image_processor

SIDE, LABELS = 32, 100
VWCI = 5
BARE, TRAINING = "bare loop", "Trainer.train, vanilla"
METHODS: dict[str, MixArguments] = {
    "vanilla": MixArguments(method="vanilla"),
    "mixup": MixArguments(method="mixup", mixer="mixup"),
    "cutmix": MixArguments(method="mixup", mixer="cutmix"),
    "puzzlemix": MixArguments(method="mixup", mixer="puzzlemix"),
    "logitmix": MixArguments(method="logitmix", mixer="mixup"),
    "logitmix, cutmix": MixArguments(method="logitmix", mixer="cutmix"),
    "logitmix, puzzlemix": MixArguments(method="logitmix", mixer="puzzlemix"),
    "logitmix, separate": MixArguments(method="logitmix", mixer="mixup", bn_mode="separate"),
    "logitmix, stage.2": MixArguments(method="logitmix", mixer="mixup", site="stage.2"),
    f"vwci, {VWCI} passes": MixArguments(method="vanilla", vwci=VWCI),
    "cut_mixmo, 2 members": MixArguments(method="cut_mixmo"),
    "cut_mixmo, 4 members": MixArguments(method="cut_mixmo", members=4),
}
"""What is measured, by the names of the table."""

Batch = dict[str, Tensor]


def batches(rows: int, device: torch.device, count: int = 4) -> list[Batch]:
    """Batches of patches of photographs, normalised, as our collator makes them: channels-last, on the device."""
    pixels = photographs(count * rows, SIDE)
    mean, std = (torch.tensor(values).reshape(-1, 1, 1) for values in (MEAN, STD))
    images = ((pixels - mean) / std).to(device).contiguous(memory_format=torch.channels_last)
    labels = torch.randint(LABELS, (count * rows,), generator=torch.Generator().manual_seed(0)).to(device)
    return [
        {"pixel_values": images[start : start + rows], "labels": labels[start : start + rows]}
        for start in range(0, count * rows, rows)
    ]


def network(name: str, device: torch.device, members: int = 1) -> Any:
    """A network with random weights, the same in every call."""
    torch.manual_seed(0)
    made: Any = build_network(name, LABELS, SIDE, members=members)
    return made.to(device, memory_format=torch.channels_last)


class BareStep:
    """What training takes without any trainer: forward, loss, backward, clipping, SGD; the trainer's own settings."""

    def __init__(self, model: Any, feed: Iterator[Batch], settings: VisionTrainSettings) -> None:
        self.model, self.feed, self.clip = model.train(), feed, settings.max_grad_norm
        self.optimizer = torch.optim.SGD(
            model.parameters(),
            lr=settings.learning_rate,
            momentum=settings.momentum,
            nesterov=settings.nesterov,
            weight_decay=settings.weight_decay,
        )

    def __call__(self) -> None:
        batch = next(self.feed)
        logits = self.model(pixel_values=batch["pixel_values"]).logits
        F.cross_entropy(logits, batch["labels"]).backward()
        if self.clip:
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.clip)
        self.optimizer.step()
        self.optimizer.zero_grad()


def settings(output: Path, rows: int, steps: int) -> VisionTrainSettings:
    """Those of ``logitmix vision`` for so many steps, with nothing written; a learning rate that moves nothing far."""
    return VisionTrainSettings(
        output_dir=str(output),
        per_device_train_batch_size=rows,
        max_steps=steps,
        learning_rate=1e-6,
        eval_strategy="no",
        save_strategy="no",
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
        dataloader_pin_memory=False,
    )


def trainer_of(model: Any, mix: MixArguments, feed: Sequence[Batch], arguments: VisionTrainSettings) -> ImageTrainer:
    """The trainer of ``logitmix vision`` with its optimizer; its batches are those of ``feed``, made already."""
    rows, ready = arguments.per_device_train_batch_size, cycle(feed)
    trainer = ImageTrainer(
        model=model,
        args=arguments,
        mix=mix,
        train_dataset=[{"row": number} for number in range(rows * arguments.max_steps)],  # type: ignore[arg-type]
        data_collator=lambda _: dict(next(ready)),
        processing_class=image_processor(SIDE, MEAN, STD, 3),
        decay_norm_and_bias=arguments.decay_norm_and_bias,
        optimizer_cls_and_kwargs=(
            torch.optim.SGD,
            {"lr": arguments.learning_rate, "momentum": arguments.momentum, "nesterov": arguments.nesterov},
        ),
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def build_steps(name: str, rows: int, output: Path) -> dict[str, Callable[[], object]]:
    """Every step by name, each with a network of its own."""
    quiet()
    first = settings(output, rows, 1)
    device = first.device
    ready = batches(rows, device)
    steps: dict[str, Callable[[], object]] = {BARE: BareStep(network(name, device), cycle(ready), first)}
    for method, mix in METHODS.items():
        model = network(name, device, mix.filled(IMAGE).members or 1)
        steps[method] = TrainingStep(trainer_of(model, mix, ready, settings(output, rows, 1)), cycle(ready))
    return {**steps, **member_steps(lambda members: network(name, device, members), ready[0], rows)}


class Between(TrainerCallback):
    """Within a training: after every ``times`` steps of it the other side has as many.

    Attributes:
        ours, theirs: seconds of a step, one number a turn; the first turn warms both sides up and is not kept.
    """

    def __init__(self, other: Callable[[], object], times: int, clock: str) -> None:
        self.other, self.times, self.now = other, times, CLOCKS[clock]
        self.ours: list[float] = []
        self.theirs: list[float] = []
        self._begun: float | None = None

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """The training's turn ends here, and begins when this returns."""
        if state.global_step % self.times:
            return
        ended = self._settled()
        for _ in range(self.times):
            self.other()
        now = self._settled()
        if self._begun is not None:
            self.ours.append((ended - self._begun) / self.times)
            self.theirs.append((now - ended) / self.times)
        self._begun = now

    def _settled(self) -> float:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        return self.now()


def measure_training(
    like: Row, bar: float | None, name: str, rows: int, rounds: int, times: int, clock: str, output: Path
) -> Row:
    """``Trainer.train`` as it is, data loader, callbacks and schedule included, in turns with the bare loop.

    Nobody waits for the device within a turn, as nobody does in real life.

    Args:
        like: the row of a single vanilla step against the bare one, which knows the memory of both.
        bar: of the ratio.
        name, rows: the network and the size of a batch.
        rounds, times: turns, and steps in a row of each side within a turn.
        clock: a name in :data:`CLOCKS`.
        output: a folder for the trainer, which writes nothing.
    """
    quiet()
    arguments = settings(output, rows, (rounds + 1) * times)
    ready = batches(rows, arguments.device)
    trainer = trainer_of(network(name, arguments.device), METHODS["vanilla"], ready, arguments)
    between = Between(BareStep(network(name, arguments.device), cycle(ready), arguments), times, clock)
    trainer.add_callback(between)
    trainer.train()
    ratios = [own / other for own, other in zip(between.ours, between.theirs, strict=True)]
    return replace(
        like,
        one=TRAINING,
        bar=bar,
        ratio=statistics.median(ratios),
        quartiles=quartiles(ratios),
        milliseconds=1e3 * statistics.median(between.ours),
    )


def quiet() -> None:
    """Without the trainer's remarks."""
    logging.getLogger("transformers.trainer").setLevel(logging.ERROR)
