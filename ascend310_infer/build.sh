#!/usr/bin/env bash
# Builds csd_infer and csd_tests.
set -euo pipefail

usage() {
  cat <<'TEXT'
usage: bash build.sh [LITE_HOME] [--sanitize] [--test]

  LITE_HOME   folder of MindSpore Lite: the one that holds include/api, or runtime/;
              the environment variables LITE_HOME and MS_LITE_HOME do the same
  --sanitize  AddressSanitizer and UndefinedBehaviorSanitizer, in the subfolder sanitize/
  --test      run the tests after the build

The environment variable BUILD_DIR names the folder of the build; build/ beside this script by
default. Without LITE_HOME only the tests are built. Needed: a C++17 compiler, CMake and OpenCV's
core and imgcodecs headers; on Debian:
apt-get install g++ cmake libopencv-core-dev libopencv-imgcodecs-dev
TEXT
}

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
lite=${LITE_HOME:-${MS_LITE_HOME:-}}
build=${BUILD_DIR:-$here/build}
sanitize=OFF
test=no
for argument in "$@"; do
  case $argument in
    -h | --help) usage; exit 0 ;;
    --sanitize) sanitize=ON; build=$build/sanitize ;;
    --test) test=yes ;;
    -*) echo "error: unknown option $argument; see --help" >&2; exit 2 ;;
    *) lite=$argument ;;
  esac
done

for tool in g++ cmake; do
  if ! command -v "$tool" > /dev/null; then
    echo "error: $tool is not installed; on Debian: apt-get install g++ cmake" >&2
    exit 2
  fi
done
if [[ -n $lite && ! -f $lite/include/api/model.h && ! -f $lite/runtime/include/api/model.h ]]; then
  echo "error: no include/api/model.h in $lite; name the folder of MindSpore Lite" >&2
  exit 2
fi
[[ -n $lite ]] && lite=$(cd "$lite" && pwd)

log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! cmake -S "$here" -B "$build" -DLITE_HOME="$lite" -DCSD_SANITIZE="$sanitize" > "$log" 2>&1; then
  cat "$log" >&2
  echo "error: CMake could not configure; is OpenCV there?" \
    "apt-get install libopencv-core-dev libopencv-imgcodecs-dev" >&2
  exit 2
fi
cmake --build "$build" --parallel "$(nproc)"
if [[ $test == yes ]]; then
  "$build/csd_tests"
fi
