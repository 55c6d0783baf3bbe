#!/usr/bin/env bash
# Makes flint-nano anew: data, tokenizer, model and card. Takes hours; stopped at any time, it goes on when it is called again.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
for stage in 1 2 3 4 5 6; do
  ./flint train "models/nano/nano-$stage.yaml" "$@"
done
./flint eval nano --model models/nano/flint-nano.gguf --card models/nano/CARD.md
./flint eval nano --model models/nano/flint-nano.gguf --task arithmetic --seed 7 --items 1000 --mode contemplating --agents 8 \
  --fit models/nano/flint-nano.calibration.json
