"""The examples run as a reader would run them, on a tiny random model, and do what they say."""

from __future__ import annotations

import re
import runpy
import sys
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from test_image_trainer import Pictures, Plain
from test_trainer import Rows, no_dropout
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from torch.utils.data import DataLoader
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertConfig,
    BertModel,
    PreTrainedTokenizerFast,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

import logitmix_hf
from logitmix_hf import MixArguments
from logitmix_hf.builtin.tasks import generate
from logitmix_hf.steps import build_step

EXAMPLES = Path(__file__).parents[2] / "examples"
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]


@pytest.fixture(scope="module")
def tiny_folder(tmp_path_factory) -> Path:
    """A folder as the Hub would give it: a random BERT without a head, and a tokenizer of the data's words."""
    folder = tmp_path_factory.mktemp("tiny-bert")
    table = generate("rte", "train", rows=200)
    words = sorted({word for text in table["sentence1"] + table["sentence2"] for word in re.findall(r"\w+|\S", text)})
    vocabulary = {word: number for number, word in enumerate([*SPECIAL, *sorted({w.lower() for w in words})])}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    backend.normalizer = normalizers.Lowercase()
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    backend.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]"
    ).save_pretrained(folder)
    torch.manual_seed(0)
    BertModel(
        BertConfig(
            vocab_size=len(vocabulary),
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=64,
            max_position_embeddings=128,
        )
    ).save_pretrained(folder)
    return folder


@pytest.fixture
def run(monkeypatch, capsys, tiny_folder, tmp_path):
    """Run an example with flags; its standard output."""
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))

    def run(name: str, *flags: object) -> str:
        words = [name, "--model", str(tiny_folder), *map(str, flags)]
        monkeypatch.setattr(sys, "argv", words)
        runpy.run_path(str(EXAMPLES / name), run_name="__main__")
        return capsys.readouterr().out

    return run


@pytest.mark.parametrize(
    "flags",
    [
        ["--images", "--mixer", "cutmix", "--mix_start", ".5", "--rows", 64, "--epochs", 2],
        ["--method", "vanilla", "--vwci", 3, "--rows", 16, "--epochs", 1],
    ],
)
def test_the_own_loop_takes_every_method(run, tmp_path, flags):
    told = run("own_loop.py", *flags, "--output_dir", tmp_path / "run")
    assert re.search(r"^accuracy: 0\.\d+$", told, re.MULTILINE)
    assert (tmp_path / "run" / "model.safetensors").is_file()


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    return AutoModelForSequenceClassification.from_pretrained(folder).state_dict()


class StockTrainer(Trainer):
    """What stood in the script before the swap."""

    def __init__(self, *args, mix, **kwargs):
        super().__init__(*args, **kwargs)


def test_the_swapped_script_learns_what_the_stock_one_does(run, monkeypatch, tmp_path):
    pytest.importorskip("datasets")
    flags = ["--rows", 32, "--epochs", 1, "--learning_rate", 1e-3]
    run("swap_trainer.py", "--method", "vanilla", "--output_dir", tmp_path / "swapped", *flags)
    run("swap_trainer.py", "--method", "logitmix", "--output_dir", tmp_path / "mixed", *flags)
    monkeypatch.setattr(logitmix_hf, "MixTrainer", StockTrainer, raising=False)
    run("swap_trainer.py", "--output_dir", tmp_path / "stock", *flags)
    stock, swapped, mixed = (weights_of(tmp_path / name) for name in ("stock", "swapped", "mixed"))
    for name, value in stock.items():
        torch.testing.assert_close(swapped[name], value, atol=1e-6, rtol=1e-5)
    assert not torch.allclose(mixed["classifier.weight"], stock["classifier.weight"], atol=1e-5)


def test_the_swapped_script_saves_a_plain_model_and_logs_the_terms(run, tmp_path):
    pytest.importorskip("datasets")
    told = run("swap_trainer.py", "--rows", 160, "--epochs", 1, "--output_dir", tmp_path / "run")
    assert all(name in told for name in ("loss_mix", "loss_cls", "loss_sim", "lam", "eval_accuracy"))
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "run")
    assert model.config.id2label == {0: "entailment", 1: "not_entailment"}
    batch = AutoTokenizer.from_pretrained(tmp_path / "run")("a cat sleeps", "a cat rests", return_tensors="pt")
    assert model(**batch).logits.shape == (1, 2)


@pytest.mark.parametrize("site", ["middle", "pooled"])
def test_the_loss_of_the_own_loop_falls(run, tmp_path, site):
    flags = ["--rows", 32, "--epochs", 12, "--learning_rate", 5e-3, "--site", site]
    told = run("own_loop.py", *flags, "--output_dir", tmp_path / "run")
    losses = [float(value) for value in re.findall(r"^epoch \d+: loss (\S+)$", told, re.MULTILINE)]
    assert len(losses) == 12
    assert sum(losses[-3:]) < 0.9 * sum(losses[:3])
    scores = dict(re.findall(r"^(\w+): (\S+)$", told, re.MULTILINE))
    assert 0 <= float(scores["oe"]) <= float(scores["ece"]) <= 1
    # The saved folder alone gives the printed accuracy: nothing of the training is needed to use the model.
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "run").eval()
    table = generate("rte", "validation", rows=200)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "run")
    batch = tokenizer(table["sentence1"], table["sentence2"], padding=True, return_tensors="pt")
    with torch.no_grad():
        right = model(**batch).logits.argmax(1) == torch.tensor(table["label"])
    assert float(scores["accuracy"]) == pytest.approx(float(right.float().mean()), abs=1e-4)


def own_gradients(options: dict, model: torch.nn.Module, rows, mix: MixArguments, epochs: int) -> list[torch.Tensor]:
    """The gradients of the last optimiser step that the example's loop makes, two micro-batches each, no shuffling."""
    train_epoch = runpy.run_path(str(EXAMPLES / "own_loop.py"))["train_epoch"]
    accelerator = Accelerator(gradient_accumulation_steps=2, cpu=True)
    optimizer = torch.optim.SGD(model.parameters(), lr=options["learning_rate"])
    loader = DataLoader(rows, options["per_device_train_batch_size"])
    wrapped, prepared, loader = accelerator.prepare(model, optimizer, loader)
    seen: list[torch.Tensor] = []
    optimizer.register_step_pre_hook(
        lambda *_: seen.__setitem__(slice(None), [p.grad.clone() for p in model.parameters() if p.grad is not None])
    )
    for epoch in range(epochs):
        train_epoch(accelerator, build_step(model, mix), wrapped, prepared, loader, options["seed"], epoch, epochs)
    return seen


class LastGradients(TrainerCallback):
    def __init__(self) -> None:
        self.last: list[torch.Tensor] = []

    def on_pre_optimizer_step(self, args, state, control, model=None, **kwargs):
        self.last = [p.grad.clone() for p in model.parameters() if p.grad is not None]


@pytest.mark.parametrize(
    ("kind", "mix"),
    [
        ("texts", MixArguments(method="logitmix", site="layer.1")),
        ("texts", MixArguments(method="regmixup", mix_start=0.5)),
        ("images", MixArguments(method="logitmix", mixer="cutmix", mix_start=0.5)),
        ("images", MixArguments(method="mixup", mixer="mixup,cutmix", lam_per="example")),
        ("images", MixArguments(method="vanilla", vwci=3)),
    ],
)
def test_the_own_loop_has_the_gradients_of_the_trainer(tmp_path, kind, mix):
    """Four optimiser steps each, of two micro-batches; dropout draws in both from the same seed."""
    options = {"learning_rate": 0.05, "per_device_train_batch_size": 4, "seed": 3, "num_train_epochs": 2}
    rows = Rows(16) if kind == "texts" else Pictures(16)
    make = no_dropout if kind == "texts" else (lambda: Plain(dropout=0.3 if mix.vwci else 0.0))
    start = make().state_dict()
    watch = LastGradients()
    args = TrainingArguments(
        str(tmp_path), **options, gradient_accumulation_steps=2, train_sampling_strategy="sequential", max_grad_norm=0.0,
        use_cpu=True, report_to="none", save_strategy="no", disable_tqdm=True, lr_scheduler_type="constant",
    )  # fmt: skip
    model = make()
    model.load_state_dict(start)
    trainer = logitmix_hf.MixTrainer(
        model=model, args=args, mix=mix, train_dataset=rows, callbacks=[watch],
        optimizers=(torch.optim.SGD(model.parameters(), lr=options["learning_rate"]), None),
    )  # fmt: skip
    torch.manual_seed(7)
    set_seed(options["seed"])
    trainer.train()
    model = make()
    model.load_state_dict(start)
    set_seed(options["seed"])
    got = own_gradients(options, model, rows, mix, epochs=2)
    assert len(got) == len(watch.last) > 0
    for ours, theirs in zip(got, watch.last, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-5)
