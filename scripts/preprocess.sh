#!/usr/bin/env bash
# Detect, select and crop the faces of a dataset's photos: scripts/preprocess.sh --dataset NAME --root DIR --out DIR [...]; --help lists the rest.
set -euo pipefail
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
python=$top/.venv/bin/python
[ -x "$python" ] || python=python3
PYTHONPATH=$top${PYTHONPATH:+:$PYTHONPATH} exec "$python" -m preprocessing run "$@"
