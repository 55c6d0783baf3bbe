#!/usr/bin/env bash
# Makes flint-nano anew: data, tokenizer, model and card. Takes hours; stopped at any time, it goes on when it is called again.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
./flint train models/nano/nano-1.yaml "$@"
./flint train models/nano/nano-2.yaml "$@"
./flint eval nano --model models/nano/flint-nano.gguf --card models/nano/CARD.md
