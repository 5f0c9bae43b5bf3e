#!/usr/bin/env bash
# Runs one step of a recipe on one node of a Slurm job; called by train.sbatch. Usage: step.sh data|train|finish RECIPE [arguments...]
set -euo pipefail
export STEPS=$1
[ "$1" != train ] || export NODES=$SLURM_NNODES NODE_RANK=$SLURM_NODEID
exec "scripts/recipes/$2.sh" "${@:3}"
