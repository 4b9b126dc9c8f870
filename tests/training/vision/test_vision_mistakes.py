"""Mistakes of who trains on images: one line that names what was given, what exists and what to do; exit 2; nothing
written."""

from __future__ import annotations

import os

import numpy as np
import pytest
from PIL import Image
from visionrun import flags, pictures, read, tiny_resnet, tiny_vit

from logitmix_hf.commands.glue import main as glue
from logitmix_hf.commands.vision import main


def ends_in_one_line(argv, capfd, *words, command=main) -> str:
    code = command([str(word) for word in argv])
    err = capfd.readouterr().err
    assert code == 2, err
    told = [line for line in err.splitlines() if line.startswith("error: ")]
    assert len(told) == 1
    assert "Traceback" not in err
    for word in words:
        assert word in told[0], told[0]
    return told[0]


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return pictures(tmp_path_factory.mktemp("photos") / "pets", size=16)


HALF = {"mixer": "mixup,cutmix", "mixer_probs": ".5"}
PLAIN = {"method": "vanilla"}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"dataset": "cifar1000"}, ["'cifar1000'", "Did you mean 'cifar100'?", "digits", "ORG/NAME", "./FOLDER"]),
        ({"dataset": "./nowhere"}, ["'./nowhere'", "folder"]),
        ({"dataset": None}, ["--dataset cifar100", "digits"]),
        ({"dataset_config": "plain"}, ["--dataset_config plain", "digits"]),
        ({"model": "resnet81"}, ["'resnet81'", "Did you mean 'resnet18'?", "wideresnet-d-w", "org/name"]),
        ({"model": "wideresnet-27-2"}, ["wideresnet-27-2", "6n + 4", "wideresnet-28-2"]),
        ({"model": "builtin"}, ["'builtin'", "resnet18"]),
        ({"model": "./nowhere"}, ["'./nowhere' is no folder", "resnet18", "org/name"]),
        ({"method": "logitmux"}, ["logitmux", "Did you mean 'logitmix'"]),
        ({"sync_bn": "true"}, ["--sync_bn", "GPUs", "on cpu"]),
        ({"mixer": "cutmux"}, ["'cutmux'", "Did you mean 'cutmix'?", "puzzlemix"]),
        ({"mixer": "spans"}, ["'spans' is not for an image model", "cutmix"]),
        ({"site": "layer.3"}, ["'layer.3' belongs to a text model", "stage.K"]),
        ({"recipe": "papr"}, ["papr", "Did you mean 'paper'?"]),
        ({"site": "stage.9"}, ["stage 9", "digits has stages 1 to 3"]),
        ({"site": "stage.4"}, ["stage 4", "digits has stages 1 to 3", "resnet18 (4)"]),
        ({"site": "stage.1", "mixer": "cutmix"}, ["'cutmix' mixes pixels", "'stage.1'", "mixup or patchup_hard"]),
        ({"site": "pooled", "mixer": "patchup_hard"}, ["'patchup_hard'", "'pooled'", "mixup"]),
        ({"site": "middle", "bn_mode": "separate"}, ["bn_mode 'separate'", "'middle'"]),
        ({"model": "resnet18", "image_size": 4}, ["at least 8 x 8", "got 4 x 4", "image_size", "digits"]),
        ({"stem": "huge"}, ["'huge'", "cifar, imagenet, tiny"]),
        ({"mixer": "puzzlemix", "mixer_options": "blocks=3"}, ["3 blocks", "8 x 8", "2, 4, 8"]),
        ({"mixer": "puzzlemix", "mixer_options": "bloks=4"}, ["'bloks'", "Did you mean 'blocks'?"]),
        (HALF, ["mixer_probs has 1 values (.5) for 2 mixers (mixup, cutmix)"]),
        ({**HALF, "mixer_probs": ".5,.6"}, ["must sum to 1", "1.1", "mix_prob"]),
        ({**HALF, "mixer_probs": "a,b"}, ["'a,b'", ".5,.5"]),
        ({"alpha": -1}, ["alpha", "-1", "at least 0"]),
        ({**PLAIN, "vwci": 3}, ["--vwci", "digits has none", "vgg16_bn"]),
        ({**PLAIN, "vwci": 3, "model": "vgg16_bn", "image_size": 32, "dropout": 0}, ["--vwci", "--dropout 0"]),
        ({"dropout": 0.3}, ["--dropout 0.3", "digits", "vgg16_bn"]),
        ({"channels": 2}, ["1 (grey) or 3 (colour)", "2"]),
        ({"padding": 8, "padding_mode": "reflect"}, ["Reflecting 8 pixels", "more than 8"]),
        ({"crop": "middle"}, ["'middle'", "none, pad, resized"]),
        ({"flip": 3}, ["flip", "3"]),
        ({"ema": 2}, ["ema", "2", "at most 0.99"]),
        ({"ema": 0.9, "load_best_model_at_end": "true"}, ["--ema", "--load_best_model_at_end"]),
        ({"lr_milestones": [0.6, 0.3]}, ["--lr_milestones", "0.6 0.3", "rise"]),
        ({"lr_milestones": 60}, ["--lr_milestones", "60", "shares"]),
        ({"optim": "sdg"}, ["'sdg'", "Did you mean 'sgd'?"]),
        ({"momentum": 0}, ["--nesterov false"]),
        ({"remove_unused_columns": "true"}, ["--remove_unused_columns", "leave it out"]),
        ({"class_weights": 1}, ["class_weights has 1 values", "10 labels"]),
        ({"per_device_train_batch_size": 0}, ["per_device_train_batch_size", "0"]),
        ({"resume": "true"}, ["nothing to resume"]),
        ({"task": "rte"}, ["--task"]),
        ({"mix_attention": "soft"}, ["--mix_attention"]),
        ({"span_choice": "chance"}, ["--span_choice"]),
    ],
)
def test_a_mistake_in_the_flags(tmp_path, capfd, changes, words):
    ends_in_one_line(flags(tmp_path / "out", **changes), capfd, *words)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"mixer": "cutmix"}, ["'cutmix'", "a text model", "spans"]),
        ({"site": "stage.2"}, ["'stage.2' belongs to an image model", "embeddings"]),
        ({"mixer_probs": "1"}, ["--mixer_probs"]),
        ({"bn_mode": "joint"}, ["--bn_mode"]),
        ({"lr_milestones": 0.5}, ["--lr_milestones"]),
    ],
)
def test_what_is_for_images_only_is_refused_for_text(tmp_path, capfd, changes, words):
    argv = ["--task", "rte", "--dataset_name", "builtin", "--output_dir", str(tmp_path / "out")]
    argv += [word for name, value in changes.items() for word in (f"--{name}", str(value))]
    ends_in_one_line(argv, capfd, *words, command=glue)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["uoft-cs/cifar10", "cifar100", "my/pets"])
def test_the_hub_out_of_reach_for_data(tmp_path, capfd, name):
    ends_in_one_line(flags(tmp_path / "out", dataset=name), capfd, name, "out of reach", "--dataset digits", "folder")
    assert not (tmp_path / "out").exists()


def test_the_hub_out_of_reach_for_a_network(tmp_path, capfd):
    words = ["'some/network'", "out of reach", "--model resnet18", "local folder"]
    ends_in_one_line(flags(tmp_path / "out", model="some/network"), capfd, *words)
    assert not (tmp_path / "out").exists()


# --- folders and data sets -------------------------------------------------------------------------------------------


def test_folders_that_cannot_be_used(tmp_path, capfd):
    empty, loose, out = tmp_path / "empty", tmp_path / "loose", tmp_path / "out"
    empty.mkdir()
    loose.mkdir()
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(loose / "a.png")
    ends_in_one_line(flags(out, dataset=empty), capfd, str(empty), "no folder per class", "empty/CLASS/")
    ends_in_one_line(flags(out, dataset=loose), capfd, "1 images lie right in it", "loose/CLASS/")
    hole = pictures(tmp_path / "hole", size=8, count=2)
    (hole / "emu").mkdir()
    ends_in_one_line(flags(out, dataset=hole), capfd, "emu has no images", "fill or remove")
    one = pictures(tmp_path / "one", size=8, count=2, classes=("cat",))
    ends_in_one_line(flags(out, dataset=one), capfd, "single class folder, 'cat'")
    ends_in_one_line(flags(out, dataset=hole / "cat" / "00.png"), capfd, "00.png", "is a file", "folder")
    assert not out.exists()


def test_what_only_the_images_tell(photos, tmp_path, capfd):
    out, cache = tmp_path / "out", {"cache_dir": tmp_path / "cache"}
    odd = pictures(tmp_path / "odd", size=10, count=3)
    puzzle = {"mixer": "puzzlemix", "mixer_options": "blocks=4"}
    ends_in_one_line(flags(out, dataset=odd, **puzzle, **cache), capfd, "4 blocks", "10 x 10", "2, 5, 10")
    small = pictures(tmp_path / "small", size=4, count=3)
    words = ["at least 8 x 8", "got 4 x 4"]
    ends_in_one_line(flags(out, dataset=small, model="resnet18", **cache), capfd, *words)
    ends_in_one_line(flags(out, dataset=photos, do_predict="true", **cache), capfd, "no folder 'test'", "--do_predict")
    broken = pictures(tmp_path / "broken", size=8, count=3)
    (broken / "dog" / "01.png").write_bytes(b"no picture")
    ends_in_one_line(flags(out, dataset=broken, **cache), capfd, "dog/01.png", "--skip_corrupt")
    assert not out.exists()


def test_what_would_spoil_the_data_or_the_machine(photos, tmp_path, capfd, monkeypatch):
    inside = flags(photos / "runs" / "one", dataset=photos)
    ends_in_one_line(inside, capfd, "--output_dir", "lies in --dataset", "elsewhere")
    monkeypatch.chdir(photos)
    ends_in_one_line(flags(None, dataset="."), capfd, "--output_dir runs/pets-digits", "lies in --dataset .")
    out, cache = tmp_path / "out", {"cache_dir": tmp_path / "cache", "memory_limit": 0}
    words = ["16 images of 100000 x 100000 take 1,788 GiB", "--image_size", "--per_device_train_batch_size"]
    ends_in_one_line(flags(out, dataset=photos, image_size=100_000, **cache), capfd, *words)
    words = ["--ood odd=", "is the data itself"]
    ends_in_one_line(flags(out, dataset=photos, ood=f"odd={photos.parent}/./pets"), capfd, *words)
    ends_in_one_line(flags(out, dataset="digits", ood="odd=digits"), capfd, "--ood odd=digits is the data itself")
    for flag in ("dataset", "cache_dir", "model"):
        nobody = {"dataset": photos, flag: "~nobody-at-all/pets"}
        ends_in_one_line(flags(out, **nobody), capfd, "'~nobody-at-all/pets'", "home", "whole path")
    assert not out.exists()
    assert sorted(path.name for path in photos.iterdir()) == ["cat", "dog"]


def test_columns_that_are_missing_or_hold_no_labels(photos, tmp_path, capfd):
    from datasets import Dataset
    from datasets import Image as ImageFeature

    rows = [{"bytes": path.read_bytes(), "path": None} for path in sorted(photos.rglob("*.png"))[:4]]
    (tmp_path / "hub" / "data").mkdir(parents=True)
    values = {"picture": rows, "kind": ["a", "b", "a", "b"], "share": [0.5, 1.5, 2.5, 3.5]}
    made = Dataset.from_dict(values).cast_column("picture", ImageFeature())
    made.to_parquet(tmp_path / "hub" / "data" / "train-00000-of-00001.parquet")
    out, base = tmp_path / "out", {"dataset": tmp_path / "hub", "cache_dir": tmp_path / "cache"}
    ends_in_one_line(flags(out, **base), capfd, "no column 'label'", "'kind'", "--label_column")
    ends_in_one_line(flags(out, **base, label_column="knd"), capfd, "'knd'", "Did you mean 'kind'?")
    ends_in_one_line(flags(out, **base, label_column="share"), capfd, "'share' holds real values, not labels")
    words = ["column 'kind' holds no images", "'picture'"]
    ends_in_one_line(flags(out, **base, label_column="kind", image_column="kind"), capfd, *words)
    words = ["no split 'test' for --do_predict", "'train'"]
    ends_in_one_line(flags(out, **base, label_column="kind", do_predict="true"), capfd, *words)
    assert not out.exists()


# --- pretrained networks ---------------------------------------------------------------------------------------------


def test_a_pretrained_network_that_does_not_fit(photos, tmp_path, capfd):
    vit, out, base = tiny_vit(tmp_path / "vit"), tmp_path / "out", {"dataset": photos, "cache_dir": tmp_path / "cache"}
    ends_in_one_line(flags(out, **base, model=vit, site="stage.7"), capfd, "stage 7", "stages 1 to 2")
    ends_in_one_line(flags(out, **base, model=vit, channels=1), capfd, "3 channels", "has 1", "--channels 3")
    ends_in_one_line(flags(out, **base, model=vit, stem="cifar"), capfd, "--stem cifar", "leave it out")
    ends_in_one_line(flags(out, **base, model=vit, vwci=2, method="vanilla"), capfd, "--vwci", "has none")
    ends_in_one_line(flags(out, **base, model=photos), capfd, "without config.json")
    resnet = tiny_resnet(tmp_path / "resnet")
    ends_in_one_line(flags(out, **base, model=resnet, site="stage.3"), capfd, "stage 3", "stages 1 to 2")
    (resnet / "model.safetensors").unlink()
    ends_in_one_line(flags(out, **base, model=resnet), capfd, str(resnet), "cannot be loaded")
    assert not out.exists()


# --- the run folder --------------------------------------------------------------------------------------------------


def test_a_folder_with_another_run(tmp_path, capfd):
    out = tmp_path / "out"
    argv = flags(out, method="vanilla", save_strategy="no", max_steps=1)
    assert main(argv) == 0
    capfd.readouterr()
    before = (out / "model.safetensors").read_bytes()
    ends_in_one_line(argv, capfd, "--resume", "--overwrite")
    ends_in_one_line([*argv, "--resume", "--padding", "2"], capfd, "--padding was not set, is now 2")
    ends_in_one_line([*argv, "--resume", "--model", "resnet18"], capfd, "--model was 'digits', is now 'resnet18'")
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.tex").write_text("years of work")
    ends_in_one_line(flags(mine, overwrite="true"), capfd, "thesis.tex")
    assert (out / "model.safetensors").read_bytes() == before
    assert main([*argv, "--overwrite", "--seed", "3"]) == 0
    assert (out / "model.safetensors").read_bytes() != before


def test_help_groups_the_flags_of_images_alone(capfd):
    with pytest.raises(SystemExit) as end:
        main(["--help"])
    assert end.value.code == 0
    out = capfd.readouterr().out
    places = [out.index(f"\n{group}:") for group in ("data", "model", "mixing", "loss", "run")]
    assert places == sorted(places)
    assert all(word in out for word in ("--dataset", "--mixer_probs", "--ema", "--lr_milestones", "--learning_rate"))
    assert out.startswith("usage: logitmix vision [flags]\n")
    assert "default: None" not in out
    assert "--max-eval-samples" not in out  # one spelling
    assert not any(word in out for word in ("--mix_attention", "--span_choice", "--max_length", "--task "))


def test_a_run_that_judges_nothing_and_reads_names_that_are_no_text_ends_whole(tmp_path, capfd):
    root = pictures(tmp_path / os.fsdecode(b"pets\xff"), size=8, count=8)
    strange = root / "cat" / os.fsdecode(b"\xfe.png")
    strange.write_bytes(b"")
    argv = flags(tmp_path / "out", dataset=root, validation_share=0, skip_corrupt="true", cache_dir=tmp_path / "cache")
    with pytest.warns(UserWarning, match="1 of 17 images of train cannot be read and were left out"):
        assert main(argv) == 0
    told = "--eval_strategy no in place of epoch: --validation_share 0 leaves nothing to judge on"
    assert told in capfd.readouterr().err
    assert read(tmp_path / "out" / "data.json")["left_out"][0]["place"] == f"cat/{strange.name}"
