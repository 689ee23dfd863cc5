#!/usr/bin/env bash
# Evaluates a checkpoint on benchmark sets: PSNR-Y and SSIM-Y of every trained width and of bicubic.
# Usage: bash scripts/run_eval.sh CKPT DATA_DIR [DEVICE] [DEVICE_ID] [EVAL_ARG ...]
# DATA_DIR: a set's folder, or a folder of sets. DEVICE: auto (the default), Ascend, GPU or CPU.
# DEVICE_ID: 0. EVAL_ARG: more options of eval.py, such as --width 0.25 --save_images.
set -euo pipefail

usage() { sed -n '2,5s/^# //p' "${BASH_SOURCE[0]}"; }

case "${1:-}" in
  -h | --help)
    usage
    exit 0
    ;;
esac
if (($# < 2)); then
  usage >&2
  exit 2
fi
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
ckpt=$1
data=$2
device=${3:-auto}
device_id=${4:-0}
shift $(($# < 4 ? $# : 4))
python=${CSD_VENV:-$root/.venv}/bin/python
[[ -x $python ]] || python=python3

if [[ ! -d $data ]]; then
  echo "error: no folder $data" >&2
  exit 2
fi
data=$(cd "$data" && pwd)
if [[ ! $device_id =~ ^[0-9]+$ ]]; then
  echo "error: DEVICE_ID must be a whole number, not '$device_id'" >&2
  exit 2
fi
if [[ -d $data/HR || -d $data/DIV2K_valid_HR ]]; then # a set itself
  names=$(basename "$data")
  data=$(dirname "$data")
else
  [[ -d $data/benchmark ]] && data=$data/benchmark
  names=$(find "$data" -mindepth 2 -maxdepth 2 -type d -name HR -printf '%h\n' | sort |
    xargs -r -n 1 basename | paste -sd ,)
  if [[ -z $names ]]; then
    echo "error: $data holds neither HR nor sets with HR" >&2
    exit 2
  fi
fi
[[ $device == GPU ]] && export CUDA_VISIBLE_DEVICES=$device_id
[[ $device == Ascend ]] && export ASCEND_RT_VISIBLE_DEVICES=$device_id
exec "$python" "$root/eval.py" --ckpt "$ckpt" --data_dir "$data" --sets "$names" \
  --device_target "$device" "$@"
