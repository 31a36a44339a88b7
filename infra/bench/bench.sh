#!/usr/bin/env bash
# `make bench`: figures, each beside what it is compared to. LOG=kafka STORE=scylla takes them on real servers, which are
# started if they do not run. ONLY="hot point" takes those whose name contains one of the words.
set -euo pipefail
cd "$(dirname "$0")/../.."

features=()
case ${LOG:-embedded},${STORE:-embedded} in
  embedded,embedded) ;;
  kafka,scylla)
    infra/local/servers.sh up
    export BENCH_KAFKA=127.0.0.1:${KAFKA_PORT:-9092} BENCH_CQL=127.0.0.1:${CQL_PORT:-9042}
    features+=(--features servers)
    ;;
  *) echo "make bench, or make bench LOG=kafka STORE=scylla" >&2; exit 2 ;;
esac

# shellcheck disable=SC2086 # words
cargo run --release -p tidefold-bench "${features[@]}" -- ${ONLY:-}
