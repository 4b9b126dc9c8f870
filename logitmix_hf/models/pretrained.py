"""Where a model comes from and its configuration, with mistakes told before anything long begins."""

from __future__ import annotations

import logging
import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi
from transformers import AutoConfig, PreTrainedModel

from logitmix_hf.disk import expanded
from logitmix_hf.errors import UserError, listed, nearest
from logitmix_hf.redact import scrub

PROBE_SECONDS = 10.0
"""How long the Hub may take to answer the first question."""

GO_ON_TEXT = "a local folder by --model, or --model builtin, needs no network"


@dataclass(frozen=True)
class Pretrained:
    """Where a model or a tokenizer comes from.

    name: as the user wrote it. path: what ``from_pretrained`` takes. local_only: the Hub is out of reach, but all is
    in the cache. what, go_on: for messages: what it should be loaded as, and how to work without the Hub.
    """

    name: str
    path: str
    revision: str = "main"
    token: str | None = None
    local_only: bool = False
    what: str = "a text classifier"
    go_on: str = GO_ON_TEXT

    def options(self) -> dict[str, Any]:
        """For ``from_pretrained``. Code that comes with a model is not run, and nobody is asked: stdin may hold rows."""
        return {
            "revision": self.revision,
            "token": self.token,
            "local_files_only": self.local_only,
            "trust_remote_code": False,
        }


def find_pretrained(name: str, revision: str = "main", token: str | None = None, **words: str) -> Pretrained:
    """Resolve ``--model``: ``builtin`` is the folder of its package, a path must exist, a Hub id must answer.

    ``words``: ``what`` and ``go_on`` of :class:`Pretrained`, where it is no text classifier.

    Raises:
        UserError: when there is no such folder or model, or the Hub is out of reach and the model not in the cache.
    """
    if name == "builtin":
        from logitmix_hf.builtin.model import builtin_model_path

        return Pretrained(name, str(builtin_model_path()))
    path = expanded(name)
    if path.is_dir():
        if not (path / "config.json").is_file():
            inside = _folders_of_models(path)
            here = f" Of the folders in it these do: {listed(inside, 5)}." if inside else ""
            raise UserError(
                f"--model {name!r} is a folder without config.json: it holds no model of transformers.{here}"
            )
        return Pretrained(name, str(path), **words)  # type: ignore[arg-type]
    if path.is_file():
        raise UserError(f"--model {name!r} is a file; give the folder of a model, a Hub id (org/name), or builtin.")
    if name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise UserError(
            f"--model {name!r} is no folder; give the folder of a model, a Hub id (org/name), or builtin.{_beside(path)}"
        )
    found = Pretrained(name, name, revision, token, **words)  # type: ignore[arg-type]
    try:
        # from_pretrained alone would try for half a minute.
        HfApi().model_info(name, revision=revision, token=token, timeout=PROBE_SECONDS)
    except Exception as problem:  # no network, no such model, no leave: explained() tells them apart
        error = explained(found, problem)
        cached = replace(found, local_only=True)
        try:
            AutoConfig.from_pretrained(name, **cached.options())
        except Exception:  # nor is it in the cache: the first problem is the one to tell
            raise UserError(f"{error}{_beside(path)}") from problem
        return cached
    return found


def _folders_of_models(path: Path) -> list[str]:
    return sorted(one.parent.name for one in path.glob("*/config.json"))


def _beside(path: Path) -> str:
    """What a folder that is not there may have been meant for, in a sentence; nothing where its folder holds no model."""
    beside = _folders_of_models(path.parent)
    near = nearest(path.name, beside)
    return (
        f" Nor is there a folder {str(path)!r}: {str(path.parent)!r} holds {listed(beside, 5)}.{near}" if beside else ""
    )


def load_config(source: Pretrained) -> Any:
    """The model's configuration, the first and smallest thing to fetch."""
    try:
        return AutoConfig.from_pretrained(source.path, **source.options())
    except Exception as problem:  # many kinds; explained() tells them apart
        raise explained(source, problem) from problem


def load_weights(kind: Any, source: Pretrained, config: Any, **options: Any) -> tuple[PreTrainedModel, list[str]]:
    """The model of ``kind`` (one of the Auto classes), and the names of its weights that begin at random, as the file has
    none for them or of another shape: who calls tells them, in the place of transformers' table, which reads like a failure.

    Raises:
        UserError: when it cannot be loaded.
    """
    replaces, logger = options.get("ignore_mismatched_sizes"), logging.getLogger("transformers.modeling_utils")

    def spoken(record: logging.LogRecord) -> bool:
        text = record.getMessage()
        return "LOAD REPORT" not in text or ("MISMATCH" in text and not replaces)

    logger.addFilter(spoken)
    try:
        model, info = kind.from_pretrained(
            source.path, config=config, output_loading_info=True, **options, **source.options()
        )
    except Exception as problem:  # transformers raises many kinds; explained() tells them apart
        raise explained(source, problem) from problem
    finally:
        logger.removeFilter(spoken)
    return model, sorted({*info["missing_keys"], *(name for name, *_ in info["mismatched_keys"])})


def told_new(source: Pretrained, names: Sequence[str]) -> str:
    """A sentence about the weights that begin at random; '' where there are none."""
    return f"--model {source.name} has no {listed(names, 4, quote=False)}: new ones begin at random." if names else ""


def check_weights(source: Pretrained, model: PreTrainedModel, missing: Collection[str]) -> None:
    """Require a pretrained model to be one: most of its weights from the file, and all of them numbers.

    ``missing``: the names of those that the file has not.

    Raises:
        UserError: naming a few.
    """
    weights = dict(model.named_parameters())
    lost = sorted(name for name in missing if name in weights)
    if sum(weights[name].numel() for name in lost) > sum(one.numel() for one in weights.values()) / 2:
        raise UserError(
            f"--model {source.name!r}: its file has no weights for {len(lost)} of the {len(weights)} parameters of"
            f" {type(model).__name__} ({listed(lost, 3)}): they are of another model, and most of this one would be random."
            " Give the folder as save_pretrained wrote it."
        )
    for name, one in weights.items():
        if not one.is_meta and not bool(one.isfinite().all()):
            raise UserError(
                f"--model {source.name!r}: {name} holds values that are no finite numbers (its training diverged, or its"
                " file is damaged): give another model."
            )


def explained(source: Pretrained, problem: Exception) -> UserError:
    """One line for what transformers and the Hub's client raise, of whatever class."""
    name, chain = source.name, list[str]()
    cause: BaseException | None = problem
    while cause is not None:
        chain.append(f"{type(cause).__name__} {cause}")
        cause = cause.__cause__ or cause.__context__
    text = " ".join(chain)
    reason = " ".join(str(problem).split())[:200]
    if isinstance(problem, UserError):
        return problem
    if "trust_remote_code" in text:
        return UserError(
            f"--model {name!r} needs code of its own, which is not run here: give a model whose architecture transformers"
            " knows."
        )
    if (
        "`logitmix_convnet`" in text
    ):  # only who works with images imports our networks, and transformers knows them then
        return UserError(f"--model {name!r} is a network for images, not {source.what}: see logitmix vision.")
    if "RevisionNotFound" in text:
        return UserError(f"--model {name!r} has no such --model_revision: {reason}")
    if "RepositoryNotFound" in text or "404" in text:
        return UserError(
            f"--model {name!r} was not found on the Hub: check its name (org/name), or give a local folder."
        )
    if "GatedRepo" in text or "401" in text or "403" in text:
        return UserError(f"--model {name!r} needs a login: run `hf auth login` or set HF_TOKEN.")
    unreachable = (
        "ConnectError",
        "ConnectionError",
        "ConnectTimeout",
        "OfflineMode",
        "couldn't connect",
        "Max retries",
    )
    if any(word in text for word in unreachable) or "cached files" in text:
        where = scrub(os.environ.get("HF_ENDPOINT", "the Hub"))
        return UserError(f"--model {name!r} is not in the local cache and {where} is out of reach: {source.go_on}.")
    if any(word in text for word in ("RemoteProtocolError", "ReadError", "ReadTimeout", "IncompleteRead")):
        where = scrub(os.environ.get("HF_ENDPOINT", "the Hub"))
        return UserError(f"--model {name!r}: the download from {where} broke off again and again; try again later.")
    return UserError(f"--model {name!r} cannot be loaded as {source.what}: {reason}")
