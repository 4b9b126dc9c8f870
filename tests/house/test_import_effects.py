"""Importing a module of the package changes nothing in the process of whoever imports it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow  # other processes

ROOT = Path(__file__).parents[2]
# Loaded by `evaluate` by path, and they need it: they are no modules to import.
NOT_IMPORTED = ROOT / "logitmix_hf/evaluation/modules"

EFFECTS = {
    "environment": "import os\nos.environ['TOKENIZERS_PARALLELISM'] = 'mine'",
    "search path": "import sys\nsys.path.append('/nowhere')",
    "warning filters": "import warnings\nwarnings.filterwarnings('ignore', message='mine')",
    "log handlers": "import logging\nlogging.getLogger('mine').addHandler(logging.StreamHandler())",
    "log levels": "import logging\nlogging.getLogger().setLevel(5)",
    "signal handlers": "import signal\nsignal.signal(signal.SIGTERM, lambda *_: None)",
    "random state of random": "import random\nrandom.random()",
    "random state of numpy": "import numpy\nnumpy.random.rand()",
    "random state of torch": "import torch\ntorch.rand(1)",
    "settings of torch": "import torch\ntorch.set_grad_enabled(False)",
    "settings of matplotlib": "import matplotlib\nmatplotlib.rcParams['lines.linewidth'] = 7",
}


def test_no_module_of_the_package_changes_the_process_where_every_change_is_seen(tmp_path: Path) -> None:
    """Beside it, to check the check, a package whose every module does one such thing, and one that does none."""
    names = []
    for path in sorted((ROOT / "logitmix_hf").rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        if path.name != "__init__.py" and path.is_relative_to(NOT_IMPORTED):
            continue
        names.append(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
    assert "logitmix_hf.plan" in names
    package = tmp_path / "pushy"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "quiet.py").write_text("import torch\nx = torch.ones(1)\n")
    wanted = {}
    for number, (what, code) in enumerate(EFFECTS.items()):
        (package / f"effect{number}.py").write_text(code + "\n")
        wanted[f"pushy.effect{number}"] = [what]
    script, roots = Path(__file__).with_name("import_effects.py"), f"{ROOT}{os.pathsep}{tmp_path}"
    done = subprocess.run(
        [sys.executable, str(script), roots, *names, "pushy", "pushy.quiet", *wanted],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == wanted
