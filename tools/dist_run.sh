#!/usr/bin/env bash
# Start a Python script in several processes: one per GPU, or that many on the CPU where there is no GPU.
set -euo pipefail

if [[ $# -lt 2 || ! $1 =~ ^[1-9][0-9]*$ || ! -f $2 ]]; then
  echo "usage: [NNODES=n NODE_RANK=i MASTER_ADDR=host] [PORT=29500] $0 PROCESSES SCRIPT [args]" >&2
  exit 2
fi
processes=$1
shift

# The checkout works without being installed.
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export PYTHONPATH=$root${PYTHONPATH:+:$PYTHONPATH}
cores=$(nproc 2>/dev/null || getconf _NPROCESSORS_ONLN)
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-$((cores > processes ? cores / processes : 1))}

if [[ ${NNODES:-1} -gt 1 ]]; then
  if [[ -z ${NODE_RANK:-} || -z ${MASTER_ADDR:-} ]]; then
    echo "NNODES=$NNODES needs NODE_RANK (0 to $((NNODES - 1))) and MASTER_ADDR (the host of node 0) too." >&2
    exit 2
  fi
fi
if [[ -n ${MASTER_ADDR:-} || -n ${PORT:-} || ${NNODES:-1} -gt 1 ]]; then
  where=(--nnodes "${NNODES:-1}" --node_rank "${NODE_RANK:-0}"
    --master_addr "${MASTER_ADDR:-127.0.0.1}" --master_port "${PORT:-29500}")
else
  where=(--standalone) # one machine: any free port
fi
exec "${PYTHON:-python}" -m torch.distributed.run "${where[@]}" --nproc_per_node "$processes" "$@"
