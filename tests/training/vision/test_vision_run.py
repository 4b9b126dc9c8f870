"""``logitmix vision`` end to end on tiny networks: what a run leaves behind, and that it can be read back."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from drawing import drawn
from PIL import Image
from transformers import AutoModelForImageClassification, pipeline
from visionrun import flags, pictures, read, tiny_resnet, tiny_vit, weights

import logitmix_hf.vision.networks  # noqa: F401  makes them known to transformers
from logitmix_hf.commands.vision import main, parse
from logitmix_hf.evaluation import Predictions, evaluate_predictions
from logitmix_hf.training.vision.trainer import ImageTrainer
from logitmix_hf.vision.data.digits import load_digits


@pytest.fixture(scope="module")
def seen_before_training() -> list[bool]:
    return []


@pytest.fixture(scope="module")
def finished(tmp_path_factory, seen_before_training):
    folder = tmp_path_factory.mktemp("run") / "out"
    train = ImageTrainer.train

    def watched(self, *args, **kwargs):
        seen_before_training.append((folder / "mix_preview.png").is_file())
        return train(self, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ImageTrainer, "train", watched)
        changes = {"mixer": "cutmix", "do_predict": "true", "num_train_epochs": 2, "max_train_samples": 400}
        with drawn():
            assert main(flags(folder, **changes)) == 0
    return folder


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    return pictures(tmp_path_factory.mktemp("photos") / "pets")


def by_hand(folder: Path, images: Sequence[Image.Image]) -> np.ndarray:
    """(N, C) probabilities that ``pipeline`` gives, in the order of the labels."""
    classify = pipeline("image-classification", model=str(folder), device="cpu")
    names = [name for _, name in sorted((classify.model.config.id2label or {}).items())]
    rows = [{row["label"]: row["score"] for row in classify(image, top_k=len(names))} for image in images]
    return np.array([[row[name] for name in names] for row in rows])


# --- the run folder --------------------------------------------------------------------------------------------------


def test_the_run_folder_holds_every_file(finished):
    names = {path.relative_to(finished).as_posix() for path in finished.rglob("*") if path.is_file()}
    wanted = {
        *("config.json", "model.safetensors", "preprocessor_config.json", "README.md", "run.json"),
        *("train_results.json", "eval_results.json", "all_results.json", "trainer_state.json"),
        *("predictions/validation.parquet", "predictions/test.parquet"),
        *("reliability.png", "training.png", "mix_preview.png"),
    }
    assert wanted <= names
    assert not [name for name in names if name.startswith(".")]


def test_the_preview_is_there_before_training_starts(seen_before_training, finished):
    assert seen_before_training == [True]


def test_the_folder_predicts_by_pipeline_what_the_run_recorded(finished):
    saved = Predictions.load(finished / "predictions" / "validation.parquet")
    assert saved.idx is not None
    assert saved.labels is not None
    pixels, labels, _ = load_digits()
    assert saved.labels.tolist() == labels[saved.idx].tolist()
    images = [Image.fromarray(pixels[row]) for row in saved.idx[:10]]
    np.testing.assert_allclose(by_hand(finished, images), saved.probabilities[:10], atol=1e-5)
    model = AutoModelForImageClassification.from_pretrained(finished)
    assert list(model.config.id2label.values()) == [str(digit) for digit in range(10)]


def test_every_number_is_recomputable_from_the_predictions_alone(finished):
    results = read(finished / "eval_results.json")
    table = pq.read_table(finished / "predictions" / "validation.parquet")
    assert {"idx", "label", "prediction", "logits"} <= set(table.column_names)
    logits, labels = np.array(table["logits"].to_pylist()), table["label"].to_numpy()
    p = torch.tensor(logits, dtype=torch.float64).softmax(1).numpy()
    five = np.argsort(-logits, axis=1)[:, :5]
    hand = {
        "eval_accuracy": (logits.argmax(1) == labels).mean(),
        "eval_top5_accuracy": (five == labels[:, None]).any(1).mean(),
        "eval_nll": -np.log(p[np.arange(len(p)), labels]).mean(),
        "eval_brier": ((p - np.eye(10)[labels]) ** 2).sum(1).mean(),
        "eval_confidence_gap": p.max(1).mean() - (p.argmax(1) == labels).mean(),
    }
    for name, value in hand.items():
        assert results[name] == pytest.approx(value, abs=1e-6), name
    assert table["prediction"].to_pylist() == logits.argmax(1).tolist()
    again = evaluate_predictions(
        Predictions.load(finished / "predictions" / "validation.parquet"), ("accuracy", "top5_accuracy")
    )
    assert {f"eval_{name}": value for name, value in again.items()}.items() <= results.items()
    assert results["eval_loss"] == pytest.approx(results["eval_nll"], rel=1e-4)


def test_the_test_split_is_predicted_whole(finished):
    test = Predictions.load(finished / "predictions" / "test.parquet")
    _, _, rows = load_digits()
    assert test.idx is not None
    assert test.idx.tolist() == rows["test"].tolist()


def test_the_record_says_how_the_run_came_about(finished):
    record = read(finished / "run.json")
    assert record["status"] == "done"
    assert record["command"].startswith("logitmix vision --dataset digits")
    assert record["method"] | {"name": "logitmix", "mixer": "cutmix", "site": "input", "w_sim": 0.1} == record["method"]
    data = record["data"]
    assert (data["train_rows"], data["image_size"], data["channels"]) == (400, 8, 1)
    assert data["splits"] == {
        "eval": {"split": "validation", "rows": 40, "source": "validation"},
        "test": {"split": "test", "rows": 359, "source": "test", "test": True},  # has labels: judged once, at the end
    }
    assert record["model"] | {"pretrained": False, "pipeline_tag": "image-classification"} == record["model"]
    assert record["seconds"] > 0
    assert {"train_loss", "eval_top5_accuracy", "eval_ece"} <= read(finished / "all_results.json").keys()
    log = read(finished / "trainer_state.json")["log_history"][0]
    assert {"loss", "loss_mix", "loss_cls", "loss_sim", "lam", "learning_rate"} <= log.keys()


def test_the_last_thing_on_stdout_is_the_table(tmp_path, capfd):
    assert main(flags(tmp_path / "out", method="vanilla")) == 0
    lines = capfd.readouterr().out.strip().splitlines()
    head = next(index for index, line in enumerate(lines) if line.startswith("method"))
    assert all(word in lines[head] for word in ("accuracy", "ECE", "OE", "NLL", "seconds"))
    assert lines[head + 2].startswith("vanilla")
    assert str(tmp_path / "out") in "\n".join(lines[head:])
    assert not (tmp_path / "out" / "mix_preview.png").exists()  # nothing is mixed


# --- networks --------------------------------------------------------------------------------------------------------


def test_a_saved_run_judged_again_gives_the_same_logits(finished, tmp_path):
    changes = {"model": finished, "do_train": "false", "method": "vanilla", "max_train_samples": 50}
    assert main(flags(tmp_path / "out", **changes)) == 0
    one, other = (Predictions.load(d / "predictions" / "validation.parquet") for d in (finished, tmp_path / "out"))
    assert one.idx is not None
    assert other.idx is not None
    assert one.idx.tolist() == other.idx.tolist()
    np.testing.assert_allclose(other.logits, one.logits, atol=1e-5)  # by the mean and deviation it was trained with
    assert not (tmp_path / "out" / "model.safetensors").exists()
    assert read(tmp_path / "out" / "run.json")["model"]["pretrained"] is True


def test_a_saved_run_can_be_trained_on(finished, tmp_path):
    start, end = weights(finished), tmp_path / "out"
    assert main(flags(end, model=finished, max_steps=1, learning_rate=1e-9)) == 0
    for name, value in weights(end).items():
        if "running" not in name and "num_batches" not in name:
            torch.testing.assert_close(value, start[name], atol=1e-6, rtol=0)


def test_fine_tuning_a_transformer_takes_its_numbers_and_replaces_its_head(photos, tmp_path, capfd):
    vit, out = tiny_vit(tmp_path / "vit"), tmp_path / "out"
    assert main(flags(out, dataset=photos, model=vit, site="stage.1", max_steps=2)) == 0
    assert "The head for 5 labels is replaced by a new one for the 2 of this data." in capfd.readouterr().out
    record, model = read(out / "run.json"), AutoModelForImageClassification.from_pretrained(out)
    assert (record["data"]["mean"], record["data"]["std"]) == ([0.5, 0.4, 0.3], [0.2, 0.3, 0.4])
    assert (record["data"]["image_size"], record["model"]["pretrained"]) == (32, True)
    assert (record["arguments"]["optim"], record["arguments"]["decay_norm_and_bias"]) == ("adamw_torch", False)
    assert model.config.id2label == {0: "cat", 1: "dog"}
    saved = Predictions.load(out / "predictions" / "validation.parquet")
    assert saved.idx is not None
    files = sorted(photos.rglob("*.png"))
    images = [Image.open(files[row]) for row in saved.idx]
    np.testing.assert_allclose(by_hand(out, images), saved.probabilities, atol=1e-5)


def test_a_head_with_the_same_labels_is_kept(photos, tmp_path, capfd):
    resnet = tiny_resnet(tmp_path / "resnet")
    before = weights(resnet)["classifier.1.weight"]
    changes = {"dataset": photos, "model": resnet, "do_train": "false", "method": "vanilla", "max_train_samples": None}
    job = parse(flags(tmp_path / "out", **changes))
    job.check()
    job.check_model(None)
    loaded = job.load()
    assert torch.equal(dict(loaded.model.named_parameters())["classifier.1.weight"], before)
    assert "replaced" not in capfd.readouterr().err
    assert loaded.processor.crop_size == {"height": 24, "width": 24}  # the side that its processor says


def test_photographs_are_judged_on_the_centre_that_the_processor_cuts(tmp_path):
    """Stored at 256, seen at 224: the saved processor does the same."""
    photos = pictures(tmp_path / "large", size=300, count=4)
    vit, out = tiny_vit(tmp_path / "vit", image_size=224, labels=2), tmp_path / "out"
    changes = {"dataset": photos, "model": vit, "validation_share": 0.25, "max_steps": 1, "cache_dir": tmp_path / "c"}
    assert main(flags(out, **changes)) == 0
    settings = read(out / "preprocessor_config.json")
    assert settings["size"] == {"shortest_edge": 256}
    assert settings["crop_size"] == {"height": 224, "width": 224}
    saved = Predictions.load(out / "predictions" / "validation.parquet")
    assert saved.idx is not None
    files = sorted(photos.rglob("*.png"))
    found = by_hand(out, [Image.open(files[row]) for row in saved.idx])
    np.testing.assert_allclose(found, saved.probabilities, atol=1e-5)


def test_a_network_of_timm_takes_its_numbers_and_grey_images(tmp_path):
    timm = pytest.importorskip("timm")
    from timm.models import save_for_hf

    torch.manual_seed(0)
    save_for_hf(timm.create_model("test_resnet", pretrained=False, num_classes=7), str(tmp_path / "timm"))
    grey, out = pictures(tmp_path / "grey", mode="L"), tmp_path / "out"
    assert main(flags(out, dataset=grey, model=tmp_path / "timm", image_size=32, max_steps=1)) == 0
    data = read(out / "run.json")["data"]
    assert (data["channels"], data["statistics"]) == (3, str(tmp_path / "timm"))
    saved = Predictions.load(out / "predictions" / "validation.parquet")
    assert saved.idx is not None
    files = sorted(grey.rglob("*.png"))
    found = by_hand(out, [Image.open(files[row]).convert("RGB") for row in saved.idx])
    np.testing.assert_allclose(found, saved.probabilities, atol=1e-5)


# --- data ------------------------------------------------------------------------------------------------------------


def test_a_local_data_set_in_the_layout_of_the_hub_streamed_and_in_memory(tmp_path):
    """Worker processes that read files end with the weights of a run from memory."""
    from datasets import ClassLabel, Dataset, Features
    from datasets import Image as ImageFeature

    photos = pictures(tmp_path / "files", size=16)
    rows = [{"picture": str(path), "kind": path.parent.name} for path in sorted(photos.rglob("*.png"))]
    features = Features({"picture": ImageFeature(), "kind": ClassLabel(names=["cat", "dog"])})
    made = {name: [row[name] for row in rows] for name in ("picture", "kind")}
    (tmp_path / "hub" / "data").mkdir(parents=True)
    for split in ("train", "validation"):
        Dataset.from_dict(made, features=features).to_parquet(tmp_path / "hub" / "data" / f"{split}-00000-of-1.parquet")
    changes = {"dataset": tmp_path / "hub", "label_column": "kind", "cache_dir": tmp_path / "cache", "max_steps": 2}
    changes |= {"mixer": "cutmix", "image_size": 16, "crop": "pad"}
    assert main(flags(tmp_path / "memory", **changes)) == 0
    assert main(flags(tmp_path / "stream", **changes, memory_limit=0.000001, dataloader_num_workers=1)) == 0
    one, other = (read(tmp_path / name / "run.json") for name in ("memory", "stream"))
    assert one["data"]["fingerprint"] == other["data"]["fingerprint"]
    assert one["data"]["label_names"] == ["cat", "dog"]
    assert other["arguments"]["dataloader_num_workers"] == 1
    means = [record["data"]["mean"] for record in (one, other)]
    assert means[0] != means[1]  # pixels of all of train, and ImageNet's where they are not at hand
    assert other["data"]["statistics"] == "ImageNet"


def test_unreadable_images_are_counted_where_they_may_be_left_out(tmp_path):
    photos = pictures(tmp_path / "pets", size=8)
    broken = photos / "dog" / "03.png"
    broken.write_bytes(broken.read_bytes()[:60])
    changes = {"dataset": photos, "skip_corrupt": "true", "max_train_samples": None, "cache_dir": tmp_path / "cache"}
    with pytest.warns(UserWarning, match=r"1 of \d+ images of \w+ cannot be read .*03\.png"):
        assert main(flags(tmp_path / "out", **changes)) == 0
    assert sum(read(tmp_path / "out" / "run.json")["data"]["skipped"].values()) == 1


# --- names -----------------------------------------------------------------------------------------------------------


def test_names_and_defaults():
    run = parse(["--dataset_name", "cifar100", "--mixer", "mixup,cutmix", "--seed", "3"])
    assert run.training.output_dir == "runs/cifar100-resnet18-logitmix-mixup+cutmix-s3"
    assert (run.training.optim, run.training.learning_rate, run.training.weight_decay) == ("sgd", 0.1, 5e-4)
    tuned = parse(
        ["--dataset", "./my/pets", "--model_name_or_path", "google/vit-base-patch16-224", "--method", "vanilla"]
    )
    assert tuned.training.output_dir == "runs/pets-vit-base-patch16-224-vanilla-s42"
    assert (tuned.training.optim, tuned.training.learning_rate) == ("adamw_torch", 5e-5)
    given = parse(["--dataset", "pets", "--model", "org/net", "--learning_rate", "1e-3", "--optim", "sgd"])
    assert (given.training.optim, given.training.learning_rate) == ("sgd", 1e-3)
