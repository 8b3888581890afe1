#!/bin/bash
# Several machines under SLURM: sbatch --nodes=2 training/runs/slurm.sh [CONFIG] [--set KEY=VALUE …]
# One launcher per machine, one process per GPU.  A job that was stopped is resumed by the same command; --requeue does so.
#SBATCH --job-name=pysr-neural
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=128
#SBATCH --time=24:00:00
#SBATCH --requeue
set -eu
config=${1:-research}
[ $# -eq 0 ] || shift
gpus=${SLURM_GPUS_ON_NODE:-1}
first=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
# The number of a machine is known on that machine only.
srun --kill-on-bad-exit=1 bash -c '
    exec accelerate launch --multi_gpu --num_machines="$1" --machine_rank="$SLURM_NODEID" --num_processes="$2" \
        --main_process_ip="$3" --main_process_port="$4" --rdzv_backend=static --mixed_precision=no --dynamo_backend=no \
        -m pysr_neural_training.learning.train "$5" "${@:6}"' launch \
    "$SLURM_JOB_NUM_NODES" "$((SLURM_JOB_NUM_NODES * gpus))" "$first" "$((20000 + SLURM_JOB_ID % 10000))" "$config" "$@" \
    && exit
code=$?
# When a machine dies, the processes on the others fail minutes before SLURM misses it, and a job that failed is not
# requeued.  So ask all machines; where one is silent, the failure was its own.
if [ "${SLURM_RESTART_COUNT:-0}" -lt 20 ] && ! timeout 120 srun --overlap --gres=none --ntasks-per-node=1 true; then
    echo "A machine of job $SLURM_JOB_ID does not answer; the job is requeued, and goes on from its last checkpoint." >&2
    scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
