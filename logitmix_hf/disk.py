"""Files that are there whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from logitmix_hf.errors import UserError, listed


@contextlib.contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """A temporary path beside ``target``; what is written there is flushed to the disk and renamed over it.

    A reader, or a machine that stops, sees the old content or the new one. Parents are made; of a link, what it leads
    to is replaced, and the link stays.
    """
    target = Path(os.path.realpath(target))
    target.parent.mkdir(parents=True, exist_ok=True)
    name = os.fsencode(target.name)[:200].decode("utf-8", "ignore")  # it may have 255 bytes at most
    temporary = target.with_name(f".{name}.{os.getpid()}.tmp")
    try:
        yield temporary
        sync_file(temporary)
        os.replace(temporary, target)
    except BaseException:  # an interrupt too leaves no half a file; raised again
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(target.parent)


def write_atomic(target: Path, data: bytes) -> None:
    """Write a file as :func:`replacing` does."""
    with replacing(target) as temporary:
        temporary.write_bytes(data)


def expanded(name: str | os.PathLike[str]) -> Path:
    """The path with its ``~`` as somebody's home.

    Raises:
        UserError: nobody is called so, and a folder of that very name is not there; no file system takes such a name.
    """
    path = Path(os.path.expanduser(name))
    try:
        os.lstat(path)
    except OSError as problem:  # what asks whether it is there raises this one too
        if problem.errno == errno.ENAMETOOLONG:
            raise UserError(f"{listed([name])} is no path: its name is too long for a file or folder.") from None
    if str(path).startswith("~") and not os.path.lexists(path):
        raise UserError(
            f"{str(name)!r} begins with the home of a user whom this machine does not know: give the whole path."
        )
    return path


def why_not_writable(folder: Path) -> str:
    """Why nothing can be written into ``folder``, which need not be there yet, or "".

    Tried where it is, or would be made: what rights say and what a file system does are two things. A name that is no
    text is one that Arrow and safetensors cannot open.
    """
    try:
        str(folder.absolute()).encode()
        for place in (folder, *folder.absolute().parents):
            mode = _mode(place)
            if stat.S_ISDIR(mode):
                for name in folder.absolute().relative_to(place.absolute()).parts:
                    _mode(place / name)  # names have a greatest length, below what is not there yet too
                with tempfile.TemporaryFile(dir=place):
                    return ""
            if mode:
                return f"{str(place)!r} is a file"
            if place.is_symlink():
                return f"{str(place)!r} is a link that leads nowhere"
    except UnicodeEncodeError:
        return "its name is not UTF-8"
    except OSError as error:
        return error.strerror or str(error)
    return "there is no such place"


def why_no_name(path: Path) -> str:
    """Why no file can be called so, or "": names have a greatest length, below what is not there yet too."""
    try:
        _mode(path)
        _mode(next(place for place in path.absolute().parents if place.is_dir()) / path.name)
    except OSError as error:
        return error.strerror or str(error)
    return ""


def _mode(path: Path) -> int:
    """The kind and rights of what is there; 0 for nothing."""
    try:
        return path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return 0


def sync_file(path: Path) -> None:
    """Flush a file's content to the disk."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())


def sync_folder(path: Path) -> None:
    """Flush a folder's list of names to the disk, where the system can (elsewhere a rename is as safe as it gets)."""
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def sync_tree(folder: Path) -> None:
    """Flush every file below ``folder`` and the folders themselves."""
    for path in [*folder.rglob("*"), folder]:
        sync_folder(path) if path.is_dir() else sync_file(path)
