#!/usr/bin/env bash
# `make test`: everything that has to hold, on real servers where this machine can run them. What is missing is said, not
# hidden. The servers are this run's own: other ports and another folder than `make servers-up`, new each time.
set -euo pipefail
cd "$(dirname "$0")/../.."
export SERVERS_DIR=$PWD/target/servers-of-tests KAFKA_PORT=${TEST_KAFKA_PORT:-29092} CQL_PORT=${TEST_CQL_PORT:-29042}
servers=infra/local/servers.sh
missing=()
say() { echo "test: $*" >&2; }

# librdkafka is compiled from source and wants these headers; everything else needs Rust and a C compiler.
kafka=yes
for library in openssl zlib; do
  pkg-config --exists $library 2>/dev/null || { kafka=no; missing+=("$library headers (Debian: pkg-config libssl-dev zlib1g-dev)"); }
done
java=yes
for tool in java mvn; do
  command -v $tool >/dev/null || { java=no; missing+=("$tool (Debian: openjdk-17-jdk-headless maven)"); }
done

# A test whose servers are not named when it is built is ignored, and says so.
if [ $java = yes ]; then
  if [ $kafka = yes ]; then export TIDEFOLD_TEST_KAFKA=127.0.0.1:$KAFKA_PORT; fi
  export TIDEFOLD_TEST_CQL=127.0.0.1:$CQL_PORT
fi
scope=(--workspace)
if [ $kafka = yes ]; then scope+=(--features tidefold/kafka); else scope+=(--exclude tidefold-log-kafka); fi
cargo test "${scope[@]}" --all-targets --no-run

if [ $java = yes ]; then
  mkdir -p "$SERVERS_DIR"
  if [ -d "$SERVERS_DIR/../servers/lib-kafka" ] && [ ! -d "$SERVERS_DIR/lib-kafka" ]; then
    cp -al "$SERVERS_DIR"/../servers/lib-* "$SERVERS_DIR/"
  fi
  trap '$servers down' EXIT
  $servers reset
  $servers up
fi

cargo test "${scope[@]}" --all-targets
cargo test "${scope[@]}" --doc
# With TLS and logins, on servers of its own; two minutes.
if [ $java = yes ] && [ $kafka = yes ]; then
  if command -v openssl >/dev/null; then
    SERVERS_DIR=$PWD/target/servers-secured KAFKA_PORT=30092 CQL_PORT=30042 infra/secured/run.sh
  else
    missing+=("openssl (Debian: openssl)")
  fi
fi
for app in storefront pizzeria metering; do
  target/debug/tidefold check schemas/$app --scenarios
done

# Random apps against an independent engine: the first of `make fuzz`.
if command -v python3 >/dev/null; then
  python3 infra/fuzz/fuzz.py target/debug/tidefold --apps 100 --every 25
  servers_of_fuzz=()
  if [ -n "${TIDEFOLD_TEST_CQL:-}" ]; then servers_of_fuzz+=(--store "scylla://$TIDEFOLD_TEST_CQL"); fi
  if [ -n "${TIDEFOLD_TEST_KAFKA:-}" ]; then servers_of_fuzz+=(--log "kafka://$TIDEFOLD_TEST_KAFKA"); fi
  if [ ${#servers_of_fuzz[@]} -gt 0 ]; then
    python3 infra/fuzz/fuzz.py target/debug/tidefold --apps 2 --seed 500 --every 1 "${servers_of_fuzz[@]}"
  fi
  # One address takes all it can get: no request of a polite client beside it fails. How long they take says `make attack`.
  ATTACK_SECONDS=1 python3 infra/attack/attack.py target/debug/tidefold "${TEST_ATTACK_PORT:-29180}"
else
  missing+=("python3")
fi

if [ ${#missing[@]} -gt 0 ]; then
  say "passed, WITHOUT the tests that need what this machine lacks:"
  for what in "${missing[@]}"; do say "  $what"; done
else
  say "passed, on real Kafka and Cassandra too"
fi
