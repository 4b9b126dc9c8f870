"""Configuration, tokenizer and model of a text classifier, with mistakes told before anything long begins."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer, PreTrainedModel

from logitmix_hf.errors import UserError
from logitmix_hf.text.data import TextData
from logitmix_hf.text.settings import ModelSettings
from logitmix_hf.text.sites import resolve_site

PROBE_SECONDS = 10.0
"""How long the Hub may take to answer the first question."""

_GO_ON = "a local folder by --model, or --model builtin --dataset_name builtin, needs no network"


@dataclass(frozen=True)
class Pretrained:
    """Where a model or a tokenizer comes from.

    name: as the user wrote it. path: what ``from_pretrained`` takes. local_only: the Hub is out of reach, but all is
    in the cache.
    """

    name: str
    path: str
    revision: str = "main"
    token: str | None = None
    local_only: bool = False

    def options(self) -> dict[str, Any]:
        """For ``from_pretrained``."""
        return {"revision": self.revision, "token": self.token, "local_files_only": self.local_only}


def find_pretrained(name: str, revision: str = "main", token: str | None = None) -> Pretrained:
    """Resolve ``--model``: ``builtin`` is the folder of its package, a path must exist, a Hub id must answer.

    Raises:
        UserError: when there is no such folder or model, or the Hub is out of reach and the model not in the cache.
    """
    if name == "builtin":
        from logitmix_hf.builtin.model import builtin_model_path

        return Pretrained(name, str(builtin_model_path()))
    path = Path(name).expanduser()
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise UserError(f"--model {name!r} is a folder without config.json: it holds no model of transformers.")
        return Pretrained(name, str(path))
    if name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise UserError(f"--model {name!r} is no folder; give the folder of a model, a Hub id (org/name), or builtin.")
    found = Pretrained(name, name, revision, token)
    try:
        # from_pretrained alone would try for half a minute.
        HfApi().model_info(name, revision=revision, token=token, timeout=PROBE_SECONDS)
    except Exception as problem:
        told = _explained(name, problem)
        cached = replace(found, local_only=True)
        try:
            AutoConfig.from_pretrained(name, **cached.options())
        except Exception:
            raise told from problem
        return cached
    return found


def load_config(source: Pretrained) -> Any:
    """The model's configuration, the first and smallest thing to fetch."""
    try:
        return AutoConfig.from_pretrained(source.path, **source.options())
    except Exception as problem:
        raise _explained(source.name, problem) from problem


def check_depth(config: Any, site: str | None) -> None:
    """Require a site's layers to exist, as far as the configuration tells."""
    layers = getattr(config, "num_hidden_layers", None)
    if site is not None and layers:
        resolve_site(site, layers)


def load_tokenizer(source: Pretrained) -> Any:
    """The tokenizer of the model, or the one named apart."""
    try:
        return AutoTokenizer.from_pretrained(source.path, **source.options())
    except Exception as problem:
        raise _explained(source.name, problem) from problem


def fit_config(config: Any, data: TextData, settings: ModelSettings, max_length: int) -> Any:
    """Give the configuration the data's labels.

    Raises:
        UserError: when the model already has a head for another number of labels, or reads fewer tokens than asked.
    """
    positions = getattr(config, "max_position_embeddings", None)
    if positions and positions > 0 and max_length > positions:
        raise UserError(f"--max_length {max_length} is more than the {positions} tokens that {settings.model} reads.")
    outputs = max(len(data.label_names), 1)
    has_head = any("ForSequenceClassification" in name for name in getattr(config, "architectures", None) or ())
    if has_head and config.num_labels != outputs and not settings.ignore_mismatched_sizes:
        names = ", ".join(str(name) for name in config.id2label.values())
        raise UserError(
            f"--model {settings.model} has a head for {config.num_labels} labels ({names}), the data has {outputs}"
            f" ({', '.join(data.label_names) or 'a value'}): take a model without a head, or replace it by"
            " --ignore_mismatched_sizes."
        )
    config.num_labels = outputs
    config.problem_type = data.problem
    if data.label_names:
        config.id2label = dict(enumerate(data.label_names))
        config.label2id = {name: number for number, name in enumerate(data.label_names)}
    return config


def load_model(source: Pretrained, config: Any, ignore_mismatched_sizes: bool = False) -> PreTrainedModel:
    """The classifier in float32, with a new head where the model has none."""
    try:
        return AutoModelForSequenceClassification.from_pretrained(
            source.path,
            config=config,
            ignore_mismatched_sizes=ignore_mismatched_sizes,
            dtype="float32",
            **source.options(),
        )
    except Exception as problem:
        raise _explained(source.name, problem) from problem


def _explained(name: str, problem: Exception) -> UserError:
    """One line for what transformers and the Hub's client raise, of whatever class."""
    chain: list[str] = []
    cause: BaseException | None = problem
    while cause is not None:
        chain.append(f"{type(cause).__name__} {cause}")
        cause = cause.__cause__ or cause.__context__
    text = " ".join(chain)
    reason = " ".join(str(problem).split())[:200]
    if isinstance(problem, UserError):
        return problem
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
        where = os.environ.get("HF_ENDPOINT", "the Hub")
        return UserError(f"--model {name!r} is not in the local cache and {where} is out of reach: {_GO_ON}.")
    return UserError(f"--model {name!r} cannot be loaded as a text classifier: {reason}")
