#!/usr/bin/env bash
# The whole way on two processor cores: images in; a teacher and its student trained; a table,
# images, a MINDIR file that runs, and output/demo/report.html out.
# Usage: bash scripts/run_demo.sh [--steps N] [--output_dir DIR]
#   --steps N         CSD steps (default 320); the teacher gets 8/3 as many
#   --output_dir DIR  default output/demo; what an earlier run left there is replaced
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
usage() { sed -n '2,6s/^# //p' "${BASH_SOURCE[0]}"; }
fail() {
  echo "error: $*" >&2
  exit 2
}

steps=320
output="$root/output/demo"
while (($#)); do
  case "$1" in
    -h | --help)
      usage
      exit 0
      ;;
    --steps | --output_dir) [[ $# -ge 2 ]] || fail "$1 needs a value" ;;&
    --steps)
      [[ "$2" =~ ^[0-9]+$ && "$2" -ge 4 ]] || fail "--steps must be a whole number of at least 4"
      steps=$2
      shift 2
      ;;
    --output_dir)
      output=$(realpath -m "$2")
      shift 2
      ;;
    *) fail "unknown argument $1; see --help" ;;
  esac
done

cd "$root"
# shellcheck source=scripts/setup_env.sh
source scripts/setup_env.sh
setup_env demo
python="$VENV/bin/python"
start=$SECONDS
heading() { printf '\n== %s (%d s)\n' "$*" "$((SECONDS - start))"; }

# Only what a demo makes is removed: the folder may be one that the user had before.
for part in photos cache teacher csd eval export infer report.html; do
  rm -rf "${output:?}/$part"
done
mkdir -p "$output"
train=(--data_dir "$output/photos/train" --val_dir "$output/photos/test" --cache_dir "$output/cache")

heading "images"
"$python" tools/demo_photos.py --output_dir "$output/photos"

heading "teacher"
"$python" train.py --config configs/demo_teacher.yaml "${train[@]}" \
  --output_dir "$output/teacher" --train.steps_per_epoch=$((steps * 2 / 3))

heading "contrastive self-distillation"
"$python" train.py --config configs/demo_csd.yaml "${train[@]}" \
  --teacher "$output/teacher/last.ckpt" --output_dir "$output/csd" \
  --train.steps_per_epoch=$((steps / 4))

heading "evaluation on held-out images"
"$python" eval.py --ckpt "$output/csd/last.ckpt" --data_dir "$output/photos" --sets test \
  --save_images --output_dir "$output/eval" --cache_dir "$output/cache"

heading "export of the student"
"$python" export.py --ckpt "$output/csd/last.ckpt" --file_format MINDIR \
  --output_dir "$output/export"

heading "the exported file on an image"
"$python" infer.py --ckpt "$(echo "$output"/export/*.mindir)" \
  --input "$output/photos/test/HR/rocket.png" --output_dir "$output/infer"

heading "report"
"$python" tools/report.py "$output/csd" "$output/teacher" "$output/eval" \
  --output "$output/report.html" --title "CSD demo: x2 on held-out images"

heading "done: open $output/report.html"
