#!/bin/sh
# All GPUs of one machine: training/runs/many_gpus.sh [CONFIG] [--set KEY=VALUE …]; the same command again resumes.
# GPUS=4 takes fewer.  Each process makes its own batches, so that a step learns from GPUS times as many examples.
set -eu
config=${1:-research}
[ $# -eq 0 ] || shift
gpus=${GPUS:-$(python -c 'import torch; print(max(1, torch.cuda.device_count()))')}
exec accelerate launch --multi_gpu --num_machines=1 --num_processes="$gpus" --mixed_precision=no --dynamo_backend=no \
    -m pysr_neural_training.learning.train "$config" "$@"
