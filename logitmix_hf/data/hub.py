"""Data sets of the Hub or of a folder in its layout, with one line for each way in which they may fail to come."""

from __future__ import annotations

import os
import re
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from logitmix_hf.data.rows.stream import check_exists
from logitmix_hf.data.rows.table import SUFFIXES
from logitmix_hf.disk import expanded
from logitmix_hf.errors import UserError, listed, nearest, one_line, pick

PROBE_SECONDS = 10.0
"""How long the Hub may take to answer the first question."""

GO_ON_TEXT = (
    "Give a folder in the Hub's layout as --dataset_name, or work without the Hub:"
    " --dataset_name builtin --model builtin."
)
GO_ON_IMAGES = "Give a folder as --dataset, or work without the Hub: --dataset digits."


def is_folder(name: str, if_file: str = "give it as --train_file", example: str = "nyu-mll/glue") -> bool:
    """True when ``name`` is a folder on this machine; ``if_file`` is what to do with a file.

    Raises:
        UserError: for a file, and for what can only be a path but is not there.
    """
    path = expanded(name)
    if path.is_dir():
        return True
    if path.is_file():
        raise UserError(f"{name!r} is a file; {if_file}.")
    if any(suffix.lower() in SUFFIXES for suffix in path.suffixes[-2:]):
        check_exists(path)
    if path.is_absolute() or name.startswith((".", "~")) or name.count("/") > 1 or os.sep in name.replace("/", ""):
        raise UserError(
            f"There is no folder {name!r}. Give a folder, or a data set's name on the Hub such as {example}."
        )
    return False


def load_dataset_dict(name: str, config: str | None = None, go_on: str = GO_ON_TEXT) -> dict[str, Any]:
    """Every split of a data set by its name, as ``datasets`` loads them; ``go_on`` says how to work without the Hub.

    A folder without configurations may keep each in a sub-folder of its name, or hold the one asked for itself; or it is
    what ``save_to_disk`` wrote.

    Raises:
        UserError: when the Hub is out of reach and nothing is cached, there is no such data set or configuration, or
            its files cannot be read.
    """
    path = expanded(name)
    data = _from_folder(path, config, go_on) if path.is_dir() else _from_hub(name, config, go_on)
    return {str(key): split for key, split in data.items()}


def _from_folder(folder: Path, config: str | None, go_on: str) -> Any:
    from datasets import Dataset, get_dataset_config_names, load_dataset, load_from_disk

    with _as_user_errors(str(folder), config, go_on):
        if (folder / "state.json").is_file() or (folder / "dataset_dict.json").is_file():  # of save_to_disk
            saved = load_from_disk(str(folder))
            return {"train": saved} if isinstance(saved, Dataset) else saved
        configs = get_dataset_config_names(str(folder))
        if config is None or config in configs:
            return load_dataset(str(folder), config)
        for inner in (folder / config, folder):
            if inner.is_dir() and (inner != folder or configs == ["default"]):
                return load_dataset(str(inner), data_files=_shards(inner))
        return pick(dict.fromkeys(configs), config, f"configuration of {folder}")


def _shards(folder: Path) -> dict[str, list[str]] | None:
    """Files by split, where their names are SPLIT-00000-of-00001 as on the Hub: left to itself, ``datasets`` takes
    validation_matched and validation_mismatched for one split. None for other names."""
    found: dict[str, list[str]] = {}
    for path in sorted(folder.iterdir()):
        match = re.fullmatch(r"(\w+)-\d{5}-of-\d{5}\.\w+", path.name)
        if match:
            found.setdefault(match[1], []).append(path.name)
    return found or None


def _from_hub(name: str, config: str | None, go_on: str) -> Any:
    from datasets import load_dataset
    from datasets.config import HF_DATASETS_CACHE

    reachable, why = _probe(name, go_on)
    cached = Path(HF_DATASETS_CACHE) / name.replace("/", "___") / (config or "")
    if not reachable and not cached.is_dir():
        raise UserError(f"The Hub is out of reach for the data set {name!r} ({why}). {go_on}")
    with _offline(not reachable), _as_user_errors(name, config, go_on):  # offline also while a failure is explained
        return load_dataset(name, config)


def _probe(name: str, go_on: str) -> tuple[bool, str]:
    """Whether the Hub answers for this data set, and if not, why: ``load_dataset`` alone tries for 23 seconds.

    Raises:
        UserError: when the Hub says that there is none, or not for this user.
    """
    from datasets import config
    from huggingface_hub import HfApi
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, HFValidationError, RepositoryNotFoundError

    if config.HF_HUB_OFFLINE:
        return False, "offline mode is on: HF_HUB_OFFLINE or HF_DATASETS_OFFLINE"
    try:
        HfApi().dataset_info(name, timeout=PROBE_SECONDS)
    except HFValidationError as error:
        raise UserError(f"{name!r} can be no data set's name on the Hub: {one_line(error)}") from error
    except GatedRepoError as error:
        raise UserError(
            f"The data set {name!r} is gated: accept its terms on the Hub, then log in with `hf auth login`."
        ) from error
    except RepositoryNotFoundError as error:
        raise UserError(
            f"The Hub has no data set {name!r}, or it is private and the token has no right to it. {go_on}"
        ) from error
    except HfHubHTTPError as error:
        code = getattr(error.response, "status_code", None)
        return False, f"it answered {code}" if code else type(error).__name__
    except (_client_error(), OSError) as error:
        return False, type(error).__name__
    return True, ""


def _client_error() -> type[Exception]:
    """The base of what the Hub's client raises, a failed connection included, which is no ``OSError``: ``HTTPError`` of
    httpx before huggingface_hub 2, of httpx2 since. Found by descent, because not every version lends its httpx."""
    from huggingface_hub.errors import HfHubHTTPError

    return next((kind for kind in HfHubHTTPError.__mro__ if kind.__name__ == "HTTPError"), HfHubHTTPError)


@contextmanager
def _offline(wanted: bool) -> Iterator[None]:
    """Make ``datasets`` go to its cache at once instead of asking five times."""
    from datasets import config

    before = config.HF_HUB_OFFLINE
    config.HF_HUB_OFFLINE = before or wanted
    try:
        yield
    finally:
        config.HF_HUB_OFFLINE = before


@contextmanager
def _as_user_errors(name: str, config: str | None, go_on: str) -> Iterator[None]:
    """Turn what ``datasets`` raises into the one line of a user's mistake; a full disk and the like pass through."""
    from datasets import exceptions

    try:
        yield
    except UserError:
        raise
    except (ConnectionError, _client_error()) as error:
        raise UserError(f"The data set {name!r} could not be fetched: {one_line(error)}. {go_on}") from error
    except FileNotFoundError as error:
        raise UserError(f"The data set {name!r} has no data files that can be read: {one_line(error)}") from error
    except exceptions.DatasetGenerationError as error:
        cause = error.__cause__ or error
        if isinstance(cause, OSError):
            raise
        why = "one has no rows" if "BatchSize must be greater than 0" in str(cause) else one_line(cause)  # of Parquet
        raise UserError(f"The data set {name!r} holds files that cannot be read: {why}") from error
    except (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError) as error:
        raise UserError(f"The data set {name!r} holds an archive that cannot be read: {one_line(error)}") from error
    except RuntimeError as error:
        if "script" not in str(error):
            raise
        raise UserError(f"The data set {name!r} is a script, which datasets no longer runs; choose one in Parquet, CSV or JSON.") from error  # fmt: skip  # noqa: E501
    except ValueError as error:
        raise _no_config(name, config, error) from error


def _no_config(name: str, config: str | None, error: ValueError) -> UserError:
    from datasets import get_dataset_config_names

    try:
        configs = get_dataset_config_names(name)
    except Exception:  # the question only betters the message
        configs = []
    if config in configs or len(configs) < 2:
        return UserError(f"The data set {name!r} cannot be read: {one_line(error)}")
    if config is None:
        return UserError(
            f"The data set {name!r} has several configurations; give one as --dataset_config: {listed(configs)}."
        )
    hint = nearest(config, configs)
    return UserError(f"The data set {name!r} has no configuration {config!r}.{hint} Known: {listed(configs)}.")
