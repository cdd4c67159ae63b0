#!/usr/bin/env bash
# tools/train.py as a Slurm job of GPUS processes, one per GPU.
#
# With REQUEUE=1 the job is submitted to the batch queue: GRACE seconds before its time limit, and on preemption, every
# process gets SIGUSR1 or SIGTERM, writes a checkpoint, and ends with exit code 75; the job is queued again and resumes.
set -euo pipefail

if [[ $# -lt 3 ]]; then
  echo "usage: [REQUEUE=1 GRACE=120] [GPUS=8 GPUS_PER_NODE=8 CPUS_PER_TASK=8 PORT=29500 SRUN_ARGS='--time 3-0'] $0 PARTITION JOB_NAME CONFIG [arguments of train.py]" >&2
  exit 2
fi
if ! command -v srun >/dev/null; then
  echo "srun is not on this machine: $0 needs Slurm; without it, use tools/dist_train.sh." >&2
  exit 2
fi
partition=$1 job=$2 config=$3
shift 3
gpus=${GPUS:-8}
gpus_per_node=${GPUS_PER_NODE:-$((gpus < 8 ? gpus : 8))}
cpus_per_task=${CPUS_PER_TASK:-8}
read -r -a srun_args <<<"${SRUN_ARGS:-}"

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
export PYTHONPATH=${here%/*}${PYTHONPATH:+:$PYTHONPATH} # the checkout works without being installed
export MASTER_PORT=${PORT:-29500}
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-$cpus_per_task}
shape=(--partition "$partition" --job-name "$job" --gres "gpu:$gpus_per_node" --ntasks "$gpus"
  --ntasks-per-node "$gpus_per_node" --cpus-per-task "$cpus_per_task" ${srun_args[@]+"${srun_args[@]}"})
train=("${PYTHON:-python}" -u "$here/train.py" "$config" --launcher slurm "$@")
if [[ -z ${REQUEUE:-} ]]; then
  exec srun "${shape[@]}" --kill-on-bad-exit=1 "${train[@]}"
fi
job_script="srun --kill-on-bad-exit=1 $(printf '%q ' "${train[@]}") --resume
code=\$?
[[ \$code -eq 75 ]] && scontrol requeue \$SLURM_JOB_ID
exit \$code"
exec sbatch "${shape[@]}" --requeue --open-mode=append --signal="USR1@${GRACE:-120}" --wrap "$job_script"
