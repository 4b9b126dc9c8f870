"""Under Trainer: epochs reach the augmentation, a resumed run sees what an unstopped one saw, order stays."""

from __future__ import annotations

import torch
from torch import nn
from transformers import Trainer, TrainerCallback, TrainingArguments

from logitmix_hf.vision.data import ImageRequest, TellEpoch, load_image_data


class Network(nn.Module):
    """A linear classifier that keeps what it was shown in training."""

    def __init__(self) -> None:
        super().__init__()
        self.line = nn.Linear(64, 10)
        self.seen: list[torch.Tensor] = []

    def forward(self, pixel_values, labels=None):
        if self.training:
            self.seen.append(pixel_values.detach().clone())
        logits = self.line(pixel_values.flatten(1))
        loss = nn.functional.cross_entropy(logits, labels)
        return {"loss": loss, "logits": logits}


class Stop(TrainerCallback):
    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == self.step:
            control.should_save = control.should_training_stop = True


def train(folder, data, *, stop: int | None = None, resume: bool = False, **options) -> tuple[Network, Trainer]:
    torch.manual_seed(0)
    network = Network()
    args = TrainingArguments(
        str(folder), num_train_epochs=3, per_device_train_batch_size=16, per_device_eval_batch_size=7, report_to=[],
        remove_unused_columns=False, use_cpu=True, save_strategy="no", disable_tqdm=True, logging_strategy="no", **options,
    )  # fmt: skip
    callbacks = [TellEpoch(), *([Stop(stop)] if stop else [])]
    trainer = Trainer(
        network, args, train_dataset=data.train, data_collator=data.collator(data.augment), callbacks=callbacks
    )
    trainer.train(resume_from_checkpoint=resume)
    return network, trainer


def test_epochs_differ_and_a_resumed_run_sees_the_same(tmp_path):
    data = load_image_data(ImageRequest(dataset="digits", max_train_samples=64))  # 4 batches an epoch
    whole, _ = train(tmp_path / "whole", data)
    assert len(whole.seen) == 12
    epochs = [torch.cat(whole.seen[start : start + 4]) for start in (0, 4, 8)]
    order = lambda pixels: pixels.flatten(1).sort(dim=0).values  # noqa: E731  whatever the order of rows
    assert not torch.equal(order(epochs[0]), order(epochs[1]))
    data.train.set_epoch(0)
    train(tmp_path / "part", data, stop=6)
    data.train.set_epoch(0)  # a new process
    rest, _ = train(tmp_path / "part", data, resume=True)
    assert len(rest.seen) == 6
    for found, expected in zip(rest.seen, whole.seen[6:], strict=True):
        assert torch.equal(found, expected)
    assert torch.equal(rest.line.weight, whole.line.weight)


def test_predictions_keep_the_order_of_the_data_without_augmentation(tmp_path):
    data = load_image_data(ImageRequest(dataset="digits", max_train_samples=32, need_test=True, max_eval_samples=30))
    network, trainer = train(tmp_path, data)
    for split in (data.validation["validation"], data.test["test"]):
        found = trainer.predict(split)
        plain = ((split.pixels.float() / 255 - data.mean[0]) / data.std[0]).flatten(1)
        with torch.no_grad():
            torch.testing.assert_close(torch.from_numpy(found.predictions), network.line(plain), rtol=1e-4, atol=1e-5)
        assert found.label_ids.tolist() == split.labels.tolist()
