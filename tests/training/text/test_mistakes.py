"""Mistakes of the user: one line that names what was given, what exists and what to do; exit 2; nothing written."""

from __future__ import annotations

import json

import pytest
from hubclient import httpx
from processes import start
from tinyrun import flags

from logitmix_hf.cli import main as logitmix
from logitmix_hf.commands.glue import main


def ends_in_one_line(argv, capfd, *words, command=main) -> str:
    code = command([str(word) for word in argv])
    streams = capfd.readouterr()
    assert code == 2, streams.err
    told = [line for line in streams.err.splitlines() if line.startswith("error: ")]
    assert len(told) == 1
    assert "Traceback" not in streams.err
    for word in words:
        assert word in told[0], told[0]
    return told[0]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"metod": "mixup"}, ["--metod", "Did you mean '--method'"]),
        ({"method": "logitmux"}, ["logitmux", "Did you mean 'logitmix'", "vanilla"]),
        ({"site": "layr.1"}, ["layr.1", "embeddings"]),
        ({"site": "layer.7"}, ["layer 7", "layers 1 to 3"]),
        ({"mixer": "cutmix"}, ["cutmix", "spans"]),
        ({"recipe": "papr"}, ["papr", "Did you mean 'paper'", "mixup_transformer"]),
        ({"alpha": "-1"}, ["alpha", "-1", "at least 0"]),
        ({"alpha": "much"}, ["alpha", "much"]),
        ({"w_sim": "-0.5"}, ["w_sim", "-0.5"]),
        ({"method": "vanilla", "w_cls": "0"}, ["all 0"]),
        ({"mix_prob": "1.5"}, ["mix_prob", "1.5", "at most 1"]),
        ({"mix_start": "nan"}, ["mix_start"]),
        ({"train_file": "nowhere.csv"}, ["nowhere.csv"]),
        ({"label_column": "star"}, ["star", "stars", "text"]),
        ({"text_columns": "txt"}, ["txt", "text"]),
        ({"task": "rte"}, ["--task rte", "--train_file"]),
        ({"per_device_train_batch_size": "0"}, ["per_device_train_batch_size", "0"]),
        ({"num_train_epochs": "-1"}, ["num_train_epochs", "-1"]),
        ({"num_train_epochs": "0"}, ["num_train_epochs", "0"]),
        ({"learning_rate": "0"}, ["learning_rate"]),
        ({"max_length": "100000"}, ["100000", "64 tokens"]),
        ({"bins": "0"}, ["bins"]),
        ({"warmup_ratio": "0.1"}, ["warmup_ratio", "--warmup_steps"]),
        ({"class_weights": "1"}, ["class_weights has 1 values", "2 labels (down, up)"]),
        ({"model": "./no/model/here"}, ["./no/model/here", "builtin"]),
        ({"early_stopping": "2"}, ["--load_best_model_at_end"]),
        ({"metric_for_best_model": "acuracy"}, ["'acuracy'", "Did you mean 'accuracy'", "ece", "loss"]),
        ({"metric_for_best_model": "eval_pearson"}, ["'pearson'", "accuracy", "brier"]),
        ({"metric_for_best_model": "confidence_gap"}, ["confidence_gap", "Take ece"]),
        ({"metric_for_best_model": "ece", "greater_is_better": "true"}, ["worst ece", "leave the flag out"]),
        ({"metric_for_best_model": "f1", "greater_is_better": "false"}, ["worst f1", "leave the flag out"]),
        ({"do_predict": "true"}, ["--test_file"]),
        ({"resume": "true"}, ["nothing to resume"]),
        ({"seed": "-1"}, ["seed", "-1", "at least 0"]),
        ({"data_seed": "4294967296"}, ["data_seed", "4294967296"]),
        ({"num_train_epochs": "-1", "max_steps": "2"}, ["num_train_epochs", "-1"]),
        ({"max_steps": "0"}, ["max_steps", "-1 for --num_train_epochs"]),
        ({"max_steps": "-5"}, ["max_steps", "-5"]),
        ({"warmup_steps": "nan"}, ["warmup_steps", "nan"]),
        ({"weight_decay": "-1"}, ["weight_decay", "-1"]),
        ({"max_grad_norm": "nan"}, ["max_grad_norm", "nan"]),
        ({"dataloader_num_workers": "-1"}, ["dataloader_num_workers", "-1"]),
        ({"dataloader_num_workers": "1", "dataloader_prefetch_factor": "0"}, ["dataloader_prefetch_factor", "least 1"]),
        ({"save_steps": "0"}, ["save_steps", "above 0"]),
        ({"logging_steps": "-1"}, ["logging_steps", "-1"]),
        ({"eval_steps": "nan"}, ["eval_steps", "nan"]),
        ({"adam_beta1": "1"}, ["adam_beta1", "at most 0.999999"]),
        ({"ema": "1"}, ["ema", "at most 0.999999"]),
        ({"lr_scheduler_kwargs": "abc"}, ["lr_scheduler_kwargs", "JSON object", "'abc'"]),
        ({"lr_scheduler_kwargs": '{"power": "x"}', "lr_scheduler_type": "polynomial"}, ["polynomial", "'power': 'x'"]),
        ({"gradient_checkpointing_kwargs": '{"reentrant": 1}'}, ["'reentrant'", "use_reentrant"]),
        ({"accelerator_config": "absent.json"}, ["--accelerator_config 'absent.json'", "JSON"]),
        ({"torch_compile_backend": "inducktor"}, ["'inducktor'", "Did you mean 'inductor'"]),
        ({"eval_do_concat_batches": "false"}, ["--eval_do_concat_batches", "Leave it out"]),
        ({"model": ""}, ["--model is empty (a variable that is not set?)"]),
        ({"train_file": " "}, ["--train_file is empty"]),
        ({"output_dir": ""}, ["--output_dir is empty"]),
        ({"run_name": ""}, ["--run_name is empty"]),
        ({"label_column": "\n"}, ["--label_column is empty"]),
        ({"model": __file__}, ["test_mistakes.py' is a file", "give the folder"]),
        ({"batch_eval_metrics": "true"}, ["--batch_eval_metrics", "all rows"]),
        ({"prediction_loss_only": "true"}, ["--prediction_loss_only", "Leave it out"]),
        ({"label_names": "stars"}, ["--label_names", "--label_column"]),
        ({"optim": "adamw_bnb_8bit"}, ["--optim adamw_bnb_8bit", "bitsandbytes"]),
        ({"fsdp": "true"}, ["FSDP", "started alone", "accelerate launch"]),
        ({"fsdp": "full"}, ["--fsdp", "'full'", "full_shard", "true"]),
        ({"fsdp": "true", "fsdp_config": "absent.json"}, ["--fsdp_config 'absent.json'", "JSON"]),
        ({"fsdp": "true", "fsdp_config": __file__}, ["--fsdp_config", "test_mistakes.py", "JSON"]),
        ({"use_liger_kernel": "true"}, ["--use_liger_kernel", "liger-kernel"]),
        ({"lr_scheduler_type": "cosine_with_min_lr"}, ["--lr_scheduler_type cosine_with_min_lr", "min_lr"]),
        ({"lr_scheduler_kwargs": '{"power_of": 3}', "lr_scheduler_type": "polynomial"}, ["polynomial", "power_of"]),
    ],
)
def test_a_mistake_in_the_flags(tiny_model, files, tmp_path, capfd, changes, words):
    ends_in_one_line(
        flags(**{"model": tiny_model, "files": files, "output": tmp_path / "out", **changes}), capfd, *words
    )
    assert not (tmp_path / "out").exists()


def test_deepspeed_that_is_not_installed(tiny_model, files, tmp_path, capfd, monkeypatch):
    monkeypatch.setattr("logitmix_hf.training.parallel_flags.is_deepspeed_available", lambda: False)
    settings = tmp_path / "zero.json"
    settings.write_text('{"zero_optimization": {"stage": 2}}')
    argv = flags(tiny_model, files, tmp_path / "out", deepspeed=settings)
    ends_in_one_line(argv, capfd, "--deepspeed", "pip install 'logitmix_hf[deepspeed]'")
    monkeypatch.setenv("ACCELERATE_USE_DEEPSPEED", "true")
    ends_in_one_line(flags(tiny_model, files, tmp_path / "out"), capfd, "--use_deepspeed", "pip install")
    assert not (tmp_path / "out").exists()


def test_settings_of_deepspeed_that_cannot_be_read(tiny_model, files, tmp_path, capfd, monkeypatch):
    monkeypatch.setattr("logitmix_hf.training.parallel_flags.is_deepspeed_available", lambda: True)
    for name, text in {"half.json": '{"a":', "list.json": "[1]", "deep.json": "[" * 20000}.items():
        (tmp_path / name).write_text(text)
        ends_in_one_line(flags(tiny_model, files, tmp_path / "out", deepspeed=tmp_path / name), capfd, name, "JSON")
    assert not (tmp_path / "out").exists()


def test_a_report_to_what_is_not_there(tiny_model, files, tmp_path, capfd, monkeypatch):
    monkeypatch.setattr("transformers.integrations.integration_utils.is_codecarbon_available", lambda: False)
    for name, words in {"codecarbon": "pip install codecarbon", "tensorbord": "Did you mean 'tensorboard'?"}.items():
        ends_in_one_line(flags(tiny_model, files, tmp_path / "out", report_to=name), capfd, name, words)
    assert not (tmp_path / "out").exists()


def test_neither_task_nor_file(tiny_model, files, tmp_path, capfd):
    argv = flags(tiny_model, files, tmp_path / "out", train_file=None, validation_file=None)
    ends_in_one_line(argv, capfd, "--task rte", "--train_file")
    ends_in_one_line(["--task", "rtee", "--output_dir", tmp_path / "out"], capfd, "rtee", "Did you mean 'rte'", "mrpc")


BAD_FILES = {
    "empty.csv": (b"", ["empty.csv"]),
    "header.csv": (b"text,stars\n", ["header.csv", "rows"]),
    "binary.csv": (bytes(range(256)) * 4, ["binary.csv"]),
    "data.xlsx": (b"PK", [".xlsx", ".csv"]),
    "nulls.csv": (b"text,stars\ngood film,up\n,down\nbad,\n", ["1", "row"]),
    "mixed.jsonl": (b'{"text": "a", "stars": 1}\n{"text": "b", "stars": "up"}\n', ["stars"]),
    "one.csv": (b"text,stars\ngood,up\nfine,up\nbad,up\n", ["up"]),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_file_that_cannot_be_used(tiny_model, files, tmp_path, capfd, name):
    content, words = BAD_FILES[name]
    (tmp_path / name).write_bytes(content)
    argv = flags(tiny_model, files, tmp_path / "out", train_file=tmp_path / name)
    ends_in_one_line(argv, capfd, *words)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["label_smoothing_factor", "confidence_penalty"])
def test_what_needs_classes_is_refused_for_values(tiny_model, tmp_path, capfd, name):
    (tmp_path / "v.csv").write_text("text,stars\n" + "".join(f"film number {i},{i / 7:.3f}\n" for i in range(40)))
    changes = {"train_file": tmp_path / "v.csv", "validation_file": None, name: 0.1}
    ends_in_one_line(flags(tiny_model, tmp_path, tmp_path / "out", **changes), capfd, name, "0.1", "regression")
    assert not (tmp_path / "out").exists()


def test_a_label_that_train_never_had(tiny_model, files, tmp_path, capfd):
    (tmp_path / "v.csv").write_text("text,stars\ngood,up\nbad,sideways\n")
    argv = flags(tiny_model, files, tmp_path / "out", validation_file=tmp_path / "v.csv")
    ends_in_one_line(argv, capfd, "sideways", "down", "up")


def test_folders_that_hold_something(tiny_model, files, tmp_path, capfd):
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.tex").write_text("years of work")
    for more in ({}, {"overwrite": "true"}):
        ends_in_one_line(flags(tiny_model, files, mine, **more), capfd, "thesis.tex")
    assert (mine / "thesis.tex").read_text() == "years of work"
    (tmp_path / "file").write_text("x")
    ends_in_one_line(flags(tiny_model, files, tmp_path / "file"), capfd, "is a file")


def test_a_folder_with_another_run(tiny_model, files, tmp_path, capfd):
    argv = flags(tiny_model, files, tmp_path / "out", method="vanilla", save_strategy="no")
    assert main(argv) == 0
    capfd.readouterr()
    before = (tmp_path / "out" / "model.safetensors").read_bytes()
    ends_in_one_line(argv, capfd, "--resume", "--overwrite")
    ends_in_one_line([*argv, "--resume", "--learning_rate", "0.5"], capfd, "--learning_rate was 0.001, is now 0.5")
    assert (tmp_path / "out" / "model.safetensors").read_bytes() == before
    assert main([*argv, "--overwrite", "--seed", "3"]) == 0
    assert (tmp_path / "out" / "model.safetensors").read_bytes() != before


def test_a_head_for_other_labels(tiny_model, files, tmp_path, capfd):
    trained = tmp_path / "trained"
    assert main(flags(tiny_model, files, trained, method="vanilla", save_strategy="no")) == 0
    capfd.readouterr()
    (tmp_path / "three.csv").write_text("text,stars\n" + "good,up\nbad,down\nfine,level\n" * 4)
    three = {"train_file": tmp_path / "three.csv", "validation_file": None, "validation_share": "0.3"}
    argv = flags(str(trained), files, tmp_path / "out", **three)
    ends_in_one_line(argv, capfd, "2 labels ('down', 'up')", "3 ('down', 'level', 'up')", "--ignore_mismatched_sizes")
    assert main([*argv, "--ignore_mismatched_sizes"]) == 0


def test_a_folder_that_is_no_model(files, tmp_path, capfd):
    (tmp_path / "empty").mkdir()
    ends_in_one_line(flags(str(tmp_path / "empty"), files, tmp_path / "out"), capfd, "config.json")


def test_commands(capfd):
    ends_in_one_line(["glu"], capfd, "glu", "Did you mean 'glue'", command=logitmix)
    ends_in_one_line(["--task", "rte"], capfd, "logitmix glue --task", command=logitmix)
    ends_in_one_line(["push"], capfd, "logitmix push runs/NAME", command=logitmix)
    ends_in_one_line(["push", "nowhere"], capfd, "nowhere", "run.json", command=logitmix)
    assert logitmix(["--help"]) == 0
    out = capfd.readouterr().out
    assert all(name in out for name in ("glue", "demo", "push"))


def test_help_groups_the_flags(capfd):
    with pytest.raises(SystemExit) as end:
        main(["--help"])
    assert end.value.code == 0
    out = capfd.readouterr().out
    places = [out.index(f"\n{group}:") for group in ("data", "model", "mixing", "loss", "run", "training")[:5]]
    assert places == sorted(places)
    assert "--task" in out
    assert "--learning_rate" in out


def test_no_hub(tmp_path):
    """With nothing cached and no network: one line within seconds that says how to go on, for the data and for the model."""
    words = ["--output_dir", str(tmp_path / "out")]
    asked = [["--task", "rte", "--model", "builtin", *words], ["--task", "sst2", "--dataset_name", "builtin", *words]]
    code = "import json, sys; from logitmix_hf.commands.glue import main; print(*map(main, json.loads(sys.argv[1])))"
    environment = {"HF_HOME": str(tmp_path / "home"), "HF_ENDPOINT": "http://127.0.0.1:9", "HF_HUB_OFFLINE": ""}
    out, err = start([json.dumps(asked)], code=code, **environment).communicate(timeout=120)
    assert out == "2 2\n", err
    lines = [line for line in err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 2
    assert all("out of reach" in line and "builtin" in line for line in lines)
    assert "Traceback" not in err


def test_a_traceback_on_request(tiny_model, files, tmp_path, capfd, monkeypatch):
    monkeypatch.setenv("LOGITMIX_TRACEBACK", "1")
    assert main(flags(tiny_model, files, tmp_path / "out", alpha="-1")) == 2
    err = capfd.readouterr().err
    assert "Traceback" in err
    assert err.strip().splitlines()[-1].startswith("error: ")


def test_a_download_that_breaks_off_is_no_unknown_model():
    from logitmix_hf.models.pretrained import Pretrained, explained

    problem = OSError("Can't load the configuration of 'ada/x'. Make sure 'ada/x' is the correct path …")
    problem.__context__ = httpx.RemoteProtocolError("peer closed connection without sending complete message body")
    assert "the download from" in str(explained(Pretrained("ada/x", "ada/x"), problem))
    assert "cannot be loaded as a text classifier" in str(explained(Pretrained("ada/x", "ada/x"), OSError("no")))
