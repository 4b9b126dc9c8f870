"""One run in several processes: ``launch: {processes: 2, config: fsdp2.yaml}`` as the words of ``accelerate launch``."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from logitmix_hf.errors import UserError, listed, nearest
from logitmix_hf.yaml_text import load_mapping

KEYS = ("processes", "config")


@dataclass(frozen=True)
class Launch:
    """processes: of a run, on one machine. config: a file of accelerate; None: one process, without a launcher."""

    processes: int = 1
    config: Path | None = None

    @property
    def program(self) -> tuple[str, ...]:
        """What stands before the command."""
        if self.config is None:
            return (sys.executable, "-m", "logitmix_hf.cli")
        words = ["--config_file", str(self.config), "--num_processes", str(self.processes), "--main_process_port", "0"]
        return (sys.executable, "-m", "accelerate.commands.launch", *words, "-m", "logitmix_hf.cli")


def configs_folder() -> Path:
    """Where the files that we ship lie: within an installed package, beside it in a checkout."""
    inside = Path(__file__).parents[1] / "configs"
    return inside if inside.is_dir() else Path(__file__).parents[2] / "configs"


def read_launch(entry: Mapping[Any, Any]) -> Launch:
    """``launch:`` of a study file; nothing is one process.

    Raises:
        UserError: an unknown key, no whole number of processes, or no file of accelerate's.
    """
    if not entry:
        return Launch()
    for key in entry:
        if key not in KEYS:
            raise UserError(f"there is no key of launch: {key!r}.{nearest(str(key), KEYS)} Known: {', '.join(KEYS)}.")
    count, name = entry.get("processes"), str(entry.get("config", "ddp.yaml"))
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise UserError(f"launch: processes must be a whole number, 1 or more, got {count!r}.")
    shipped = {path.name: path for path in sorted(configs_folder().glob("*.yaml"))}
    path = shipped[name] if name in shipped and not Path(name).is_file() else Path(name)
    if not path.is_file():
        raise UserError(
            f"launch: there is no file {listed([name])} of accelerate's settings.{nearest(name, shipped)} Give the path of one,"
            f" or one of {', '.join(shipped)}."
        )
    try:
        settings = load_mapping(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as problem:
        raise UserError(f"launch: {path}: {problem}") from None
    if "distributed_type" not in settings:
        raise UserError(f"launch: {path} is no file of accelerate's settings: it names no distributed_type.")
    return Launch(count, path.absolute())
