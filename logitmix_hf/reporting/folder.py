"""The run folder: what one training leaves behind, written so that a crash leaves the last good files."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from logitmix_hf.disk import sync_folder, sync_tree, why_not_writable, write_atomic
from logitmix_hf.errors import UserError, one_line
from logitmix_hf.lock import LOCK, check_free, writing
from logitmix_hf.redact import scrub
from logitmix_hf.reporting.files import to_json

RECORD = "run.json"
FORMAT = "logitmix_hf run 1"
"""The mark in ``run.json`` by which a folder is known to be a run of ours."""

MODEL_FILES = (
    *("config.json", "generation_config.json", "model.safetensors", "model-*-of-*.safetensors"),
    *("model.safetensors.index.json", "adapter_config.json", "adapter_model.safetensors"),
    *("adapters/*/adapter_config.json", "adapters/*/adapter_model.safetensors"),
)
TOKENIZER_FILES = (
    *("tokenizer.json", "tokenizer_config.json", "tokenizer.model", "special_tokens_map.json", "added_tokens.json"),
    *("vocab.txt", "vocab.json", "merges.txt", "spm.model", "spiece.model", "sentencepiece.bpe.model", "bpe.codes"),
    *("chat_template.jinja", "preprocessor_config.json", "processor_config.json"),
)
_GLUE_FILES = ("CoLA", "SST-2", "MRPC", "STS-B", "QQP", "MNLI-m", "MNLI-mm", "QNLI", "RTE", "WNLI", "AX")
REPORT_FILES = (
    *("README.md", "run.json", "data.json", "trainer_state.json", "predictions/*.parquet"),
    *("ensemble.json", "inspect.json"),
    *("train_results.json", "eval_results.json", "test_results.json", "predict_results.json", "all_results.json"),
    *("intervals.json", "calibration.json", "corruptions.json", ".eval_results/*.yaml"),
    *("reliability.png", "calibration.png", "confusion.png", "corruptions.png"),
    *("training.png", "mix_preview.png", "filters.png"),
    # The files that GLUE's leaderboard takes, by name: a user's own .tsv in the folder is no business of ours.
    *(f"{task}.tsv" for task in _GLUE_FILES),
)
PUBLIC_FILES = MODEL_FILES + TOKENIZER_FILES + REPORT_FILES
"""What of a run may leave the machine (patterns relative to the folder). Pickles, checkpoints and logs stay at home."""

# Written too, but never pushed: pickles hold arbitrary code and, with HF's Trainer, the token of the Hub.
# What codecarbon measured comes with the coordinates of the machine; the card has its sums.
# Rows of the data may be nobody else's business.
_PRIVATE_FILES = ("training_args.bin", "emissions.csv", "suspects.csv")
_PRIVATE_FOLDERS = ("checkpoint-*", "folds", ".incoming", ".saving-*")


ATTEMPTS = "attempts.jsonl"
OUTPUT, ERRORS = "output.log", "errors.log"
"""What a study writes beside a run, before the run begins: a line a start and an end, and what the command said."""


def record_of(folder: Path) -> dict[str, Any] | None:
    """``run.json`` of a folder, None where no run of this package wrote one that can be read."""
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) and record.get("format") == FORMAT else None


class SaveFailed(RuntimeError):
    """The model could not be saved; the last good one in the folder is untouched."""


class RunFolder:
    """One run's folder.

    Every write is atomic: a temporary file beside the target, flushed to the disk, renamed over it. A reader sees the
    old file or the new one, whenever the machine stops.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.locked = False  # by this object: nobody else writes

    # -- whose folder is it ------------------------------------------------------------------------

    def holds_run(self) -> bool:
        """Whether a run of this package wrote here."""
        return record_of(self.path) is not None

    def check(self, *, overwrite: bool = False, resume: bool = False) -> None:
        """Everything that ``claim`` would refuse, without writing anything.

        Raises:
            UserError: somebody writes into it; the path is a file; it cannot be written; it holds another run and neither
                ``overwrite`` nor ``resume`` was given; it holds something else; there is nothing to resume; both were given.
        """
        if not self.locked:
            self.check_free()
        if overwrite and resume:
            raise UserError("--overwrite and --resume contradict each other: start anew, or go on? Give one of them.")
        check_place(self.path)
        names = self._names()
        if self.holds_run():
            if not (overwrite or resume):
                raise UserError(
                    f"The output folder {str(self.path)!r} already holds a run: go on with it by --resume, replace it "
                    "by --overwrite, or give another --output_dir."
                )
        elif names:
            first = ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
            raise UserError(
                f"The output folder {str(self.path)!r} is not empty and holds no run of logitmix ({first}); it is left "
                "alone, also with --overwrite. Give another --output_dir, or empty it yourself."
            )
        elif resume:
            raise UserError(
                f"There is nothing to resume in {str(self.path)!r}: it holds no run. Leave --resume out to start one, "
                "or give the --output_dir of the run that stopped."
            )

    def check_free(self) -> None:
        """Require that nobody writes into the folder now.

        Raises:
            UserError: somebody does; it says who.
        """
        check_free(self.path)

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Be the only one who writes into the folder, which is made where it is missing.

        Raises:
            UserError: another process writes into it (the message says which, where and since when), or nobody can.
        """
        with contextlib.ExitStack() as held:
            try:
                self.path.mkdir(parents=True, exist_ok=True)
                held.enter_context(writing(self.path))
            except OSError as error:
                raise _not_writable(self.path, error.strerror or str(error)) from None
            self.locked = True
            try:
                yield
            finally:
                self.locked = False

    def claim(self, *, overwrite: bool = False, resume: bool = False) -> None:
        """Make the folder this run's: all checks first, then create it, or clear it (``overwrite``), or mend what an
        interrupted save left (``resume``).

        ``overwrite`` removes only what a run writes; files of your own stay. Who trains does it ``with folder.writing()``.

        Raises:
            UserError: see ``check``.
        """
        self.check(overwrite=overwrite, resume=resume)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.path):
                pass
        except OSError as error:
            raise _not_writable(self.path, error.strerror or str(error)) from None
        if overwrite:
            self._clear()
        self.recover()
        if not resume:
            # From here on the folder is known as ours, whenever the run stops.
            self.write_json(RECORD, {"format": FORMAT, "status": "running"})

    def _names(self) -> list[str]:
        # A temporary file of a run that died before it wrote its record makes no folder "somebody else's".
        if not self.path.is_dir():
            return []
        names, beside = sorted(entry.name for entry in self.path.iterdir()), (ATTEMPTS, OUTPUT, ERRORS)
        return [name for name in names if not name.startswith((f".{RECORD}.", ".saving-", LOCK)) and name not in beside]

    def _clear(self) -> None:
        for entry in sorted(self.path.iterdir()):
            ours = any(fnmatchcase(entry.name, pattern) for pattern in _PRIVATE_FOLDERS)
            if ours and entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
        for name in self.files((*PUBLIC_FILES, *_PRIVATE_FILES)):
            # The record stays until the new one replaces it: stopped half way, the folder is still known as ours.
            if name != RECORD:
                (self.path / name).unlink()
        for place in (
            *self.path.glob("adapters/*"),
            *map(self.path.joinpath, ("adapters", "predictions", ".eval_results")),
        ):
            with contextlib.suppress(OSError):
                place.rmdir()
        sync_folder(self.path)

    def remove_checkpoints(self) -> int:
        """Remove what training could have gone on from; returns the bytes that are free now."""
        freed = 0
        for entry in sorted(self.path.glob("checkpoint-*")):
            if entry.is_dir() and not entry.is_symlink() and entry.name.removeprefix("checkpoint-").isdigit():
                freed += sum(path.stat().st_size for path in entry.rglob("*") if path.is_file())
                shutil.rmtree(entry)
        return freed

    # -- writing and reading -----------------------------------------------------------------------

    def write_bytes(self, name: str, data: bytes) -> Path:
        """Write one file atomically; returns its path."""
        write_atomic(self.path / name, data)
        return self.path / name

    def write_text(self, name: str, text: str) -> Path:
        """Write UTF-8 text atomically, tokens hidden; returns its path."""
        return self.write_bytes(name, scrub(text).encode("utf-8", "backslashreplace"))

    def write_json(self, name: str, values: Mapping[str, Any]) -> Path:
        """Write a JSON object atomically: floats finite or null, numpy's scalars as Python's, no token, and a byte of a
        file's name that is no text as the escape that JSON reads back. Returns its path."""
        return self.write_bytes(name, to_json(values).encode("utf-8", "backslashreplace"))

    def read_json(self, name: str) -> dict[str, Any]:
        """Read a JSON object back.

        Raises:
            UserError: there is no such file, or it is no JSON object.
        """
        path = self.path / name
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise UserError(f"{str(self.path)!r} has no {name}: is it the folder of a finished run?") from None
        except (OSError, ValueError, RecursionError) as error:
            raise UserError(f"{str(path)!r} cannot be read as JSON: {one_line(error)}.") from None
        if not isinstance(values, dict):
            raise UserError(f"{str(path)!r} should hold a JSON object, not a {type(values).__name__}.")
        return values

    def optional_json(self, name: str) -> dict[str, Any]:
        """As :meth:`read_json`; empty where there is no such file."""
        return self.read_json(name) if (self.path / name).is_file() else {}

    def update_record(self, **changes: Any) -> dict[str, Any]:
        """Change entries of ``run.json`` (``status="done"``, ``seconds=…``); returns the whole record."""
        record = {**self.read_json(RECORD), **changes}
        self.write_json(RECORD, record)
        return record

    def predictions_path(self, name: str) -> Path:
        """``predictions/<name>.parquet`` in this folder; its parent is made."""
        path = self.path / "predictions" / f"{name}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def files(self, patterns: tuple[str, ...] = PUBLIC_FILES) -> list[str]:
        """The files here that match the patterns, as sorted names relative to the folder with ``/``."""
        found = {path for pattern in patterns for path in self.path.glob(pattern) if path.is_file()}
        return sorted(path.relative_to(self.path).as_posix() for path in found)

    # -- the model ---------------------------------------------------------------------------------

    def save_model(self, save: Callable[[str], None]) -> None:
        """Let ``save(folder)`` write model and tokenizer files, then move them here so that a crash loses nothing.

        All files are first complete and on the disk in ``.incoming``; only then do they replace the old ones. A crash
        before that leaves the old model, a crash after it is finished by ``recover`` (``claim`` calls it).

        Raises:
            SaveFailed: ``save`` or the disk failed; what was here before is untouched.
        """
        self.recover()
        self.path.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=".saving-", dir=self.path))
        try:
            save(str(staging))
            sync_tree(staging)
            os.replace(staging, self.path / ".incoming")
        except Exception as error:  # of the disk, safetensors or the model's own saving
            shutil.rmtree(staging, ignore_errors=True)
            raise SaveFailed(
                f"The model could not be saved in {str(self.path)!r} ({scrub(str(error)) or type(error).__name__}); "
                "what was saved there before is untouched."
            ) from error
        except BaseException:  # an interrupt too leaves nothing behind; raised again
            shutil.rmtree(staging, ignore_errors=True)
            raise
        sync_folder(self.path)
        self.recover()

    def recover(self) -> None:
        """Finish a ``save_model`` that was interrupted after its files were complete; drop one that was not."""
        for leftover in self.path.glob(".saving-*"):
            shutil.rmtree(leftover, ignore_errors=True)
        incoming = self.path / ".incoming"
        if not incoming.is_dir():
            return
        for source in sorted(path for path in incoming.rglob("*") if path.is_file()):
            target = self.path / source.relative_to(incoming)
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(source, target)
        sync_folder(self.path)
        shutil.rmtree(incoming)


def check_place(path: Path) -> None:
    """Require an output folder to be none or a folder, and one that can be written; nothing is.

    Raises:
        UserError: saying which it is.
    """
    if os.path.exists(path) and not os.path.isdir(path):  # pathlib's own may raise
        raise UserError(f"The output folder {str(path)!r} is a file; give --output_dir another path.")
    if reason := why_not_writable(path):
        raise _not_writable(path, reason)


def _not_writable(path: Path, reason: str) -> UserError:
    return UserError(f"The output folder {str(path)!r} cannot be written ({reason}); give another --output_dir.")
