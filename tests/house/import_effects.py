"""Import modules one after the other and print which of them changed the process. Run by test_import_effects.py.

    python import_effects.py ROOT:ROOT… MODULE…

What the modules import from elsewhere is imported beforehand: what other libraries do to the process is theirs. The
last line printed is JSON: {module: [what changed]}, for the modules that changed something.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import json
import logging
import os
import random
import signal
import sys
import threading
import warnings
from pathlib import Path


def borrow(name: str) -> None:
    """Run the imports of other libraries that stand at the top of a module."""
    own = name.split(".")[0]
    spec = importlib.util.find_spec(name)
    assert spec is not None, name
    assert spec.origin is not None, name
    for node in ast.parse(Path(spec.origin).read_text()).body:
        if isinstance(node, ast.Import):
            foreign = all(alias.name.split(".")[0] != own for alias in node.names)
        else:
            foreign = isinstance(node, ast.ImportFrom) and not node.level and str(node.module).split(".")[0] != own
        if foreign and ast.unparse(node) != "from __future__ import annotations":
            exec(ast.unparse(node), {})


def state() -> dict[str, object]:
    import matplotlib
    import numpy
    import torch

    named = logging.Logger.manager.loggerDict.items()
    loggers = {"root": logging.getLogger(), **{name: one for name, one in named if isinstance(one, logging.Logger)}}
    return {
        "environment": dict(os.environ),
        "search path": list(sys.path),
        "working directory": os.getcwd(),
        "warning filters": list(warnings.filters),
        "log handlers": {name: list(logger.handlers) for name, logger in loggers.items() if logger.handlers},
        "log levels": {name: logger.level for name, logger in loggers.items() if logger.level},
        "signal handlers": {name: str(signal.getsignal(name)) for name in signal.Signals},
        "hooks": (sys.excepthook, sys.stdout, sys.stderr, sys.getrecursionlimit()),
        "threads": sorted(thread.name for thread in threading.enumerate()),
        "random state of random": random.getstate(),
        "random state of numpy": str(numpy.random.get_state()),
        "random state of torch": torch.get_rng_state().tolist(),
        "settings of numpy": (numpy.geterr(), numpy.get_printoptions()),
        "settings of torch": (torch.get_default_dtype(), torch.get_num_threads(), torch.is_grad_enabled()),
        "settings of matplotlib": dict(matplotlib.rcParams),
    }


def main() -> None:
    roots, *names = sys.argv[1:]
    sys.path[:0] = roots.split(os.pathsep)
    for name in names:
        borrow(name)
    changed = {}
    before = state()
    for name in names:
        importlib.import_module(name)
        after = state()
        if different := [what for what in before if before[what] != after[what]]:
            changed[name] = different
        before = after
    print(json.dumps(changed))


if __name__ == "__main__":
    main()
