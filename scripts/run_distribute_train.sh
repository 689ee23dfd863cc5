#!/usr/bin/env bash
# Trains on several devices of one or several hosts; -h prints the usage. See src/csd/cli/launch.py.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
python=${CSD_VENV:-$root/.venv}/bin/python
[[ -x $python ]] || python=python3
exec "$python" "$root/scripts/launch.py" distribute "$@"
