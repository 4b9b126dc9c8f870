#!/bin/sh
# Make .venv and install the package with its development tools; at once when that is done already.
# PYTHON names the interpreter to use, TORCH_INDEX the package index to take torch and torchvision from.
set -eu
cd "$(dirname "$0")/.."

PYTHON=${PYTHON:-}
TORCH_INDEX=${TORCH_INDEX:-}
py=.venv/bin/python
stamp=.venv/.installed

fail() {
    echo "error: $*" >&2
    exit 1
}

version_of() {
    "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null
}

# The first of the given interpreters that is new enough and can make an environment, in $found.
find_python() {
    found='' old='' bare='' broken=''
    for candidate in "$@"; do
        command -v "$candidate" >/dev/null 2>&1 || continue
        if ! version=$(version_of "$candidate"); then
            broken=$candidate
        elif ! "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 10))'; then
            old="${old:+$old, }$candidate is $version"
        elif ! "$candidate" -c 'import venv, ensurepip' 2>/dev/null; then
            bare="$candidate ($version)"
        else
            found=$candidate
            return
        fi
    done
    [ -z "$bare" ] || fail "$bare lacks venv or ensurepip: install them (Debian, Ubuntu: apt install python3-venv) or name another interpreter: make setup PYTHON=python3.12"
    [ -z "$old" ] || fail "Python 3.10 or newer is needed, $old: install one or name it: make setup PYTHON=python3.12"
    [ -z "$broken" ] || fail "$broken does not run as a Python interpreter: name another: make setup PYTHON=python3.12"
    fail "no Python found (tried $*): install 3.10 or newer or name it: make setup PYTHON=/path/to/python3.12"
}

# Content, not time: a checkout that only touches pyproject.toml installs nothing, a moved clone does.
wanted="$(cksum <pyproject.toml) $(pwd)"

usable() {
    [ -x $py ] && "$py" -c 'import sys, pip; sys.exit(sys.version_info < (3, 10))' 2>/dev/null
}
same_python() {
    [ -z "$PYTHON" ] || [ "$(version_of "$PYTHON")" = "$(version_of $py)" ]
}
same_index() {
    [ -z "$TORCH_INDEX" ] || [ "$(sed -n 2p $stamp 2>/dev/null)" = "$TORCH_INDEX" ]
}

if [ -f $stamp ] && [ "$(sed -n 1p $stamp)" = "$wanted" ] && [ -x $py ] && same_python && same_index; then
    exit 0
fi

found=''
if ! { usable && same_python && same_index; }; then
    if [ -n "$PYTHON" ]; then
        find_python "$PYTHON"
    else
        find_python python3 python3.13 python3.12 python3.11 python3.10
    fi
fi

if [ -n "$found" ] || ! "$py" -c 'import importlib.util as u, sys; sys.exit(u.find_spec("torch") is None)'; then
    # The default torch brings its CUDA libraries: 7 GB with all else, and the downloads beside them.
    need=9
    [ -z "$TORCH_INDEX" ] || need=3
    free=$(df -Pk . 2>/dev/null | awk 'NR == 2 { print $4 }')
    if [ -n "$free" ] && [ "$free" -lt $((need * 1024 * 1024)) ]; then
        free=$(awk "BEGIN { printf \"%.1f\", $free / 1048576 }")
        hint=''
        [ -n "$TORCH_INDEX" ] || hint=", or take a CPU-only torch (3 GB in all): make setup TORCH_INDEX=https://download.pytorch.org/whl/cpu"
        fail "about $need GB are needed for .venv and $free GB are free here: make room$hint"
    fi
fi

if [ -n "$found" ]; then
    echo "Making .venv with $found ($(version_of "$found"))."
    "$found" -m venv --clear .venv || fail "$found could not make .venv: name another interpreter: make setup PYTHON=python3.12"
fi

install() {
    "$py" -m pip install --disable-pip-version-check "$@" ||
        fail "the installation stopped (see above); make setup goes on from there."
}

if [ -n "$TORCH_INDEX" ]; then
    # Both from one index: torchvision fails to load beside a torch of another build.
    install --index-url "$TORCH_INDEX" torch torchvision
fi
install -e '.[dev]'
index=${TORCH_INDEX:-$(sed -n 2p $stamp 2>/dev/null || true)}
printf '%s\n%s\n' "$wanted" "$index" >$stamp
