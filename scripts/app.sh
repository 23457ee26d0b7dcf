#!/usr/bin/env bash
# The page: review a manifest, predict on a photo, search a photo store, look at runs: bash scripts/app.sh [--data OUT] [...]; --help lists the rest.
set -euo pipefail
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
python=$top/.venv/bin/python
[ -x "$python" ] || python=python3
PYTHONPATH=$top${PYTHONPATH:+:$PYTHONPATH} exec "$python" -m caer app "$@"
