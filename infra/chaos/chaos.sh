#!/usr/bin/env bash
# `make chaos`: a fleet on real servers under load, while everything that can go wrong does; then the ledger, a line for each
# fault. First on one broker and one store node, then on three of each. The servers are this run's own, new each time.
#
# TIDEFOLD_CHAOS_KILLS (200), TIDEFOLD_CHAOS_PAUSES (50), TIDEFOLD_CHAOS_OUTAGE (60, seconds a server stays away) and
# TIDEFOLD_CHAOS_NODES (3, how many brokers and store nodes of three are stopped) make it shorter; PROFILE=dev too.
set -euo pipefail
cd "$(dirname "$0")/../.."
export TIDEFOLD_CHAOS_KILLS=${TIDEFOLD_CHAOS_KILLS:-200} TIDEFOLD_CHAOS_PAUSES=${TIDEFOLD_CHAOS_PAUSES:-50}
export TIDEFOLD_CHAOS_OUTAGE=${TIDEFOLD_CHAOS_OUTAGE:-60} TIDEFOLD_CHAOS_NODES=${TIDEFOLD_CHAOS_NODES:-3}
# A machine that is under load all the time may take a broker minutes to start.
export SERVERS_WAIT=${SERVERS_WAIT:-600}
export TIDEFOLD_CHAOS_LEDGER=$PWD/target/chaos-ledger.txt
profile=--release
[ "${PROFILE:-release}" = release ] || profile=
port=${CHAOS_PORT:-31000}
servers=infra/local/servers.sh
mkdir -p target
rm -f "$TIDEFOLD_CHAOS_LEDGER"

finish() {
  local code=$?
  $servers down || true
  echo
  printf '%-66s %12s %8s %8s %9s %5s %6s %7s\n' fault acknowledged applied rejected duplicate dead lost doubled
  cat "$TIDEFOLD_CHAOS_LEDGER" 2>/dev/null || true
  [ $code -eq 0 ] || echo "chaos: FAILED, see above" >&2
}
trap finish EXIT

# Servers of this run's own: how many of each, and from which port on.
serve() {
  export SERVERS=$1 SERVERS_DIR=$PWD/target/servers-of-chaos-$1 KAFKA_PORT=$2 CQL_PORT=$(($2 + 50))
  mkdir -p "$SERVERS_DIR"
  for known in target/servers target/servers-of-tests target/servers-of-chaos-1; do
    if [ -f "$known/lib-kafka/.complete" ] && [ -f "$known/lib-cassandra/.complete" ] && [ ! -d "$SERVERS_DIR/lib-kafka" ]; then
      cp -al "$known"/lib-* "$SERVERS_DIR/"
    fi
  done
  $servers reset
  $servers up
  TIDEFOLD_TEST_KAFKA=$(seq -s, -f '127.0.0.1:%.0f' "$2" 10 $(($2 + 10 * ($1 - 1))))
  TIDEFOLD_TEST_CQL=$(seq -s, -f "127.0.0.%.0f:$CQL_PORT" "$1")
  export TIDEFOLD_TEST_KAFKA TIDEFOLD_TEST_CQL
}

run() { # tests
  local tests=()
  for test in "$@"; do tests+=(--test "$test"); done
  cargo test $profile --workspace --features tidefold/kafka "${tests[@]}" -- --nocapture --test-threads=1
}

serve 1 "$port"
run chaos foreign_records topic_faults by_hand
$servers down
serve 3 $((port + 100))
run three_servers
