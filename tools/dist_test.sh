#!/usr/bin/env bash
# tools/test.py in several processes, one per GPU (CPU processes over gloo where there is no GPU).
set -euo pipefail

if [[ $# -lt 3 || ! $3 =~ ^[1-9][0-9]*$ ]]; then
  echo "usage: [NNODES=n NODE_RANK=i MASTER_ADDR=host] [PORT=29500] $0 CONFIG CHECKPOINT GPUS [arguments of test.py]" >&2
  exit 2
fi
config=$1 checkpoint=$2 gpus=$3
shift 3
here=$(dirname "${BASH_SOURCE[0]}")
exec "$here/dist_run.sh" "$gpus" "$here/test.py" "$config" "$checkpoint" --launcher pytorch "$@"
