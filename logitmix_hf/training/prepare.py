"""``--prepare``: what a run fetches is in the caches, before anything is trained; it then needs no network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from logitmix_hf.disk import expanded
from logitmix_hf.training.job import Job
from logitmix_hf.training.loaded import Loaded
from logitmix_hf.vision.network_table import NETWORKS


def prepared_lines(job: Job, loaded: Loaded) -> list[str]:
    """What is where, and how big, a line each: data, model, and a tokenizer of its own."""
    data = loaded.data
    counts = ", ".join(f"{len(split):,} {name}" for name, split in loaded.splits.items())
    lines = [f"data {data.name} ({counts} rows): {_place(data.source, 'dataset', data.kind)}"]
    for what in ("model", "tokenizer"):
        if (name := getattr(job.model, what, None)) is not None:
            here = name == "builtin" or name in NETWORKS or expanded(name).is_dir()
            lines.append(f"{what} {name}: {_place(name, 'model', 'here' if here else 'hub')}")
    return [
        *lines,
        "prepared: the same command without --prepare trains, with HF_HUB_OFFLINE=1 where there is no network.",
    ]


def _place(name: str, kind: str, origin: str) -> str:
    if origin != "hub":
        return "on this machine, nothing was fetched"
    from huggingface_hub import scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    try:
        found: list[Any] = [r for r in scan_cache_dir().repos if (r.repo_id, r.repo_type) == (name, kind)]
    except CacheNotFound:
        found = []
    if found:
        return f"{found[0].size_on_disk / 1e6:,.1f} MB in {found[0].repo_path}"
    if kind == "dataset":
        from datasets import config

        folder = Path(config.HF_DATASETS_CACHE) / name.replace("/", "___").lower()
        if folder.is_dir():
            size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
            return f"{size / 1e6:,.1f} MB in {folder}"
    return (
        "read, but no cache of the Hub's holds it by this name: try a run with HF_HUB_OFFLINE=1 before you count on it"
    )
