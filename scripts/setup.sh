#!/usr/bin/env bash
# Checks the machine, makes .venv and installs the pinned requirements; does nothing where that is done. Sourced by the other scripts.
# CAER_EXTRAS="detectors app" also installs requirements-detectors.txt and requirements-app.txt.
# Afterwards the working directory is the project's root and $PY its Python. PYTHON=/path/to/python3.12 chooses the interpreter.
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 2
PY=.venv/bin/python
stop() { echo "error: $*" >&2; exit 2; }

find_python() {
  local candidate
  for candidate in ${PYTHON:-python3 python3.11 python3.12 python3.13}; do
    "$candidate" -c 'import sys, venv; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null && { echo "$candidate"; return; }
  done
  return 1
}

check_machine() {
  local memory disk
  memory=$(awk '/MemTotal/ {print int($2 / 1048576)}' /proc/meminfo 2>/dev/null || echo 8)
  disk=$(df -Pk . | awk 'NR == 2 {print int($4 / 1048576)}')
  [ "$memory" -ge 7 ] || stop "$memory GiB of memory; expected 8; use a larger machine"
  [ "$disk" -ge "${1:-15}" ] || stop "$disk GiB of free disk at $PWD; expected ${1:-15} for the installation and the demo; free some or clone elsewhere"
}

set_up() {
  local python stamp extra files=(requirements.txt requirements-dev.txt)
  for extra in ${CAER_EXTRAS:-}; do
    [ -f "requirements-$extra.txt" ] || stop "CAER_EXTRAS names $extra; known: detectors, app"
    files+=("requirements-$extra.txt")
  done
  stamp=$(cat "${files[@]}" pyproject.toml | sha256sum | cut -c1-16)
  if [ "$(cat .venv/.installed 2>/dev/null)" = "$stamp" ]; then check_machine 1; return; fi
  python=$(find_python) || stop "no Python 3.11, 3.12 or 3.13 with venv among: ${PYTHON:-python3 python3.11 python3.12 python3.13}; install one or set PYTHON"
  check_machine 15
  echo "installing into $PWD/.venv with $("$python" --version) (several minutes and 7 GB the first time)"
  [ -x $PY ] || "$python" -m venv .venv || stop "$python -m venv failed; install Python's venv package"
  $PY -m pip install --quiet --disable-pip-version-check "${files[@]/#/-r}" || stop "pip could not install ${files[*]}; see its message above"
  $PY -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e . 2>/dev/null \
    || $PY -m pip install --quiet --disable-pip-version-check --no-deps -e . || stop "pip could not install the project itself"
  echo "$stamp" >.venv/.installed
}

set_up
export NO_ALBUMENTATIONS_UPDATE=1 HF_HUB_DISABLE_TELEMETRY=1
