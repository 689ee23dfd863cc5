#!/usr/bin/env bash
# Upscales a benchmark set with the C++ program on an Ascend 310P, a 310 or the CPU and scores it.
# Usage: bash scripts/run_infer_310.sh MINDIR DATA_DIR [DEVICE] [DEVICE_ID]
#    or: bash scripts/run_infer_310.sh MINDIR DATA_DIR DEVICE_ID
# MINDIR: a file of export.py or, for Ascend, what converter_lite made of it (NAME_ascend.mindir); or a
#   folder of them: each image then takes the size that fits, and Ascend the converted ones.
# DATA_DIR: a set (with HR and, if it has one, LR_bicubic), or a folder of sets.
# DEVICE: Ascend (the default) or CPU. DEVICE_ID: 0.
# Environment: LITE_HOME or MS_LITE_HOME, folder of MindSpore Lite (on the CPU fetched if unset);
# OUTPUT_DIR (output/infer_310); OVERLAP (8); BATCH; THREADS; PRECISION: as csd_infer's options;
# BUILD_DIR (ascend310_infer/build), where the program is built.
set -euo pipefail

usage() { sed -n '2,12s/^# //p' "${BASH_SOURCE[0]}"; }

case "${1:-}" in
  -h | --help)
    usage
    exit 0
    ;;
esac
if (($# < 2 || $# > 4)); then
  usage >&2
  exit 2
fi
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
model=$1
data=$2
device=${3:-Ascend}
device_id=${4:-0}
if (($# == 3)) && [[ $device =~ ^[0-9]+$ ]]; then
  device_id=$device
  device=Ascend
fi
output=${OUTPUT_DIR:-output/infer_310}
python=${CSD_VENV:-$root/.venv}/bin/python
[[ -x $python ]] || python=python3
runner=$root/ascend310_infer
export BUILD_DIR=${BUILD_DIR:-$runner/build}

if [[ ! -e $model ]]; then
  echo "error: no MINDIR at $model; \`python export.py --ckpt FILE --size 64x64\` writes one" >&2
  exit 2
fi
if [[ ! -d $data ]]; then
  echo "error: no folder $data" >&2
  exit 2
fi
if [[ $device != CPU && $device != Ascend ]]; then
  echo "error: DEVICE must be Ascend or CPU, not '$device'" >&2
  exit 2
fi
if [[ ! $device_id =~ ^[0-9]+$ ]]; then
  echo "error: DEVICE_ID must be a whole number, not '$device_id'" >&2
  exit 2
fi
lite=${LITE_HOME:-${MS_LITE_HOME:-}}
if [[ -z $lite && $device == Ascend ]]; then
  echo "error: set LITE_HOME to the folder of MindSpore Lite; see ascend310_infer/README.md" >&2
  exit 2
fi
[[ -n $lite ]] || lite=$(bash "$root/scripts/fetch_mindspore_lite.sh")
lite=$(cd "$lite" && pwd)

# Built again when a source is newer, or for another MindSpore Lite.
program=$BUILD_DIR/csd_infer
if [[ ! -x $program || "$(cat "$BUILD_DIR/.lite" 2> /dev/null)" != "$lite" ]] ||
  [[ -n "$(find "$runner/src" "$runner/CMakeLists.txt" -newer "$program")" ]]; then
  echo "building csd_infer" >&2
  log=$(mktemp)
  if ! bash "$runner/build.sh" "$lite" > "$log" 2>&1; then
    cat "$log" >&2
    rm -f "$log"
    echo "error: csd_infer could not be built" >&2
    exit 1
  fi
  rm -f "$log"
  echo "$lite" > "$BUILD_DIR/.lite"
fi

tool() { "$python" "$root/tools/infer_310.py" "$@" --model "$model" --output "$output"; }

mkdir -p "$output"
lower=()
[[ "$(cat "$lite/mindir_version" 2> /dev/null)" != 1 ]] || lower=(--lower)
mapfile -t models < <(tool models --device "$device" "${lower[@]}")
((${#models[@]})) || exit 2 # the tool has said why
options=(--device "$device" --device_id "$device_id" --overlap "${OVERLAP:-8}")
for file in "${models[@]}"; do options+=(--model "$file"); done
[[ -z ${BATCH:-} ]] || options+=(--batch "$BATCH")
[[ -z ${THREADS:-} ]] || options+=(--threads "$THREADS")
[[ -z ${PRECISION:-} ]] || options+=(--precision "$PRECISION")

# For the program alone: Python's MindSpore has libraries of the same names.
libraries=$lite/runtime/lib:$lite/tools/converter/lib:$lite/lib
libraries+=${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
sets=$(tool inputs --device "$device" --data_dir "$data")
while read -r name; do
  LD_LIBRARY_PATH=$libraries "$program" "${options[@]}" --input "$output/$name/lr" --output "$output/$name/sr" \
    --json "$output/$name/stats.json"
done <<< "$sets"
tool score --device "$device" --data_dir "$data"
