#!/usr/bin/env bash
# Installs the Python packages that the tests need and runs them, with the linters.
# Usage: bash scripts/run_tests.sh [--install] [--fast | --all] [PYTEST_ARG ...]
#   --install  Debian packages too (a C++ compiler, OpenCV, Chromium), as where CI is set
#   --fast  leave out what is marked slow; --all  take in what is marked nightly
# MINDSPORE_VERSION=2.10.0 before it: with that MindSpore, in an environment of its own.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"

select="not nightly"
install="${CI:-}"
while (($#)); do
  case "$1" in
    -h | --help)
      sed -n '2,6s/^# //p' "${BASH_SOURCE[0]}"
      exit 0
      ;;
    --install) install=1 ;;
    --fast) select="not slow and not nightly" ;;
    --all) select="" ;;
    *) break ;;
  esac
  shift
done

# shellcheck source=scripts/setup_env.sh
source scripts/setup_env.sh
setup_env test

# The C++ tests need a compiler and OpenCV's headers, those of the report and the web page a browser.
missing=()
for package in g++ cmake libopencv-core-dev libopencv-imgcodecs-dev libopencv-imgproc-dev chromium \
  chromium-driver iproute2; do
  dpkg -s "$package" > /dev/null 2>&1 || missing+=("$package")
done
if ((${#missing[@]})); then
  if [[ -n "$install" && "$(id -u)" == 0 ]] && command -v apt-get > /dev/null; then
    echo "installing ${missing[*]}" >&2
    apt-get update -qq > /dev/null || true
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
      "${missing[@]}" > /dev/null
  else
    echo "not installed: ${missing[*]}; the tests that need them are skipped" \
      "(--install, as root, installs them)" >&2
  fi
fi

export PATH="$VENV/bin:$PATH" CSD_VENV="$VENV"
ruff check .
ruff format --check .
lint-imports
mypy
pylint --score=n src experiments # ten lines that stand twice
shellcheck -x scripts/*.sh ascend310_infer/*.sh ascend310_infer/tests/*/*.sh .ci/run
# One thread a process: two processes that each take all cores wait for each other.
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}" NUMBA_NUM_THREADS="${NUMBA_NUM_THREADS:-1}"
python -m pytest -n "${CSD_TEST_WORKERS:-2}" --dist loadfile -m "$select" "$@"
