"""``logitmix glue --lora`` and ``--members N``: what is trained, and what is left behind."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from huggingface_hub import constants
from loopback_hub import LoopbackHub
from processes import start_two
from pushing import TOKEN, plain_client  # noqa: F401  (a fixture)
from safetensors.torch import load_file
from tinyrun import flags
from transformers import AutoModelForSequenceClassification, AutoTokenizer, TrainingArguments, pipeline

import logitmix_hf.ensembles  # noqa: F401  what somebody who loads members writes
from logitmix_hf import MixArguments, MixTrainer
from logitmix_hf.cli import main
from logitmix_hf.evaluation import Predictions
from logitmix_hf.models.folding import unfold

peft = pytest.importorskip("peft")
TEXTS = ["a good film", "a bad meal was not very good"]


def run(model, files, output, **changes):
    return main(["glue", *flags(model, files, output, **{"learning_rate": 5e-3, "bootstrap": 0, **changes})])


def adapter(folder, number=0):
    return load_file(folder / "adapters" / f"member_{number}" / "adapter_model.safetensors")


@torch.no_grad()
def logits(model, folder, texts=TEXTS):
    return model.eval()(**AutoTokenizer.from_pretrained(folder)(texts, return_tensors="pt", padding=True)).logits


@pytest.fixture(scope="module")
def members(tiny_model, files, tmp_path_factory):
    folder = tmp_path_factory.mktemp("members") / "run"
    assert run(tiny_model, files, folder, members=3, seed=5, protocol="halves", num_train_epochs=2, ema=0.9) == 0
    return folder


@pytest.mark.slow
def test_two_processes_train_the_members_of_one(tiny_model, files, tmp_path):
    """Each has one of the two micro-batches that one process takes a step over; nothing is drawn, as each draws its own."""
    calm = shutil.copytree(tiny_model, tmp_path / "calm")
    config = json.loads((calm / "config.json").read_text())
    (calm / "config.json").write_text(
        json.dumps(config | {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0})
    )
    options = {"method": "vanilla", "members": 2, "lora_dropout": 0, "max_steps": 3, "per_device_train_batch_size": 4}
    options |= {"learning_rate": 5e-3, "bootstrap": 0, "seed": 5, "eval_strategy": "no", "save_strategy": "no"}
    assert run(str(calm), files, tmp_path / "one", gradient_accumulation_steps=2, **options) == 0
    both = start_two(flags(str(calm), files, tmp_path / "two", **options))
    ends = [process.communicate(timeout=300) for process in both]
    assert [process.returncode for process in both] == [0, 0], ends
    for number in (0, 1):
        mine, theirs = adapter(tmp_path / "two", number), adapter(tmp_path / "one", number)
        assert mine.keys() == theirs.keys()
        for name, value in mine.items():
            torch.testing.assert_close(value, theirs[name], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("method", ["vanilla", "mixup", "logitmix"])
def test_a_member_is_what_a_run_of_its_own_seed_leaves(tiny_model, files, tmp_path, method):
    """Data order is the run's, so that the lone run takes it by --data_seed; the norm of each is clipped alone."""
    options = {"method": method, "num_train_epochs": 1, "lora_dropout": 0.1, "max_grad_norm": 0.05}
    assert run(tiny_model, files, tmp_path / "two", members=2, seed=5, **options) == 0
    assert run(tiny_model, files, tmp_path / "one", lora="true", seed=6, data_seed=5, **options) == 0
    mine, theirs = adapter(tmp_path / "two", 1), adapter(tmp_path / "one")
    assert mine.keys() == theirs.keys()
    for name, value in mine.items():
        torch.testing.assert_close(value, theirs[name], atol=1e-5, rtol=1e-4)
    assert not torch.allclose(next(iter(mine.values())), next(iter(adapter(tmp_path / "two", 0).values())))


def test_a_lone_adapter_is_what_peft_trains(tiny_model, files, tmp_path):
    """The same first weights, in a PeftModel of the user's own that stock settings train, without dropout."""
    still = {"lora": "true", "method": "vanilla", "lora_r": 4, "num_train_epochs": 2, "seed": 3}
    base = AutoModelForSequenceClassification.from_pretrained(tiny_model, num_labels=2)
    for name in ("hidden_dropout_prob", "attention_probs_dropout_prob"):
        setattr(base.config, name, 0.0)
    base.save_pretrained(tmp_path / "base")
    AutoTokenizer.from_pretrained(tiny_model).save_pretrained(tmp_path / "base")
    assert run(tmp_path / "base", files, tmp_path / "run", **still) == 0

    network = AutoModelForSequenceClassification.from_pretrained(tmp_path / "base")
    config = peft.LoraConfig(r=4, lora_alpha=8, target_modules=["query", "value"], modules_to_save=["classifier"])
    own = peft.get_peft_model(network, config)
    with torch.random.fork_rng():
        torch.manual_seed(3)
        for module in own.modules():
            if isinstance(module, peft.tuners.lora.LoraLayer):
                module.reset_lora_parameters("default", True)
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    lines = [line.rsplit(",", 1) for line in (files / "train.csv").read_text().splitlines()[1:]]
    names = json.loads((tmp_path / "run" / "config.json").read_text())["label2id"]
    rows = [
        {**tokenizer(text.strip('"'), max_length=32, truncation=True), "labels": names[star.strip('"')]}
        for text, star in lines
    ]
    args = TrainingArguments(
        str(tmp_path / "own"), num_train_epochs=2, learning_rate=5e-3, seed=3, use_cpu=True, save_strategy="no",
        report_to="none", disable_tqdm=True,
    )  # fmt: skip
    trainer = MixTrainer(own, args, mix=MixArguments(method="vanilla"), train_dataset=rows, processing_class=tokenizer)
    trainer.train()
    own.save_pretrained(tmp_path / "own")
    theirs = load_file(tmp_path / "own" / "adapter_model.safetensors")
    for name, value in adapter(tmp_path / "run").items():
        torch.testing.assert_close(value, theirs[name], atol=1e-5, rtol=1e-4)


def test_a_lone_adapter_leaves_a_plain_classifier_and_itself(tiny_model, files, tmp_path, capsys):
    assert run(tiny_model, files, tmp_path / "run", lora="true", protocol="halves", method="vanilla") == 0
    assert "Training a LoRA adapter: rank 8 at query, value" in capsys.readouterr().err
    folder = tmp_path / "run"
    record = json.loads((folder / "run.json").read_text())
    assert record["model"]["lora"]["members"] == 1
    assert record["arguments"]["learning_rate"] == 5e-3
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    assert type(model).__name__ == "BertForSequenceClassification"
    temperature = unfold(model)
    base = AutoModelForSequenceClassification.from_pretrained(tiny_model, num_labels=2)
    alone = peft.PeftModel.from_pretrained(base, folder / "adapters" / "member_0")
    torch.testing.assert_close(logits(model, folder), logits(alone, folder), atol=1e-5, rtol=1e-4)
    assert temperature == pytest.approx(json.loads((folder / "eval_results.json").read_text())["temperature"])
    assert Predictions.load(folder / "predictions" / "validation.parquet").members is None


def test_members_leave_one_classifier(members, tiny_model):
    results = json.loads((members / "eval_results.json").read_text())
    assert len(results["eval_member_accuracies"]) == 3
    record = json.loads((members / "run.json").read_text())
    assert (record["status"], record["model"]["lora"]["members"]) == ("done", 3)
    model = AutoModelForSequenceClassification.from_pretrained(members)
    each = []
    for number in range(3):
        base = AutoModelForSequenceClassification.from_pretrained(tiny_model, num_labels=2)
        each.append(logits(peft.PeftModel.from_pretrained(base, members / "adapters" / f"member_{number}"), members))
    # The temperature of all together is in the heads of all, also where peft reads them.
    torch.testing.assert_close(logits(model, members), torch.stack(each).mean(0), atol=1e-6, rtol=1e-5)
    kept = Predictions.load(members / "predictions" / "validation.parquet")
    assert kept.members is not None
    assert kept.members.shape[1:] == (3, 2)
    before = Predictions.load(members / "predictions" / "calibration.parquet")
    np.testing.assert_allclose(before.logits, kept.members.mean(1), atol=1e-6)


def test_the_last_table_has_a_row_for_each_member(tiny_model, files, tmp_path, capsys):
    assert run(tiny_model, files, tmp_path / "run", members=2, method="vanilla") == 0
    out = capsys.readouterr()
    assert "vanilla, 2 LoRA members" in out.out
    assert [line.split()[:2] for line in out.out.splitlines() if line.startswith("member ")] == [
        ["member", "0"],
        ["member", "1"],
    ]
    assert "members answer differently on" in out.err + out.out
    assert "(--members implies --lora)" in out.err
    assert "Each step takes the passes of 2 runs" in out.err


def test_what_is_pushed_loads_as_the_members_that_it_was(members, tmp_path, monkeypatch):
    with LoopbackHub(token=TOKEN) as hub:
        monkeypatch.setattr(constants, "ENDPOINT", hub.endpoint)
        assert main(["push", str(members), "--hub_model_id", "ada/three", "--hub_token", TOKEN]) == 0
    pushed = hub.repos["ada/three"]["main"]
    for name, content in pushed.items():
        path = tmp_path / "down" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    assert {f"adapters/member_{k}/adapter_model.safetensors" for k in range(3)} < pushed.keys()
    found = AutoModelForSequenceClassification.from_pretrained(tmp_path / "down")
    mine = AutoModelForSequenceClassification.from_pretrained(members)
    assert torch.equal(logits(found, tmp_path / "down"), logits(mine, members))
    assert str(members.parent) not in (tmp_path / "down" / "adapters" / "member_0" / "adapter_config.json").read_text()


def test_pipeline_predict_calibrate_export_and_an_ensemble_take_it(members, files, tmp_path):
    answer = pipeline("text-classification", str(members), device="cpu")(TEXTS[0])[0]
    out = tmp_path / "answers.csv"
    (tmp_path / "in.csv").write_text(f"text\n{TEXTS[0]}\n")
    assert main(["predict", "--model", str(members), "--input", str(tmp_path / "in.csv"), "--output", str(out)]) == 0
    assert answer["label"] in out.read_text()
    argv = [
        "--model",
        members,
        "--validation_file",
        files / "validation.csv",
        "--label_column",
        "stars",
        "--save",
        "true",
    ]
    argv += ["--output_dir", tmp_path / "again", "--use_cpu", "true", "--disable_tqdm", "true", "--bootstrap", "0"]
    assert main(["calibrate", *map(str, argv)]) == 0
    again = AutoModelForSequenceClassification.from_pretrained(tmp_path / "again")
    assert type(again).__name__ == "LogitmixAdaptersForSequenceClassification"
    assert main(["card", str(members)]) == 0
    pytest.importorskip("onnxruntime")
    assert main(["export", str(members), "--output", str(tmp_path / "onnx")]) == 0


def test_members_go_on_to_the_weights_of_a_run_never_stopped(members, tiny_model, files, tmp_path):
    options = {"members": 3, "seed": 5, "protocol": "halves", "num_train_epochs": 2, "ema": 0.9}
    options |= {"save_total_limit": 5, "keep_checkpoints": "true"}
    assert run(tiny_model, files, tmp_path / "run", **options) == 0
    (tmp_path / "run" / "checkpoint-12").rename(tmp_path / "gone")
    assert (
        main(
            [
                "glue",
                *flags(tiny_model, files, tmp_path / "run", learning_rate=5e-3, bootstrap=0, **options),
                "--resume",
            ]
        )
        == 0
    )
    one, other = load_file(members / "model.safetensors"), load_file(tmp_path / "run" / "model.safetensors")
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"lora_r": 4}, "--lora_r 4 is said of LoRA adapters, and none is trained: give --lora"),
        ({"members": 0}, "--members must"),
        (
            {"members": 2, "gradient_checkpointing": "true"},
            "--gradient_checkpointing runs the layers of 2 members again",
        ),
        ({"lora": "true", "lora_targets": "q_proj"}, "is called 'q_proj': query, key, value"),
        ({"members": 2, "do_train": "false"}, "--members 2 trains LoRA adapters, and --do_train false"),
        ({"lora": "true", "lora_dropout": 1.5}, "lora_dropout"),
        ({"lora": "true", "lora_alpha": 0}, "lora_alpha"),
    ],
)
def test_a_mistake_is_one_line(tiny_model, files, tmp_path, capsys, changes, expected):
    assert run(tiny_model, files, tmp_path / "run", **changes) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert expected in line
    assert not (tmp_path / "run").exists()


def test_a_launcher_that_takes_the_network_apart_is_told(tiny_model, files, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("logitmix_hf.training.run.check_asked", lambda training: None)
    monkeypatch.setattr("logitmix_hf.training.text.adapters.os.environ", {"ACCELERATE_USE_FSDP": "true"})
    assert run(tiny_model, files, tmp_path / "run", members=2) == 2
    assert "--fsdp takes it apart" in capsys.readouterr().err


def test_without_peft_there_is_one_line(tiny_model, files, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("logitmix_hf.ensembles.lora.importlib.util.find_spec", lambda name: None)
    assert run(tiny_model, files, tmp_path / "run", members=2) == 2
    assert "error: LoRA needs the package peft, not installed here: pip install" in capsys.readouterr().err


def test_a_folder_of_members_is_not_trained_on(members, files, tmp_path, capsys):
    assert run(members, files, tmp_path / "run") == 2
    assert "is an ensemble of 3 classifiers" in capsys.readouterr().err
    assert run(members, files, tmp_path / "judged", do_train="false", method="vanilla") == 0
