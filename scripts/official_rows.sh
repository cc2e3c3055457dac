#!/usr/bin/env bash
# Make every official row: each preset and reference row, seeds 0-9, on the embedded data and,
# where a FASTA is given, on that. What is recorded already is not run again.
#
#   scripts/official_rows.sh [FASTA]
set -euo pipefail

models=(
  mlp-64 mlp-128 mlp-1024 mlp-64-12bit mlp-64x1024 embedding10-relu embedding2-tanh
  rnn-64 rnn-256 gru-64 lstm-64
)
references=(count-table softmax-table majority untrained oracle)

rows() {
  for model in "${models[@]}"; do
    bench run --model "$model" --seeds 0-9 --data "$1"
    bench run --model "$model-weighted" --seeds 0-9 --data "$1"
  done
  for model in "${references[@]}"; do
    bench run --model "$model" --seeds 0-9 --data "$1"
  done
  bench run --model bound --seeds 0 --data "$1" # the same for every seed
}

rows usage
if [ $# -gt 0 ]; then rows "$1"; fi
bench leaderboard
