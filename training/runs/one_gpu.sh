#!/bin/sh
# One GPU: training/runs/one_gpu.sh [CONFIG] [--set KEY=VALUE …]; the same command again resumes.
# GPU=1 takes another one than the first.
set -eu
config=${1:-small}
[ $# -eq 0 ] || shift
CUDA_VISIBLE_DEVICES=${GPU:-0} exec python -m pysr_neural_training.learning.train "$config" "$@"
