#!/usr/bin/env bash
# Sets up a fresh machine and runs all tests: bash scripts/test.sh [pytest arguments]
set -euo pipefail
here=$(dirname "${BASH_SOURCE[0]}")
source "$here/setup.sh"
exec $PY -m pytest "$@"
