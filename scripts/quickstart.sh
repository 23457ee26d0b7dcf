#!/usr/bin/env bash
# From a fresh machine to a trained, evaluated three-stage model on drawn scenes: bash scripts/quickstart.sh
# Each step reuses what an earlier call left. Leaves data/demo, runs/demo, reports/demo/report.html, and the comparison reports/ablation_demo/report.html.
set -euo pipefail
here=$(dirname "${BASH_SOURCE[0]}")
source "$here/setup.sh"
start=$SECONDS
step() { printf '\n[%4ds] %s\n' $((SECONDS - start)) "$*"; }

step "weights: RetinaFace and EfficientNet-Lite0, by hash"
$PY -m preprocessing weights
step "drawing the demo scenes"
$PY -m preprocessing demo --out data/demo_photos
step "finding faces"
bash scripts/preprocess.sh --dataset dataframe --root data/demo_photos --set dataset.table=labels.csv --out data/demo
step "training stages 1 (face), 2 (context), 3 (gate)"
$PY train_stage.py --config configs/demo.yaml --stage all
step "evaluating on test"
$PY -m caer evaluate runs/demo --split test --reuse
mkdir -p reports/demo
cp runs/demo/seed17/eval/test/report.html reports/demo/report.html
step "comparing face, context, their sum and the gate on the same rows"
$PY -m caer ablate configs/ablation_demo.yaml --seeds 17
step "done: run $PWD/runs/demo, report $PWD/reports/demo/report.html, comparison $PWD/reports/ablation_demo/report.html"
