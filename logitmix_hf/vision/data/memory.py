"""How much memory images may take."""

from __future__ import annotations

from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")


def free_memory() -> int:
    """Bytes of RAM that this process may still take: what the machine has free, or the rest of its container's limit."""
    import psutil

    free, limit = int(psutil.virtual_memory().available), _container()
    return free if limit is None else min(free, limit)


def _container(folder: Path = _CGROUP) -> int | None:
    """Of cgroup v2: the limit less what is used, files that can be dropped not counted; None without a limit."""
    try:
        limit = (folder / "memory.max").read_text().strip()
        used = int((folder / "memory.current").read_text())
        rows = (line.split() for line in (folder / "memory.stat").read_text().splitlines())
        files = {name: int(value) for name, value in rows}
    except (OSError, ValueError):
        return None
    return None if limit == "max" else max(int(limit) - used + files.get("inactive_file", 0), 0)
