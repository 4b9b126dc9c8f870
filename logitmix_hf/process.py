"""How a command ends: 0 done, 2 a mistake of the user in one line, 3 trained but not pushed, 130/143 interrupted."""

from __future__ import annotations

import errno
import os
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from logitmix_hf.errors import UserError, bounded, one_line, printable, say
from logitmix_hf.redact import scrub


def is_main_process() -> bool:
    """Whether this process speaks for all: rank 0, or the only one."""
    return int(os.environ.get("RANK", "0") or 0) == 0


def speak_once() -> None:
    """Let the main process alone say what libraries warn of: they warn in each of them, of the same. For torch's own lines to
    know, call it before torch is imported. Errors and tracebacks are everybody's. What we warn of ourselves is a line of the
    command like any other, without the place in the code."""
    warnings.formatwarning = _plainly
    if not is_main_process():
        warnings.simplefilter("ignore")
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
        os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")


_usual_format = warnings.formatwarning


def _plainly(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
) -> str:
    if issubclass(category, UserWarning) and os.path.dirname(__file__) in filename:
        return printable(scrub(str(message))) + "\n"
    return _usual_format(message, category, filename, lineno, line)


def guarded(command: Callable[[], int | None]) -> int:
    """Run a command and turn how it ended into an exit code.

    ``LOGITMIX_TRACEBACK=1`` shows the traceback of a mistake. What is neither a mistake nor an interruption keeps its
    traceback: the interpreter prints it and exits with 1. SIGTERM ends the command as an exception does, with 143:
    what it was writing is cleared away.
    """
    speak_once()
    try:
        free = signal.getsignal(signal.SIGTERM) == signal.SIG_DFL  # nobody has other plans for it
        with handling(_terminate, *[signal.SIGTERM] * free):
            code = command() or 0
        _leave_group()
        return code
    except UserError as mistake:
        if is_main_process():
            _show_traceback()
            say("error: " + bounded(" ".join(str(mistake).split())))
        _leave_group()
        return 2
    except KeyboardInterrupt:
        if is_main_process():
            say("interrupted")
        return 130
    except Exception as problem:  # whatever it came in, a full disk ends in one line; the rest is raised again
        if not (full := _full_disk(problem)):
            raise
        _show_traceback()
        # What was being saved says best what is left and how it goes on; else the disk itself.
        own = type(problem).__module__.startswith("logitmix_hf.")
        told = str(problem) if own else f"{full}: make room, and run the command again"
        say("error: " + bounded(" ".join(told.split()).rstrip(".") + "."))
        return 1


def _full_disk(problem: BaseException) -> str:
    """What says that a disk is full, or a quota used up, in whatever a library made of it; "" for any other problem."""
    seen: BaseException | None = problem
    while seen is not None:
        if isinstance(seen, OSError) and seen.errno in (errno.ENOSPC, errno.EDQUOT):
            return f"{seen.strerror} ({seen.filename})" if seen.filename else str(seen.strerror)
        if any(words in str(seen) for words in _FULL):
            return one_line(seen)
        seen = seen.__cause__ or seen.__context__
    return ""


_FULL = ("No space left on device", "Disk quota exceeded", "PytorchStreamWriter failed writing")
"""Of safetensors and torch, which have classes of their own for it."""


def _show_traceback() -> None:
    if os.environ.get("LOGITMIX_TRACEBACK", "") not in ("", "0"):
        traceback.print_exc()


def by_main(call: Callable[[], None]) -> None:
    """Call in the main process alone. A mistake that it finds is everybody's: all processes end with it, and none waits for
    one that is gone."""
    mistake: UserError | None = None
    if is_main_process():
        try:
            call()
        except UserError as found:
            mistake = found
    if (group := _group()) is not None:
        told = [None if mistake is None else str(mistake)]
        group.broadcast_object_list(told, src=0)
        if mistake is None and told[0] is not None:
            mistake = UserError(told[0])
    if mistake is not None:
        raise mistake


def _group() -> Any:
    """torch's module of process groups, where this process is in one."""
    distributed = sys.modules.get("torch.distributed")
    found = distributed is not None and distributed.is_available() and distributed.is_initialized()
    return distributed if found else None


def _leave_group() -> None:
    """Take this process out of its group. A group whose threads still run when the interpreter goes may abort the process, and
    the launcher then ends the others, of which one may still be writing."""
    if (group := _group()) is not None:
        group.destroy_process_group()


@contextmanager
def handling(handler: Callable[[int, Any], Any], *signals: int) -> Iterator[None]:
    """Within: these signals are the handler's. Only a main thread can have any: in another nothing changes."""
    mine = signals if threading.current_thread() is threading.main_thread() else ()
    before = {number: signal.signal(number, handler) for number in mine}
    try:
        yield
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)


def _terminate(number: int, frame: Any) -> None:
    raise SystemExit(128 + number)


def usable_cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def own_cores() -> int:
    """The cores that this process may use, shared evenly by the processes of this machine; at least 1."""
    return max(1, usable_cores() // int(os.environ.get("LOCAL_WORLD_SIZE", "1") or 1))


def use_all_cores() -> None:
    """Undo the one thread that ``accelerate launch`` sets on machines without a GPU; say so in one line.

    A number of threads that the user chose (``OMP_NUM_THREADS`` or ``--num_cpu_threads_per_process`` above 1) stays.
    """
    import torch

    launched = any(name.startswith("ACCELERATE_") for name in os.environ)
    if torch.cuda.is_available() or not launched or os.environ.get("OMP_NUM_THREADS") != "1":
        return
    threads = own_cores()
    if threads > 1:
        torch.set_num_threads(threads)
        if is_main_process():
            say(
                f"Using {threads} threads: accelerate launch had set one (another number:"
                " --num_cpu_threads_per_process)."
            )
