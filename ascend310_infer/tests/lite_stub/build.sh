#!/usr/bin/env bash
# Builds the stub of MindSpore Lite in the layout of its tarball.
# Usage: bash build.sh LITE_HOME
set -euo pipefail

if (($# != 1)); then
  sed -n '2,3s/^# //p' "${BASH_SOURCE[0]}" >&2
  exit 2
fi
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
mkdir -p "$1/runtime/lib" "$1/tools/converter/lib"
cp -r "$here/include" "$1/runtime/"
flags=(-std=c++17 -Wall -Wextra -Werror -shared -fPIC)
g++ "${flags[@]}" -I "$here" "$here/lite_stub.cc" -ldl -o "$1/runtime/lib/libmindspore-lite.so"
g++ "${flags[@]}" -x c++ /dev/null -o "$1/tools/converter/lib/libmindspore_converter.so"
