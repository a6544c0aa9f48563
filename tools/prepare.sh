#!/bin/sh
# Prepares a fresh Debian or Ubuntu for Hatch; tools/setup.sh runs it and reads its output.
#
# Checks for Python 3.11 to 3.13 with venv, and for what MuJoCo renders with. Root gets what is
# missing from apt; anybody else gets the one line to run. Installs Hatch into `.hatch/` of the
# repository unless a recent Hatch is there. Messages go to stderr, shell settings to stdout.
set -eu

fail() {
    printf 'setup: %s\n' "$*" >&2
    exit 1
}

find_python() {
    for name in python3 python3.11 python3.12 python3.13 python; do
        if command -v "$name" >/dev/null 2>&1 && "$name" -c \
            'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then
            "$name" -c 'import sys; print(sys.executable)'
            return
        fi
    done
}

# Debian packages that are missing beside the Python of $1, which may be empty.
missing_packages() {
    if [ -n "$1" ]; then
        "$1" -c 'import ensurepip, venv' >/dev/null 2>&1 ||
            "$1" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])'
    elif command -v python3 >/dev/null 2>&1; then
        echo python3.11 python3.11-venv # a python3 that is too old or too new
    else
        echo python3 python3-venv
    fi
    if [ -z "$1" ] || ! "$1" tools/has_rendering.py; then
        echo libegl1 libegl-mesa0 libgl1-mesa-dri libglvnd0 libopengl0
    fi
}

install_packages() {
    command -v apt-get >/dev/null 2>&1 ||
        fail "missing, by their Debian names: $*. Install them with your system's package manager."
    if [ "$(id -u)" != 0 ]; then
        printf 'setup: some system packages are missing. Install them with this line, then start again:\n' >&2
        printf '    sudo apt-get update && sudo apt-get install -y --no-install-recommends %s\n' "$*" >&2
        exit 1
    fi
    printf 'setup: installing %s\n' "$*" >&2
    {
        apt-get update -qq &&
            DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@"
    } >&2 || fail "apt-get could not install $*; see its message above."
}

# Whether the Hatch of $1 knows workspaces and `hatch build --all`: 1.18 or newer.
hatch_is_recent() {
    version=$("$1" --version 2>/dev/null) || return 1
    version=${version##* }
    major=${version%%.*}
    rest=${version#*.}
    minor=${rest%%.*}
    case "$major$minor" in '' | *[!0-9]*) return 1 ;; esac
    [ "$major" -gt 1 ] || { [ "$major" -eq 1 ] && [ "$minor" -ge 18 ]; }
}

install_hatch() {
    if [ -x .hatch/bin/hatch ] && hatch_is_recent .hatch/bin/hatch; then return; fi
    printf 'setup: installing Hatch into .hatch/\n' >&2
    rm -rf .hatch
    if ! { "$1" -m venv .hatch &&
        .hatch/bin/python -m pip install -q --disable-pip-version-check 'hatch>=1.18,<2'; } >&2; then
        rm -rf .hatch
        fail "could not install Hatch; see pip's message above, then start again."
    fi
}

[ -f hatch.toml ] && [ -f tools/prepare.sh ] ||
    fail "run this from the root of the repository, where hatch.toml lies."
python=$(find_python)
packages=$(missing_packages "$python")
if [ -n "$packages" ]; then
    # shellcheck disable=SC2086  # the names are words
    install_packages $packages
    python=$(find_python)
    [ -n "$python" ] || fail "VRL needs Python 3.11, 3.12 or 3.13, and this system offers none of them."
fi
# A Hatch of the user's may itself run on a Python that the packages do not support.
printf 'export HATCH_PYTHON="${HATCH_PYTHON:-%s}"\n' "$python"
if ! { command -v hatch >/dev/null 2>&1 && hatch_is_recent hatch; }; then
    install_hatch "$python"
    printf 'export PATH="%s/.hatch/bin:$PATH"\n' "$PWD"
fi
