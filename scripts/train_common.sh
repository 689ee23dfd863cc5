#!/usr/bin/env bash
# What run_standalone_train.sh and run_distribute_train.sh share; sourced by them.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
python=${CSD_VENV:-$root/.venv}/bin/python
[[ -x $python ]] || python=python3

die() {
  echo "error: $1" >&2
  exit 2
}

check_target() {
  case "$1" in
    Ascend | GPU | CPU | auto) ;;
    *) die "DEVICE_TARGET must be Ascend, GPU, CPU or auto, not '$1'" ;;
  esac
}

check_number() { # NAME VALUE LEAST
  if ! [[ $2 =~ ^[0-9]{1,6}$ ]] || ((10#$2 < $3)); then
    die "$1 must be a whole number of at least $3, not '$2'"
  fi
}

check_config() {
  [[ -f $1 ]] || die "no configuration file $1; see those in configs/"
}

# "Ascend 8", "GPU 2", or "CPU 0" where there is neither.
accelerators() {
  "$python" -c 'from csd import runtime; print(*runtime.accelerators())'
}

# The recipe of a run that was told nothing: the paper's teacher, or one that fits a CPU. It needs
# photographs alone; CSD starts from it.
default_config() { # TARGET
  if [[ $1 == CPU ]]; then
    echo "$root/configs/cpu_edsr_x4_teacher.yaml"
  else
    echo "$root/configs/paper_edsr_x4_teacher.yaml"
  fi
}

# What comes after the run that was told nothing.
say_next() { # SCRIPT TARGET [DEVICE_NUM]
  local config files=(--teacher=output/teacher_edsr_x4/best.ckpt)
  config=$(default_config "$2")
  [[ $2 == CPU ]] || files+=(--vgg=FILE) # the CPU's recipe names a VGG of its own
  echo "afterwards: bash scripts/$1 ${*:2} ${config%teacher.yaml}csd.yaml ${files[*]}" >&2
}

# Checks the settings before anything starts, and prints the folder of the run.
run_folder() { # TRAIN_ARG ...
  "$python" - "$@" << 'PYTHON'
import os
import sys

from csd.config import TRAIN, load_config
from csd.errors import InputError, run_main
from csd.cli.train import output_dir


def main(argv):
    config = load_config(TRAIN, argv)
    if not os.path.isdir(os.path.expanduser(config.data.data_dir)):
        raise InputError(
            f"no folder {config.data.data_dir}: put DIV2K or other photographs there, or say "
            "where they are with --data_dir=DIR"
        )
    print(output_dir(config))


sys.exit(run_main(main))
PYTHON
}
