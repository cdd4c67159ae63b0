#!/usr/bin/env bash
# Create a virtual environment with the tested set: install.sh FOLDER
# (relative to the repository; PYTHON chooses the interpreter).
# Uses uv (a minute), or pip (several) where uv can neither be found nor installed nor reach the index.
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
    "${PYTHON:-python3}" -m venv "$venv" || {
      rm -rf "$venv"
      echo "This Python cannot create environments: install its venv package (Debian: python3-venv) or uv." >&2
      exit 1
    }
  fi
fi

install_all() { # OPTION_TO_INSTALL_AGAIN INSTALLER...
  local again=$1
  shift
  "$@" --constraint requirements/constraints.txt --editable '.[openmmlab,dev,docs,export,tensorboard]' || return
  # opencv-python and opencv-python-headless both install cv2, and the last one wins. Make that the
  # headless one, which works without libGL and X11.
  "$@" --constraint requirements/constraints.txt --no-deps "$again" opencv-python-headless
}

if command -v uv >/dev/null; then
  install_all --reinstall uv pip install --python "$python"
elif "$python" -m pip install --quiet uv &&
  install_all --reinstall "$python" -m uv pip install --python "$python"; then
  :
else
  echo 'uv does not work here: installing with pip, which takes longer.' >&2
  install_all --force-reinstall "$python" -m pip install
fi
