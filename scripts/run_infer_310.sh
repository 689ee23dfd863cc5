#!/usr/bin/env bash
# Restores a benchmark set with the C++ program on an Ascend 310 or the CPU and scores it.
# Usage: bash scripts/run_infer_310.sh MINDIR DATA_DIR [DEVICE] [DEVICE_ID]
# MINDIR: a file of export.py, or a folder of them (each picture then takes the size that fits).
# DATA_DIR: a set (with HR and, if it has one, LR_bicubic), or a folder of sets.
# DEVICE: Ascend (the default) or CPU. DEVICE_ID: 0.
# Environment: LITE_HOME, folder of MindSpore Lite (on the CPU it is fetched if unset);
# OUTPUT_DIR (output/infer_310); OVERLAP (8); BATCH; THREADS: as csd_infer's options.
set -euo pipefail

usage() { sed -n '2,8s/^# //p' "${BASH_SOURCE[0]}"; }

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
output=${OUTPUT_DIR:-output/infer_310}
python=${CSD_VENV:-$root/.venv}/bin/python
[[ -x $python ]] || python=python3
runner=$root/ascend310_infer

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
lite=${LITE_HOME:-}
if [[ -z $lite && $device == Ascend ]]; then
  echo "error: set LITE_HOME to the folder of MindSpore Lite; see ascend310_infer/README.md" >&2
  exit 2
fi
[[ -n $lite ]] || lite=$(bash "$root/scripts/fetch_mindspore_lite.sh")
lite=$(cd "$lite" && pwd)

# Built again when a source is newer, or for another MindSpore Lite.
program=$runner/build/csd_infer
if [[ ! -x $program || "$(cat "$runner/build/.lite" 2> /dev/null)" != "$lite" ]] ||
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
  echo "$lite" > "$runner/build/.lite"
fi

tool() { "$python" "$root/tools/infer_310.py" "$@"; }

mkdir -p "$output"
models=("$model")
[[ -d $model ]] && models=("$model"/*.mindir)
if [[ "$(cat "$lite/mindir_version" 2> /dev/null)" == 1 ]]; then
  mapfile -t models < <(tool lower --model "$model" --output "$output/models")
  ((${#models[@]})) || exit 2 # the tool has said why
fi
options=(--device "$device" --device_id "$device_id" --overlap "${OVERLAP:-8}")
for file in "${models[@]}"; do options+=(--model "$file"); done
[[ -z ${BATCH:-} ]] || options+=(--batch "$BATCH")
[[ -z ${THREADS:-} ]] || options+=(--threads "$THREADS")

sets=$(tool inputs --model "$model" --data_dir "$data" --output "$output")
while read -r name; do
  "$program" "${options[@]}" --input "$output/$name/lr" --output "$output/$name/sr" \
    --json "$output/$name/stats.json"
done <<< "$sets"
tool score --model "$model" --data_dir "$data" --output "$output"
