"""One writer a folder: a lock that needs nothing of a file system but links or exclusive creation, no `flock`, which
network disks refuse or pretend to have.

The lock is a file in the folder that says who holds it. It appears whole or not at all (written aside, then linked to its
name), and its time is renewed every :data:`BEAT` seconds. A holder that was killed leaves it behind: it counts as dead when
its process is gone, seen from where its number means something (the same boot and the same container), and elsewhere when
it has been silent for :data:`SILENT` seconds. Whoever takes a dead lock over must first hold a lock named after it, which
one only can have: of two that find the same dead one, one wins, in whatever order they are scheduled.
"""

from __future__ import annotations

import json
import os
import socket
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, fields
from datetime import datetime, timezone
from pathlib import Path

from logitmix_hf.errors import UserError, printable, say

LOCK = ".lock"
BEAT = 20.0
SILENT = 180.0


@dataclass(frozen=True)
class Holder:
    """Who holds a lock.

    host, pid, since: for people; UTC, ISO 8601.
    place: where ``pid`` means this process: the boot and the space of process numbers; "" where that is not known.
    started: when the process began, in ticks since the boot: another process of the same number began at another time.
    token: of this lock and no other.
    """

    host: str
    pid: int
    since: str
    place: str
    started: str
    token: str


@contextmanager
def writing(folder: Path, *, steal: bool = False) -> Iterator[None]:
    """Hold the lock of a folder, which must be there. ``steal``: from whoever has it, who ends when he next looks (within
    ``BEAT`` seconds).

    Raises:
        UserError: somebody who lives holds it; the message says who, since when, and what to do.
        OSError: nothing can be written there.
    """
    lock, me, stop = folder / LOCK, _myself(), threading.Event()
    try:
        if rival := _take(lock, me):
            if not steal:
                raise _held(folder, rival)
            _replace(lock, me)
        # A daemon: it ends with the process, however that ends.
        threading.Thread(target=_beat, args=(lock, me, stop), name="lock", daemon=True).start()
        for leftover in folder.glob(f"{LOCK}.*"):  # of those that were killed while they took over
            leftover.unlink(missing_ok=True)
        yield
    finally:
        stop.set()
        if (now := _read(lock)) is not None and now.token == me.token:
            lock.unlink(missing_ok=True)


def check_free(folder: Path) -> None:
    """Require that nobody writes into a folder, without taking its lock.

    Raises:
        UserError: somebody does.
    """
    holder = _read(folder / LOCK)
    if holder is not None and _lives(holder, folder / LOCK):
        raise _held(folder, holder)


def _held(folder: Path, holder: Holder) -> UserError:
    if _here() and holder.place == _here():
        way = f"wait until it ends, or end it (kill {holder.pid})"
    else:
        way = f"wait until it ends, or end it there; once it has been silent for {SILENT / 60:g} minutes it counts as dead"
    return UserError(
        f"The folder {str(folder)!r} is being written by process {holder.pid} on host {printable(holder.host)} since"
        f" {printable(holder.since)}: {way}; or take another folder."
    )


def _take(lock: Path, me: Holder) -> Holder | None:
    """Take a lock; or who has it."""
    while True:
        if _create(lock, me):
            return None
        other = _read(lock)
        if other is None:  # given back just now
            continue
        if _lives(other, lock):
            return other
        heir = lock.with_name(f"{LOCK}.{other.token}")
        if rival := _take(heir, me):
            return rival
        try:
            now = _read(lock)
            if now is not None and now.token == other.token:  # only who holds `heir` may put anything in its place
                _replace(lock, me)
                return None
        finally:
            heir.unlink(missing_ok=True)


def _create(lock: Path, me: Holder) -> bool:
    """Whether the lock was free, and is ours now."""
    with _written(lock, me) as new:
        try:
            os.link(new, lock)
            return True
        except FileExistsError:  # or the answer to a link that was made got lost on its way over the network
            return new.stat().st_nlink == 2
        except OSError:  # a file system without links
            pass
    try:
        with open(lock, "x", encoding="utf-8") as file:
            json.dump(asdict(me), file)
    except FileExistsError:
        return False
    return True


def _replace(lock: Path, me: Holder) -> None:
    with _written(lock, me) as new:
        os.replace(new, lock)


@contextmanager
def _written(lock: Path, me: Holder) -> Iterator[Path]:
    """The lock's content in a file beside it."""
    descriptor, name = tempfile.mkstemp(prefix=f"{LOCK}-", dir=lock.parent)
    try:
        with open(descriptor, "w", encoding="utf-8") as file:
            json.dump(asdict(me), file)
            file.flush()
            os.fsync(file.fileno())
        yield Path(name)
    finally:
        Path(name).unlink(missing_ok=True)


def _read(lock: Path) -> Holder | None:
    """Who is named in a lock; None where there is none. One that cannot be read (a disk was full, or it is being written
    where there are no links) is somebody's of whom only the time of the file is known."""
    try:
        status = lock.stat()
    except OSError:  # there is none, or no such folder can be
        return None
    try:
        values = json.loads(lock.read_text(encoding="utf-8"))
        holder = Holder(**{field.name: values[field.name] for field in fields(Holder)})
        if all(isinstance(value, str) for name, value in asdict(holder).items() if name != "pid"):
            return Holder(**{**asdict(holder), "pid": int(holder.pid)})
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        pass
    since = datetime.fromtimestamp(status.st_mtime, timezone.utc).isoformat(timespec="seconds")
    return Holder("(not known)", 0, since, "", "", f"{status.st_ino}-{status.st_mtime_ns}")


def _lives(holder: Holder, lock: Path) -> bool:
    began = _began(holder.pid) if holder.place and holder.place == _here() else None
    if began is not None:
        return began == holder.started
    try:
        return _now(lock.parent) - lock.stat().st_mtime < SILENT
    except FileNotFoundError:
        return False


def _now(folder: Path) -> float:
    """The time by the clock of the disk, which may be another machine's."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            return os.fstat(file.fileno()).st_mtime
    except OSError:
        return time.time()


def _beat(lock: Path, me: Holder, stop: threading.Event) -> None:
    while not stop.wait(BEAT):
        with suppress(OSError):
            holder = _read(lock)
            if holder is not None and holder.token != me.token and not stop.is_set():
                # This process slept so long that another machine thought it dead. Nothing more may be written.
                say(
                    f"error: {lock.parent} was taken over by process {holder.pid} on host {printable(holder.host)} while"
                    " this one was silent: it ends here."
                )
                os._exit(1)
            os.utime(lock)


def _myself() -> Holder:
    now = datetime.now(timezone.utc).isoformat(timespec="seconds")
    pid, here = os.getpid(), _here()
    return Holder(socket.gethostname(), pid, now, here, (here and _began(pid)) or "", uuid.uuid4().hex)


def _here() -> str:
    """The boot of this machine and the space of process numbers that this process lives in; "" where no /proc says so."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def _began(pid: int) -> str | None:
    """When a process of this machine began; "" for one that is gone, or dead and only not yet buried by its parent; None
    for one that this user may not look at."""
    others = False
    try:
        os.kill(pid, 0)
    except PermissionError:
        others = True
    except (OSError, OverflowError):
        return ""
    try:
        # The name, in brackets, may hold anything; after it come the state and, as the 22nd of all, the start.
        state, *rest = (
            Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        )
    except OSError:
        return None if others else ""
    return "" if state in ("Z", "X") else rest[18]
