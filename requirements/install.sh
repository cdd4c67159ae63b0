#!/usr/bin/env bash
# Create a virtual environment with the tested set: install.sh FOLDER (PYTHON chooses the interpreter).
# Uses uv (a minute), or pip (several) where uv can neither be found nor installed.
set -euo pipefail

if [[ $# -ne 1 ]]; then
  echo "usage: [PYTHON=python3.11] $0 FOLDER" >&2
  exit 2
fi
venv=$1
python="$venv/bin/python"
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if [[ ! -x $python ]]; then
  if command -v uv >/dev/null; then
    uv venv --quiet --python "$(command -v "${PYTHON:-python3}")" "$venv"
  else
    "${PYTHON:-python3}" -m venv "$venv"
  fi
fi
if command -v uv >/dev/null; then
  install=(uv pip install --python "$python")
elif "$python" -m pip install --quiet uv; then
  install=("$python" -m uv pip install --python "$python")
else
  install=("$python" -m pip install)
fi

"${install[@]}" --constraint requirements/constraints.txt --editable '.[openmmlab,dev]'

# opencv-python and opencv-python-headless both install cv2; the last one wins. Make that the headless
# one, which works without libGL and X11.
if [[ ${install[*]} == *uv* ]]; then again=--reinstall; else again=--force-reinstall; fi
"${install[@]}" --no-deps "$again" --constraint requirements/constraints.txt opencv-python-headless
