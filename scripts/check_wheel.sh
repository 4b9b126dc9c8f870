#!/bin/sh
# Build the wheel and install it, with all it needs, into an empty environment: what somebody gets from an index.
# PYTHON names the interpreter; pip's cache makes it quick where `make setup` has run.
set -eu
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-.venv/bin/python}
home=$(mktemp -d)
trap 'rm -rf "$home"' EXIT

"$PYTHON" -m pip wheel --quiet --no-deps --wheel-dir "$home" .
"$PYTHON" -m twine check --strict "$home"/*.whl
"$PYTHON" -m venv "$home/env"
"$home/env/bin/pip" install --quiet --disable-pip-version-check --no-compile "$home"/*.whl
cd "$home"
env/bin/logitmix --version
env/bin/logitmix glue --help >/dev/null
env/bin/logitmix vision --dataset digits --model digits --method logitmix --max_steps 2 --output_dir run --use_cpu
env/bin/python -c "
import logitmix_hf.vision.networks
from transformers import AutoModelForImageClassification
print(type(AutoModelForImageClassification.from_pretrained('run')).__name__, 'loads')"
