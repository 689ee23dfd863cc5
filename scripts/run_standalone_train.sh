#!/usr/bin/env bash
# Trains on one device.
# Usage: bash scripts/run_standalone_train.sh [DEVICE_TARGET CONFIG [--key=value ...]]
# DEVICE_TARGET: Ascend, GPU, CPU or auto. CONFIG: a recipe, see configs/.
# --key=value: as of train.py, such as --data_dir=DIR, --resume, --train.epochs=10.
# Without arguments: the best device there is, the teacher of the paper's EDSR x4 (on a CPU one that
# fits it), and the photographs in ./data. CSD from that teacher is the next command.
set -euo pipefail

usage() { sed -n '2,7s/^# //p' "${BASH_SOURCE[0]}"; }

case "${1:-}" in
  -h | --help)
    usage
    exit 0
    ;;
esac
if (($# == 1)); then
  usage >&2
  exit 2
fi
# shellcheck source=scripts/train_common.sh
source "$(dirname "${BASH_SOURCE[0]}")/train_common.sh"

if (($#)); then
  target=$1
  config=$2
  shift 2
else
  read -r target _ < <(accelerators)
  config=$(default_config "$target")
  say_next run_standalone_train.sh "$target"
  echo "training on $target with $config" >&2
fi
check_target "$target"
check_config "$config"
options=(--config "$config" --device_target "$target" "$@")
run_folder "${options[@]}" > /dev/null
exec "$python" "$root/train.py" "${options[@]}"
