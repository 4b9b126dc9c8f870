"""A command that does not outlive who started it: ``python child.py PARENT COMMAND …``. It must need nothing but the
standard library, and no package around it.

On Linux the kernel sends SIGTERM when the parent is gone, however it went, and the command saves what it has. (Seen: without
it, the task of a dead worker left its training running, and the next one met it in the folder.) Elsewhere this process stays
and watches the parent's number.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

PR_SET_PDEATHSIG = 1


def child_environment() -> dict:
    """This process's own, with a way to this very package wherever a child starts."""
    here = str(Path(__file__).parents[2])
    paths = os.environ.get("PYTHONPATH")
    return {**os.environ, "PYTHONPATH": f"{here}{os.pathsep}{paths}" if paths else here}


def main(parent: int, command: list) -> int:
    """Become the command, or watch over it."""
    if sys.platform.startswith("linux"):
        import ctypes

        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, int(signal.SIGTERM))
        if os.getppid() != parent:  # it went before the kernel was asked
            return 128 + int(signal.SIGTERM)
        os.execvp(command[0], command)
    child = subprocess.Popen(command)
    signal.signal(signal.SIGTERM, lambda *_: child.terminate())
    told = False
    while child.poll() is None:
        if os.getppid() != parent and not told:
            child.terminate()
            told = True
        time.sleep(0.2)
    return child.returncode if child.returncode >= 0 else 128 - child.returncode


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2:]))
