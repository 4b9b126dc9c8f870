"""--prepare: all is read and nothing is trained, and there is no folder afterwards."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from huggingface_hub import constants
from tinyrun import flags

from logitmix_hf.commands.glue import main as glue
from logitmix_hf.commands.vision import main as vision
from logitmix_hf.errors import UserError
from logitmix_hf.estimators.run import fine_tune
from logitmix_hf.training.prepare import prepared_lines


@pytest.mark.parametrize("folds", [None, 2])
def test_texts(tiny_model, files, tmp_path, capsys, folds):
    words = flags(tiny_model, files, tmp_path / "out", folds=folds)
    assert glue([*words, "--prepare"]) == 0
    told = capsys.readouterr().err
    assert "data train (48 train, 24 validation rows): on this machine, nothing was fetched" in told
    assert f"model {tiny_model}: on this machine" in told
    assert not (tmp_path / "out").exists()
    with pytest.raises(UserError, match="prepare trains nothing"):
        fine_tune(model=tiny_model, train_file=files / "train.csv", label_column="stars", prepare=True)


def test_images_by_a_file_of_flags(tmp_path, capsys):
    (tmp_path / "run.yaml").write_text(
        f"dataset: digits\nmodel: digits\nprepare: true\nuse_cpu: true\noutput_dir: {tmp_path}/out\n"
    )
    assert vision(["--config", str(tmp_path / "run.yaml")]) == 0
    assert "data digits (" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("words", [["--train_file", "nowhere.csv"], ["--task", "rte", "--model", "./nowhere"]])
def test_a_mistake_is_the_runs_own(words, capsys):
    assert glue([*words, "--prepare"]) == 2
    assert "nowhere" in capsys.readouterr().err


def test_data_of_the_hub_are_found_by_their_name_there_and_what_no_cache_holds_is_said(tmp_path, monkeypatch):
    """``--dataset cifar100`` is uoft-cs/cifar100."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    held = tmp_path / "datasets--uoft-cs--cifar100/snapshots/0123/train.parquet"
    held.parent.mkdir(parents=True)
    held.write_bytes(b"0" * 2_500_000)
    names = SimpleNamespace(dataset="cifar100"), SimpleNamespace(model="resnet18")
    job = SimpleNamespace(data=names[0], model=names[1], request=SimpleNamespace())

    def told(source):
        data = SimpleNamespace(name="cifar100", source=source, kind="hub")
        return prepared_lines(job, SimpleNamespace(data=data, splits={"train": range(9)}))

    found, model, _ = told("uoft-cs/cifar100")
    assert found == f"data cifar100 (9 train rows): 2.5 MB in {tmp_path}/datasets--uoft-cs--cifar100"
    assert model == "model resnet18: on this machine, nothing was fetched"
    assert "no cache of the Hub's holds it" in told("uoft-cs/other")[0]
