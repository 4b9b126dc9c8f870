"""One class swapped, everything else as it was: each way of using ``Trainer`` is run twice, with stock and with the swap, and
must leave the same logs, events, weights, scores, predictions and checkpoints. What differs on purpose is in
docs/trainer.md and has tests of its own."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lines import Growing, Line, OnlyLoss, Points, Stream, columns, noisy, plane
from test_trainer import Rows, no_dropout
from torch.nn import functional as F
from transformers import EarlyStoppingCallback, Trainer, TrainerCallback
from transformers import TrainingArguments as Arguments

from logitmix_hf import MixArguments, MixTrainer

# --- one use and what it leaves ----------------------------------------------------------------------------------------

EVENTS = [name for name in dir(TrainerCallback) if name.startswith("on_") and name != "on_prediction_step"]
CLOCKS = ("runtime", "per_second", "_time")
TERMS = ("loss_cls",)


class Events(TrainerCallback):
    """Every event, in order."""

    def __init__(self) -> None:
        self.seen: list[str] = []


for event in EVENTS:
    setattr(Events, event, lambda self, args, state, control, name=event, **kwargs: self.seen.append(name))


def near(prediction) -> dict[str, float]:
    guesses = prediction.predictions[0] if isinstance(prediction.predictions, tuple) else prediction.predictions
    labels = prediction.label_ids[0] if isinstance(prediction.label_ids, tuple) else prediction.label_ids
    guesses = guesses.argmax(1) if guesses.ndim > labels.ndim else guesses
    return {"near": float((np.abs(guesses - labels) < 0.5).mean())}


class NearByBatch:
    def __init__(self) -> None:
        self.hits: list[float] = []

    def __call__(self, prediction, compute_result):
        self.hits += (abs(prediction.predictions - prediction.label_ids) < 0.5).float().tolist()
        return {"near": float(np.mean(self.hits))} if compute_result else {}


class StopAt(TrainerCallback):
    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_end(self, args, state, control, **kwargs):
        control.should_training_stop = state.global_step >= self.step


Use = Callable[..., Any]


def make(kind, folder, model=None, data=None, callbacks=(), judged=None, own=None, **options):
    """A trainer of one kind; ``own`` are arguments of its own, the rest goes to TrainingArguments."""
    defaults = {"learning_rate": 0.05, "per_device_train_batch_size": 4, "num_train_epochs": 2, "logging_steps": 1}
    quiet = {"use_cpu": True, "report_to": "none", "disable_tqdm": True, "save_strategy": "no"}
    args = Arguments(output_dir=str(folder), **{**quiet, **defaults, **options})
    extra = {"mix": MixArguments(method="vanilla")} if issubclass(kind, MixTrainer) else {}
    data = Points() if data is None else data
    judged = data if judged is None else judged
    own = {name: value() if name == "optimizers" else value for name, value in (own or {}).items()}
    first = {} if "model_init" in own else {"model": (model or Line)()}
    if "optimizers" in own:
        own["optimizers"] = own["optimizers"](first["model"])
    events = Events()
    made = kind(
        **first, args=args, train_dataset=data, eval_dataset=judged, callbacks=[events, *callbacks], **own, **extra
    )
    return made, events


def left(trainer, events) -> dict[str, Any]:
    """All that can be seen of a training that is over."""
    history = [
        {name: value for name, value in line.items() if not name.endswith(CLOCKS) and name not in TERMS}
        for line in trainer.state.log_history
    ]
    folder = trainer.args.output_dir
    best = trainer.state.best_model_checkpoint
    return {
        "log": history,
        "events": events.seen,
        "weights": [value.detach().clone() for value in trainer.model.parameters()],
        "steps": (trainer.state.global_step, trainer.state.epoch, trainer.state.max_steps),
        "best": best and best.replace(folder, ""),
        "checkpoints": sorted(path.name for path in trainer_folder(trainer).glob("checkpoint-*")),
    }


def trainer_folder(trainer):
    return Path(trainer.args.output_dir)


def train(kind, folder, **options):
    trainer, events = make(kind, folder, **options)
    output = trainer.train()
    return {**left(trainer, events), "training_loss": output.training_loss}


def judge(kind, folder, test=None, **options):
    trainer, events = make(kind, folder, **options)
    scores = [trainer.evaluate(), trainer.predict(test or trainer.eval_dataset)]
    metrics = {name: value for name, value in {**scores[0], **scores[1].metrics}.items() if not name.endswith(CLOCKS)}
    return metrics, scores[1].predictions, scores[1].label_ids, events.seen


def judge_nothing(kind, folder):
    trainer, _ = make(kind, folder)
    trainer.eval_dataset = None
    trainer.evaluate()


def resume(kind, folder, stop, again=None, **options):
    options = {"save_strategy": "steps", "save_steps": 1, **options}
    seed(), make(kind, folder, callbacks=[StopAt(stop)], **options)[0].train()
    trainer, events = make(kind, folder, **{**options, **(again or {})})
    trainer.train(resume_from_checkpoint=True)
    return left(trainer, events)


def search(kind, folder):
    pytest.importorskip("optuna")
    own = {"model_init": lambda trial=None: Line()}
    trainer, _ = make(kind, folder, own=own, eval_strategy="epoch")
    rates = iter((0.01, 0.1))
    best = trainer.hyperparameter_search(
        lambda trial: {"learning_rate": trial.suggest_float("learning_rate", *[next(rates)] * 2)},
        direction="minimize",
        n_trials=2,
        backend="optuna",
    )
    return best.run_id, best.objective, best.hyperparameters


def own_loaders(kind, folder):
    class Twice(kind):
        def get_train_dataloader(self):
            return [*super().get_train_dataloader(), *super().get_train_dataloader()]

    return train(Twice, folder, num_train_epochs=1)


def callbacks_come_and_go(kind, folder):
    trainer, events = make(kind, folder)
    stop = StopAt(1)
    trainer.add_callback(stop)
    first = trainer.pop_callback(StopAt) is stop
    trainer.add_callback(StopAt(2))
    trainer.remove_callback(Events)
    trainer.train()
    return (
        first,
        events.seen,
        trainer.state.global_step,
        [type(one).__name__ for one in trainer.callback_handler.callbacks],
    )


def skips_logits(kind, folder):
    trainer, _ = make(kind, folder, model=OnlyLoss, prediction_loss_only=True)
    trainer.args.use_liger_kernel = True
    trainer.evaluate()
    return trainer.model.told


def own_step(kind, folder):
    """Overridden hooks are called, with the arguments that they have."""
    calls = []

    class Watching(kind):
        def training_step(self, model, inputs, num_items_in_batch=None):
            calls.append(sorted(inputs))
            return super().training_step(model, inputs, num_items_in_batch)

        def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
            loss = super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
            return loss if return_outputs else 2 * loss

    return calls, train(Watching, folder)


def weights_in_place(kind, folder):
    """A frozen number stays, and arguments and data are left as they were."""
    trainer, events = make(kind, folder, model=plane)
    trainer.model.a.requires_grad_(False)
    before = trainer.args.to_dict()
    trainer.train()
    return left(trainer, events), before == trainer.args.to_dict(), float(trainer.model.a)


def doubled(outputs, labels, num_items_in_batch=None):
    return 2 * F.l1_loss(outputs[0], labels)


def sgd(model):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    return optimizer, torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)


SAVING = {"save_strategy": "steps", "save_steps": 2, "eval_strategy": "steps", "eval_steps": 2}
BEST = {**SAVING, "load_best_model_at_end": True, "metric_for_best_model": "eval_loss"}
TEXTS: dict[str, Any] = {"model": no_dropout, "data": Rows(), "learning_rate": 1e-3, "per_device_train_batch_size": 8}
MAPPED = {"train_sampling_strategy": "group_by_length", "length_column_name": "length"}

USES: dict[str, Use] = {
    # evaluation
    **{f"judge {form}": lambda k, f, form=form: judge(k, f, model=lambda: Line(form), own={"compute_metrics": near})
       for form in ("tuple", "twice")},
    "judge a dictionary": lambda k, f: judge(k, f, model=lambda: Line("dictionary")),
    "judge an odd number of rows": lambda k, f: judge(k, f, data=Points(19), own={"compute_metrics": near}),
    "judge two labels a row": lambda k, f: judge(
        k, f, model=lambda: Line("twice"), data=Points(names=("labels", "others")), label_names=["labels", "others"]),
    "judge without labels": lambda k, f: judge(k, f, test=Points(labelled=False)),
    "judge changed logits": lambda k, f: judge(
        k, f, own={"compute_metrics": near, "preprocess_logits_for_metrics": lambda logits, labels: logits + 1}),
    "judge by batches": lambda k, f: judge(
        k, f, batch_eval_metrics=True, own={"compute_metrics": NearByBatch()}),
    "judge a stream": lambda k, f: judge(k, f, data=Points(), judged=Stream()),
    "judge objects": lambda k, f: judge(k, f, model=lambda: Line("dictionary"), eval_use_gather_object=True),
    "judge growing rows": lambda k, f: judge(k, f, data=Growing(), per_device_eval_batch_size=4),
    "judge piece by piece": lambda k, f: judge(k, f, eval_accumulation_steps=1),
    "judge the loss alone": lambda k, f: judge(k, f, prediction_loss_only=True),
    "judge with inputs": lambda k, f: judge(
        k, f, model=plane, include_for_metrics=["inputs", "loss"],
        own={"compute_metrics": lambda p: {"x": float(p.inputs.mean()), "worst": float(p.losses.max())}}),
    "judge in half precision": lambda k, f: judge(k, f, bf16_full_eval=True),
    "judge several sets": lambda k, f: train(
        k, f, judged={"one": Points(8), "two": Points(9)}, eval_strategy="epoch"),
    "judge texts": lambda k, f: judge(k, f, **TEXTS, own={"compute_metrics": near}),
    "judge a network of its own name": lambda k, f: judge(k, f, model=plane),
    # skip-logits
    "logits that nobody reads": skips_logits,
    # data
    "train": train,
    "train on texts": lambda k, f: train(k, f, **TEXTS),
    "train a dictionary": lambda k, f: train(k, f, model=lambda: Line("dictionary")),
    "train twice as much": own_loaders,
    "train on a stream": lambda k, f: train(k, f, data=Stream(), judged=Points(), max_steps=7),
    "train on columns": lambda k, f: train(k, f, data=columns()),
    "train on growing rows": lambda k, f: train(k, f, data=Growing(), train_sampling_strategy="sequential"),
    "train on rows by length": lambda k, f: train(
        k, f, **{**TEXTS, "train_sampling_strategy": "group_by_length", "eval_strategy": "no"}),
    "train to the last full batch": lambda k, f: train(k, f, data=Points(19), judged=Points(20), dataloader_drop_last=True),
    "train on an odd number of rows": lambda k, f: train(k, f, data=Points(19)),
    "train with another order": lambda k, f: train(k, f, data_seed=7),
    "train with another seed": lambda k, f: train(k, f, seed=11, model=noisy),
    "train some steps": lambda k, f: train(k, f, max_steps=3),
    "train more steps than an epoch has": lambda k, f: train(k, f, max_steps=12),
    "train a share of an epoch": lambda k, f: train(k, f, num_train_epochs=1.5),
    "judge without rows": judge_nothing,
    "find a batch that fits": lambda k, f: train(k, f, auto_find_batch_size=True),
    "split batches": lambda k, f: train(k, f, accelerator_config={"split_batches": True}),
    "without workers' rows": lambda k, f: train(k, f, remove_unused_columns=False),
    # gradients and losses
    "accumulate": lambda k, f: train(k, f, gradient_accumulation_steps=2),
    "accumulate an odd number": lambda k, f: train(k, f, data=Points(19), gradient_accumulation_steps=3),
    "accumulate a loss function": lambda k, f: train(
        k, f, gradient_accumulation_steps=2, own={"compute_loss_func": doubled}),
    "a step of its own": own_step,
    "smooth labels": lambda k, f: train(k, f, **TEXTS, label_smoothing_factor=0.1),
    "half precision": lambda k, f: train(k, f, **TEXTS, bf16=True),
    "checkpointing": lambda k, f: train(k, f, **TEXTS, gradient_checkpointing=True),
    "noise in embeddings": lambda k, f: train(k, f, **TEXTS, neftune_noise_alpha=0.1),
    "short gradients": lambda k, f: train(k, f, max_grad_norm=0.01),
    "gradients of any length": lambda k, f: train(k, f, max_grad_norm=0.0),
    "a frozen number": weights_in_place,
    "a loss that overflows": lambda k, f: train(k, f, learning_rate=1e30, optim="sgd", max_grad_norm=0.0),
    "a loss that overflows in the log": lambda k, f: train(
        k, f, learning_rate=1e30, optim="sgd", max_grad_norm=0.0, logging_nan_inf_filter=False),
    "another model each time": lambda k, f: train(k, f, own={"model_init": lambda: Line()}),
    "search": search,
    # optimizers
    **{f"optimise by {name}": lambda k, f, name=name: train(k, f, optim=name)
       for name in ("sgd", "adafactor", "adagrad", "rmsprop")},
    "an optimiser of its own": lambda k, f: train(k, f, own={"optimizers": lambda: sgd}),
    "a class of optimisers": lambda k, f: train(
        k, f, own={"optimizer_cls_and_kwargs": (torch.optim.Adam, {"lr": 0.03})}),
    "decay": lambda k, f: train(k, f, **TEXTS, weight_decay=0.3),
    "a warm start": lambda k, f: train(k, f, warmup_steps=4),
    **{f"rate {name}": lambda k, f, name=name, more=more: train(k, f, lr_scheduler_type=name, **more)
       for name, more in {
           "cosine": {}, "constant": {}, "constant_with_warmup": {"warmup_steps": 3}, "inverse_sqrt": {},
           "polynomial": {"lr_scheduler_kwargs": {"power": 2.0}},
           "cosine_with_min_lr": {"lr_scheduler_kwargs": {"min_lr": 0.01}},
           "reduce_lr_on_plateau": {"eval_strategy": "epoch", "metric_for_best_model": "eval_loss",
                                    "lr_scheduler_kwargs": {"patience": 0}, "num_train_epochs": 4, "learning_rate": 2.0},
       }.items()},
    # callbacks
    "callbacks come and go": callbacks_come_and_go,
    "stop by a callback": lambda k, f: train(k, f, callbacks=[StopAt(3)]),
    "stop early": lambda k, f: train(
        k, f, **{**BEST, "learning_rate": 3.0}, num_train_epochs=6, callbacks=[EarlyStoppingCallback(1)]),
    "events of every kind": lambda k, f: train(k, f, **SAVING, logging_steps=3),
    "events by epoch": lambda k, f: train(
        k, f, eval_strategy="epoch", save_strategy="epoch", logging_strategy="epoch"),
    "events from the first step": lambda k, f: train(k, f, logging_first_step=True, logging_steps=4, eval_on_start=True),
    "events after a while": lambda k, f: train(k, f, eval_strategy="steps", eval_steps=2, eval_delay=5),
    "events by shares": lambda k, f: train(
        k, f, eval_strategy="steps", eval_steps=0.3, logging_steps=0.2, save_strategy="steps", save_steps=0.5),
    "no log": lambda k, f: train(k, f, logging_strategy="no"),
    # checkpoints and the best model
    "save": lambda k, f: train(k, f, save_strategy="steps", save_steps=2),
    "save a few": lambda k, f: train(k, f, save_strategy="steps", save_steps=2, save_total_limit=2),
    "save the model alone": lambda k, f: train(k, f, save_strategy="epoch", save_only_model=True),
    "save the best": lambda k, f: train(
        k, f, **{**SAVING, "save_strategy": "best"}, metric_for_best_model="eval_loss", learning_rate=0.5),
    "load the best": lambda k, f: train(k, f, **BEST, learning_rate=1.5),
    "load the best of a network": lambda k, f: train(k, f, **BEST, model=plane, learning_rate=1.5),
    "load the best and keep one": lambda k, f: train(k, f, **BEST, learning_rate=1.5, save_total_limit=1),
    "load the best by epoch": lambda k, f: train(
        k, f, eval_strategy="epoch", save_strategy="epoch", load_best_model_at_end=True, num_train_epochs=4, learning_rate=1.5),
    "load the greatest": lambda k, f: train(
        k, f, **{**BEST, "metric_for_best_model": "near"}, greater_is_better=True, own={"compute_metrics": near}),
    # resume
    **{f"resume {name} after {stop}": lambda k, f, stop=stop, more=more: resume(k, f, stop, **more)
       for name, more in {
           "a line": {}, "noise": {"model": noisy}, "with accumulation": {"gradient_accumulation_steps": 2},
           "texts": {**TEXTS, "num_train_epochs": 3},
       }.items() for stop in (2, 3)},
    "resume the first rows": lambda k, f: resume(k, f, 3, ignore_data_skip=True),
    "resume at an epoch's end": lambda k, f: resume(k, f, 5, model=noisy),
    "resume with other intervals": lambda k, f: resume(k, f, 3, again={"logging_steps": 2, "save_steps": 3}),
    "resume a longer training": lambda k, f: resume(k, f, 3, again={"num_train_epochs": 4}),
    "resume from nowhere": lambda k, f: make(k, f)[0].train(resume_from_checkpoint=str(f / "checkpoint-7")),
    "resume without a checkpoint": lambda k, f: make(k, f)[0].train(resume_from_checkpoint=True),
}  # fmt: skip


def seed() -> None:
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


def outcome(use: Use, kind: type, folder) -> Any:
    """What a use leaves, or the class of its error."""
    seed()
    try:
        return use(kind, folder)
    except Exception as problem:
        return type(problem)


def same(one: Any, other: Any, path: str = "") -> None:
    """Numbers of texts may differ by rounding: their loss is summed in another order."""
    if isinstance(one, dict):
        assert one.keys() == other.keys(), path
        for name in one:
            same(one[name], other[name], f"{path}.{name}")
    elif isinstance(one, list | tuple):
        assert len(one) == len(other), path
        for number, pair in enumerate(zip(one, other, strict=True)):
            same(*pair, f"{path}[{number}]")
    elif isinstance(one, float | np.ndarray | torch.Tensor):
        np.testing.assert_allclose(np.asarray(other), np.asarray(one), rtol=2e-4, atol=1e-6, err_msg=path)
    else:
        assert one == other, path


@pytest.mark.parametrize("name", USES)
def test_the_swap_leaves_what_stock_leaves(tmp_path, name):
    stock = outcome(USES[name], Trainer, tmp_path / "stock")
    assert not isinstance(stock, type) or name in REFUSED, stock
    same(stock, outcome(USES[name], MixTrainer, tmp_path / "swap"))


REFUSED = {"judge without rows", "resume from nowhere", "resume without a checkpoint"}
