"""A run folder to push, and a client without the habits of the machine that runs the tests."""

from __future__ import annotations

import json

import pytest

from logitmix_hf.reporting.folder import FORMAT

TOKEN = "hf_loopback"
PUBLIC = {
    "config.json": b"{}",
    "model.safetensors": b"weights",
    "adapters/member_1/adapter_model.safetensors": b"adapter",
    "tokenizer.json": b"{}",
    "README.md": b'---\nlibrary_name: transformers\n---\nclassify = pipeline("text-classification", model="runs/x")\n',
    "run.json": json.dumps({"format": FORMAT}).encode(),
    "eval_results.json": b"{}",
    "predictions/validation.parquet": b"rows",
    "reliability.png": b"picture",
    "RTE.tsv": b"index\tprediction\n",
}
PRIVATE = {
    "training_args.bin": b"pickle with hf_loopback",
    "checkpoint-5/model.safetensors": b"older",
    "checkpoint-5/optimizer.pt": b"pickle",
    ".incoming/config.json": b"half",
    "notes.txt": b"mine",
    "cache/data.arrow": b"rows",
}


@pytest.fixture(autouse=True)
def plain_client(monkeypatch, tmp_path):
    """No Xet, no proxy, no token of the machine that runs the tests."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(name="run")
def run_folder(tmp_path):
    folder = tmp_path / "rte-logitmix"
    for name, data in {**PUBLIC, **PRIVATE}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder
