#!/usr/bin/env bash
# Other people's clients: Python (confluent-kafka) and Java write records in Confluent's wire format that Tidefold folds,
# and read Tidefold's records with the public schema. Needs `make servers-up`, Python 3 and pip.
set -euo pipefail
cd "$(dirname "$0")/../.."
root=${SERVERS_DIR:-$PWD/target/servers}
bootstrap=127.0.0.1:${KAFKA_PORT:-9092}
work=$(mktemp -d)
venv=$PWD/target/interop-venv
tidefold=${TIDEFOLD:-target/debug/tidefold}
trap 'kill $node 2>/dev/null; wait; [ -n "${KEEP:-}" ] || rm -rf "$work"' EXIT

[ -f "$venv/.complete" ] || { python3 -m venv "$venv" && "$venv/bin/pip" -q install confluent-kafka fastavro && touch "$venv/.complete"; }
"$tidefold" up schemas/storefront --log "kafka://$bootstrap" --set "log.topic_prefix=interop_$$_" --data "$work/data" \
  --http 127.0.0.1:0 --admin 127.0.0.1:0 2>"$work/out" &
node=$!
until grep -q 'is up' "$work/out"; do
  kill -0 $node 2>/dev/null || { cat "$work/out" >&2; exit 1; }
  sleep 0.1
done
http=$(grep -o 'http://[0-9.:]*' "$work/out" | head -1)
admin=$(grep -o 'operators: http://[0-9.:]*' "$work/out" | head -1 | cut -d' ' -f2)

"$tidefold" schemas storefront --node "$admin" -o json >"$work/schemas.json"
"$tidefold" publish storefront --synthetic 500 --seed 1 --url "$http" -q
"$venv/bin/python" infra/interop/interop.py produce "$bootstrap" "$work/schemas.json" 300
topic=$("$venv/bin/python" -c 'import json,sys; d=json.load(open(sys.argv[1])); d=d["items"] if isinstance(d,dict) else d; print(d[0]["log_topic"])' "$work/schemas.json")
"$venv/bin/python" infra/interop/interop.py lines "$work/schemas.json" 300 300 |
  java -cp "$root/lib-kafka/*" infra/interop/Produce.java "$bootstrap" "$topic"
"$venv/bin/python" infra/interop/interop.py consume "$bootstrap" "$work/schemas.json"

# Others' records are seen a moment after they were acknowledged to others: there is no position to wait for.
for key in foreign-0 foreign-299 foreign-300 foreign-599; do
  tries=0
  until curl -fs "$http/v1/storefront/orders/$key" | grep -q '"status":"placed"'; do
    [ $((tries += 1)) -le 150 ] || { echo "$key is not there" >&2; exit 1; }
    sleep 0.2
  done
done
dead=$("$tidefold" dead-letters list storefront --node "$admin" -o json)
[ "$(echo "$dead" | grep -c position)" = 0 ] || { echo "dead letters: $dead" >&2; exit 1; }
"$tidefold" verify storefront --node "$admin" -q
echo "interop: 300 records from Python and 300 from Java are folded; their partitions are ours; ours are read by Python"
