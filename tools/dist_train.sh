#!/usr/bin/env bash
# tools/train.py in several processes, one per GPU (CPU processes over gloo where there is no GPU).
set -euo pipefail

if [[ $# -lt 2 || ! $2 =~ ^[1-9][0-9]*$ ]]; then
  echo "usage: [NNODES=n NODE_RANK=i MASTER_ADDR=host] [PORT=29500] $0 CONFIG GPUS [arguments of train.py]" >&2
  exit 2
fi
config=$1 gpus=$2
shift 2
here=$(dirname "${BASH_SOURCE[0]}")
exec "$here/dist_run.sh" "$gpus" "$here/train.py" "$config" --launcher pytorch "$@"
