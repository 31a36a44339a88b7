#!/usr/bin/env bash
# The main job on one machine: builds, starts a node with schemas/pizzeria, imports 21,350 real orders through the HTTP
# API, asks a few questions, and leaves the node running. LOG=kafka and STORE=scylla run it on real servers, which are
# started if they do not run.
set -euo pipefail
cd "$(dirname "$0")/../.."
http=${HTTP:-127.0.0.1:8080}
admin=${ADMIN:-127.0.0.1:8081}
data=${DATA:-data}
pid_file=$data/demo.pid

backends=()
features=()
case ${LOG:-embedded} in
  embedded) ;;
  kafka)
    infra/local/servers.sh up kafka
    backends+=(--log "kafka://127.0.0.1:${KAFKA_PORT:-9092}")
    features+=(--features kafka)
    ;;
  *) echo "LOG is embedded or kafka" >&2; exit 2 ;;
esac
case ${STORE:-embedded} in
  embedded) ;;
  scylla)
    infra/local/servers.sh up cassandra
    backends+=(--store "scylla://127.0.0.1:${CQL_PORT:-9042}")
    ;;
  *) echo "STORE is embedded or scylla" >&2; exit 2 ;;
esac

cargo build --release -p tidefold --bin tidefold "${features[@]}"
tidefold=${CARGO_TARGET_DIR:-target}/release/tidefold
mkdir -p "$data"

if [ -f "$pid_file" ] && [ "$(ps -o comm= -p "$(cat "$pid_file")" 2>/dev/null)" = tidefold ]; then
  echo "stopping the node that an earlier demo left running ($(cat "$pid_file"))"
  kill "$(cat "$pid_file")"
  while kill -0 "$(cat "$pid_file")" 2>/dev/null; do sleep 0.1; done
fi

"$tidefold" up schemas/pizzeria "${backends[@]}" --data "$data" --http "$http" --admin "$admin" >"$data/demo.log" 2>&1 &
node=$!
echo $node >"$pid_file"
until curl -fs "http://$admin/readyz" >/dev/null; do
  kill -0 $node 2>/dev/null || { cat "$data/demo.log" >&2; exit 1; }
  sleep 0.1
done
echo "node $node is ready"

echo
echo "\$ tidefold publish pizzeria schemas/pizzeria/orders.ndjson.zst"
"$tidefold" publish pizzeria schemas/pizzeria/orders.ndjson.zst --url "http://$http"

# Waits until the read model has what was written: a read with the last position as its minimum.
"$tidefold" status --node "http://$admin" --wait

ask() {
  echo
  echo "# $1"
  echo "\$ curl 'http://$http$2'"
  curl -fsS "http://$http$2" | head -c 700
  echo
}
ask "one order" "/v1/pizzeria/orders/2015-000002"
ask "the orders of a day" "/v1/pizzeria/orders_by_day?day=2015-01-01T00:00:00&limit=2"
ask "a day's revenue, hour by hour" "/v1/pizzeria/revenue_by_hour?day=2015-11-27T00:00:00&limit=4"
ask "a month's revenue, day by day" "/v1/pizzeria/revenue_by_day?month=2015-07-01T00:00:00&limit=4"
ask "pizzas sold by name" "/v1/pizzeria/pizzas_by_name?type=chicken"
ask "pizzas sold by size" "/v1/pizzeria/pizzas_by_size?type=classic"

echo
echo "the node goes on running: http://$http/ explains itself; kill $node stops it"
