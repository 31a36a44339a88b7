#!/usr/bin/env bash
# `make attack`: what one address can do to a polite client of another. Loopback only; about three minutes.
set -euo pipefail
cd "$(dirname "$0")/../.."
cargo build --release -q -p tidefold --bin tidefold
python3 infra/attack/attack.py target/release/tidefold "${ATTACK_PORT:-18080}"
