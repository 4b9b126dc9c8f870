"""``run.json``: how a run came about, so that it can be understood, repeated and resumed.

| key | |
|---|---|
| ``format`` | the mark of a run folder |
| ``status`` | ``running``, ``done``, ``interrupted`` or ``failed`` |
| ``command`` | what to type to repeat it, tokens hidden |
| ``arguments`` | every argument as the run took it |
| ``changed`` | those of them that could not stay as they were asked for: ``asked``, ``taken`` and ``why`` by name |
| ``seeds`` | name to number |
| ``model`` | ``base`` (id or path it started from), ``local`` (a path), ``type``, ``parameters`` … |
| ``data`` | ``name``, ``source``, ``fingerprint``, ``problem``, ``label_names``, ``columns``, ``metrics`` (first = headline), ``train_rows``, ``splits`` (by the prefix of their scores' keys: ``split``, the name of the predictions file; ``rows``; ``source``, what it is called where it comes from; ``test``, whether it could choose nothing), ``subset`` |
| ``method`` | ``name``, ``site``, weights … as trained |
| ``environment`` | ``versions``, ``platform``, ``cpu``, ``cores``, ``threads``, ``device``, ``processes`` |
| ``started``, ``finished`` | UTC, ISO 8601 |
| ``seconds`` | of the whole run |
| ``examples_per_second`` | training examples |
| ``peak_memory`` | ``process_mb`` (resident), ``device_mb`` (allocated on the accelerator), of 10^6 bytes |
"""  # noqa: E501

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from fnmatch import fnmatchcase
from importlib import metadata
from typing import Any

from logitmix_hf.errors import UserError
from logitmix_hf.process import usable_cores
from logitmix_hf.redact import command_line
from logitmix_hf.reporting.files import plain
from logitmix_hf.reporting.folder import FORMAT, RECORD, RunFolder

_PACKAGES = (
    *("logitmix_hf", "torch", "transformers", "accelerate", "datasets", "tokenizers", "huggingface_hub"),
    *("safetensors", "numpy", "scipy", "scikit-learn"),
)

MAY_DIFFER = (
    *("output_dir", "config", "resume", "resume_from_checkpoint", "prepare", "keep_checkpoints", "overwrite"),
    *("do_train", "do_eval", "do_predict", "test_file", "shift", "ood", "corrupted", "corruptions", "fold"),
    *("protocol", "calibration_file", "calibrate_on_eval", "push_to_hub", "hub_*", "local_rank", "ddp_timeout"),
    *(
        "logging_*",
        "log_*",
        "report_to",
        "run_name",
        "project",
        "trackio_*",
        "disable_tqdm",
        "save_*",
        "skip_memory_metrics",
    ),
    *(
        "eval_delay",
        "eval_steps",
        "eval_strategy",
        "eval_on_start",
        "eval_accumulation_steps",
        "per_device_eval_batch_size",
    ),
    *("dataloader_num_workers", "dataloader_pin_memory", "dataloader_persistent_workers", "dataloader_prefetch_factor"),
)
"""Arguments that a resumed run may change, as patterns: they move no weight of the model."""


OBJECTS = ("arguments", "seeds", "model", "data", "data.splits", "method", "peak_memory")
OBJECTS += ("environment", "environment.versions", "environment.device")
"""Where a record holds an object (dotted: within another)."""


def read_record(folder: RunFolder) -> dict[str, Any]:
    """``run.json`` of a folder, with an object at each of ``OBJECTS``; an empty one where there is none.

    Raises:
        UserError: there is no such file, it is no JSON object, or something else stands where an object should.
    """
    record = folder.read_json(RECORD)
    for place in OBJECTS:
        *above, key = place.split(".")
        inner = record[above[0]] if above else record
        inner[key] = {} if inner.get(key) is None else inner[key]
        if not isinstance(inner[key], dict):
            raise UserError(f"{str(folder.path / RECORD)!r} has no object under {place!r}, but {inner[key]!r:.40}.")
    return record


def new_record(
    *,
    argv: Sequence[str],
    asked: Mapping[str, Any],
    changed: Mapping[str, tuple[Any, str]],
    seeds: Mapping[str, int],
    model: Mapping[str, Any],
    data: Mapping[str, Any],
    method: Mapping[str, Any],
) -> dict[str, Any]:
    """The content of ``run.json`` at the start of a run (status ``running``); the table above says what goes where.

    ``argv``: the words of the command. ``asked``: all arguments, as they were asked for; tokens are left out. ``changed``:
    what some of them had to become, and why.
    """
    return plain(
        {
            "format": FORMAT,
            "status": "running",
            "command": command_line(argv),
            "arguments": {**asked, **{name: value for name, (value, _) in changed.items()}},
            "changed": {
                name: {"asked": asked[name], "taken": value, "why": why} for name, (value, why) in changed.items()
            },
            "seeds": seeds,
            "model": model,
            "data": data,
            "method": method,
            "environment": describe_environment(),
            "started": now(),
            "finished": None,
            "seconds": None,
            "examples_per_second": None,
            "peak_memory": None,
        }
    )


def asked_arguments(record: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a run as they were asked for, from the content of its ``run.json``: what makes two runs the same.
    An older record does not tell them apart from those that the run took."""
    asked = {name: change["asked"] for name, change in record.get("changed", {}).items()}
    return {**record.get("arguments", {}), **asked}


def device_of(record: Mapping[str, Any]) -> str:
    """The kind of device that a run was trained on, by the name that its maker gives it."""
    environment = record.get("environment") or {}
    device = environment.get("device") or {}
    name = device.get("name") or (environment.get("cpu") if device.get("type") == "cpu" else device.get("type"))
    return str(name or "unknown")


def now() -> str:
    """The time, UTC, ISO 8601, to the second."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def describe_environment() -> dict[str, Any]:
    """Versions, processor, threads and accelerator of this process. Imports torch."""
    import torch

    device: dict[str, Any] = {"type": "cpu"}
    if torch.cuda.is_available():
        properties = torch.cuda.get_device_properties(torch.cuda.current_device())
        device = {
            "type": "cuda",
            "name": properties.name,
            "memory_gb": round(properties.total_memory / 1e9, 1),
            "visible": torch.cuda.device_count(),
        }
    elif torch.backends.mps.is_available():
        device = {"type": "mps"}
    versions: dict[str, str | None] = {"python": platform.python_version()}
    versions |= {package: _version(package) for package in _PACKAGES}
    return {
        "versions": versions,
        "platform": platform.platform(),
        "cpu": _cpu_name(),
        "cores": usable_cores(),
        "threads": torch.get_num_threads(),
        "processes": int(os.environ.get("WORLD_SIZE", "1")),
        "device": device,
    }


def peak_memory() -> dict[str, float | None]:
    """The most memory that this process has held so far: ``process_mb``, and ``device_mb`` on a CUDA device."""
    process = None
    if sys.platform != "win32":
        import resource

        unit = 1 if sys.platform == "darwin" else 1024
        process = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6, 1)
    device = None
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        device = round(torch.cuda.max_memory_allocated() / 1e6, 1)
    return {"process_mb": process, "device_mb": device}


def check_same_arguments(old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    """Require that a run goes on with the arguments it began with.

    ``old`` is what :func:`asked_arguments` finds in ``run.json``, ``new`` the arguments now; only names that both have are
    compared (a newer library may have added one), and names that match a pattern of :data:`MAY_DIFFER` are not.

    Raises:
        UserError: naming each argument that differs with both values.
    """
    before, after = plain(old), plain(new)
    differing = [
        f"--{name} was {_value_text(before[name])}, is now {_value_text(after[name])}"
        for name in sorted(before.keys() & after.keys())
        if before[name] != after[name] and not any(fnmatchcase(name, pattern) for pattern in MAY_DIFFER)
    ]
    if differing:
        raise UserError(
            f"--resume needs the arguments that the run began with: {'; '.join(differing)}. Give the old values, or "
            "start another run with another --output_dir."
        )


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        # A checkout that was never installed still knows its own version.
        return getattr(sys.modules.get(package), "__version__", None)


def _value_text(value: Any) -> str:
    if isinstance(value, (list, dict, str)):
        text = repr(value)
        return text if len(text) <= 200 else f"{text[:197]}…"
    return "not set" if value is None else str(value)


def _cpu_name() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
