#!/usr/bin/env bash
# Train and compare the variants of an ablation: scripts/ablation.sh configs/ablation_demo.yaml [...]; --help lists the options.
set -euo pipefail
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
python=$top/.venv/bin/python
[ -x "$python" ] || python=python3
PYTHONPATH=$top${PYTHONPATH:+:$PYTHONPATH} exec "$python" -m caer ablate "$@"
