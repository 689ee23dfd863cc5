#!/usr/bin/env bash
# Fetches MindSpore Lite's C++ headers and CPU libraries and prints the folder they lie in.
# Usage: bash scripts/fetch_mindspore_lite.sh [CACHE_DIR]
# CACHE_DIR: default $XDG_CACHE_HOME/csd or ~/.cache/csd; a second run finds what is there.
set -euo pipefail

case "${1:-}" in
  -h | --help)
    sed -n '2,4s/^# //p' "${BASH_SOURCE[0]}"
    exit 0
    ;;
  -*)
    echo "error: unknown option $1; see --help" >&2
    exit 2
    ;;
esac

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
version=2.0.0
digest=199cd0605cc985b88eddb273db9dfe9000a585ba10ca2292b6b36ebfff07b3ec
cache=${1:-${XDG_CACHE_HOME:-$HOME/.cache}/csd}
home=$cache/mindspore-lite-$version
if [[ -f $home/include/api/model.h ]]; then
  echo "$home"
  exit 0
fi
if [[ "$(uname -sm)" != "Linux x86_64" ]]; then
  echo "error: the package holds Linux x86_64 libraries only; get MindSpore Lite from" \
    "mindspore.cn and set LITE_HOME to its folder" >&2
  exit 2
fi

python=${CSD_VENV:-$root/.venv}/bin/python
[[ -x $python ]] || python=python3
mkdir -p "$cache"
work=$(mktemp -d "$cache/.lite-XXXXXX")
trap 'rm -rf "$work"' EXIT
echo "fetching MindSpore Lite $version (169 MB) from the Python package index" >&2
# The wheel is for CPython 3.7; the headers and libraries inside need no Python.
"$python" -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: \
  --python-version 37 --platform manylinux1_x86_64 --dest "$work" "mindspore-lite==$version" >&2 || {
  echo "error: pip could not download mindspore-lite==$version; is there a network?" >&2
  exit 1
}
wheel=$(echo "$work"/*.whl)
if ! echo "$digest  $wheel" | sha256sum --check --status; then
  echo "error: $(basename "$wheel") is not the file it should be (SHA-256 differs)" >&2
  exit 1
fi
# Only what a CPU run loads: a third of the package.
"$python" - "$wheel" "$work" <<'PYTHON'
import sys
import zipfile

needed = (
    "libdnnl.", "libmindspore-extendrt_python.", "libmindspore_converter.", "libmindspore_core.",
    "libmindspore_glog.", "libmslite_converter_plugin.", "libmsplugin-ge-litert_python.",
    "libopencv_", "libruntime_convert_plugin_python.",
)  # fmt: skip
with zipfile.ZipFile(sys.argv[1]) as wheel:
    for name in wheel.namelist():
        folder, _, file = name.rpartition("/")
        if "/include/" in name or (folder.endswith("/lib") and file.startswith(needed)):
            wheel.extract(name, sys.argv[2])
PYTHON
# Says that this library is older than MindSpore: it reads MINDIR version 1.
echo 1 > "$work/mindspore_lite/mindir_version"
mv -T "$work/mindspore_lite" "$home" 2> /dev/null || [[ -f $home/include/api/model.h ]]
echo "$home"
