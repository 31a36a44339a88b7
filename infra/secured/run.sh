#!/usr/bin/env bash
# Tidefold with TLS and logins: one Kafka broker and one Cassandra node that take nobody without, on loopback, with throwaway
# certificates. Every way in is used by a node that publishes, reads and verifies; every way that is wrong has to end with an
# error that names the setting to look at. Then the suites that every log and store must pass, with TLS and a login. Needs
# openssl, a JDK 17 and Maven; the binary is built with Kafka.
set -euo pipefail
cd "$(dirname "$0")/../.."
export SERVERS_DIR=${SERVERS_DIR:-$PWD/target/servers-secured} KAFKA_PORT=${KAFKA_PORT:-30092} CQL_PORT=${CQL_PORT:-30042}
export SECURED=$SERVERS_DIR/certificates
tidefold=${TIDEFOLD:-target/debug/tidefold}
work=$(mktemp -d)
node=
runs=0
say() { echo "secured: $*" >&2; }

stop() {
  [ -n "$node" ] || return 0
  kill "$node" 2>/dev/null || true
  wait "$node" 2>/dev/null || true
  node=
}
finish() {
  stop
  infra/local/servers.sh down
  rm -rf "$work"
}
trap finish EXIT

mkdir -p "$SERVERS_DIR"
for other in "$SERVERS_DIR"/../servers "$SERVERS_DIR"/../servers-of-tests; do
  for lib in lib-kafka lib-cassandra; do
    [ -f "$SERVERS_DIR/$lib/.complete" ] || [ ! -f "$other/$lib/.complete" ] || cp -al "$other/$lib" "$SERVERS_DIR/"
  done
done
infra/local/servers.sh reset
mkdir -p "$SECURED"
infra/secured/certificates.sh "$SECURED"
infra/local/servers.sh up
# Cassandra answers before it has made its first login.
waited=0
until grep -q "Created default superuser" "$SERVERS_DIR/cassandra-1/out.log"; do
  [ $((waited += 1)) -lt 300 ] || { say "Cassandra makes no login"; exit 1; }
  sleep 0.2
done

# The settings that are right; what is said on top of them wins.
kafka="security.protocol=SASL_SSL
ssl.ca.location=$SECURED/authority.pem
sasl.mechanism=SCRAM-SHA-512
sasl.username=tidefold
sasl.password=scram-secret"
cql="tls_ca=$SECURED/authority.pem
tls_certificate=$SECURED/client.pem
tls_key=$SECURED/client-key.pem
user=cassandra
password=cassandra"
toml() { sed -E 's/^([^=]*)=(.*)$/"\1" = "\2"/' <<<"$1"; } # lines name=value
cat >"$work/tidefold.toml" <<TOML
[listen]
http = "127.0.0.1:0"
admin = "127.0.0.1:0"
[log]
url = "kafka://127.0.0.1:$KAFKA_PORT"
[kafka]
$(toml "$kafka")
[store]
url = "scylla://127.0.0.1:$CQL_PORT"
tls = "on"
$(toml "$cql")
TOML

up=("$tidefold" up schemas/storefront --config "$work/tidefold.toml" --data "$work/data")

# A node gets in, takes messages, folds them and finds its tables right.
works() { # name, settings...
  local name=$1 waited=0 http admin
  runs=$((runs + 1))
  shift
  : >"$work/out"
  "${up[@]}" "$@" 2>"$work/out" &
  node=$!
  until grep -q 'is up' "$work/out"; do
    kill -0 $node 2>/dev/null && [ $((waited += 1)) -lt 600 ] || { say "$name does not work:"; cat "$work/out" >&2; exit 1; }
    sleep 0.1
  done
  http=$(grep -o 'is up: http://[0-9.:]*' "$work/out" | cut -d' ' -f3)
  admin=$(grep -o 'operators: http://[0-9.:]*' "$work/out" | cut -d' ' -f2)
  "$tidefold" publish storefront --synthetic 100 --seed $runs --url "$http" -q >/dev/null
  "$tidefold" status --node "$admin" --wait >/dev/null
  "$tidefold" verify storefront --node "$admin" -q >/dev/null
  stop
  say "$name: published, folded, verified"
}

# A node is turned away: it ends, and says which setting to look at. All at once, since most only wait.
refused() { # name, what it has to say, settings...
  local name=$1 says=$2 code=0 out
  out=$work/out-$says
  shift 2
  timeout 120 "${up[@]}" "$@" 2>"$out" || code=$?
  if [ $code != 5 ] || ! grep -q "$says" "$out"; then
    say "$name: exit code $code, not 5, or \"$says\" not said:"
    cat "$out" >&2
    exit 1
  fi
  say "$name: refused, exit code $code, $says"
}

works scram512
works scram256 --set kafka.sasl.mechanism=SCRAM-SHA-256
works plain --set kafka.sasl.mechanism=PLAIN --set kafka.sasl.password=plain-secret
works certificate --log "kafka://127.0.0.1:$((KAFKA_PORT + 2))" --set kafka.security.protocol=SSL \
  --set "kafka.ssl.certificate.location=$SECURED/client.pem" --set "kafka.ssl.key.location=$SECURED/client-key.pem"

refusals=()
refused "Kafka, wrong password" kafka.sasl.password --set kafka.sasl.password=wrong &
refusals+=($!)
refused "Kafka, unknown authority" kafka.ssl.ca.location --set "kafka.ssl.ca.location=$SECURED/stranger.pem" &
refusals+=($!)
refused "Kafka, no certificate" kafka.ssl.certificate.location --log "kafka://127.0.0.1:$((KAFKA_PORT + 2))" --set kafka.security.protocol=SSL &
refusals+=($!)
refused "CQL, wrong password" store.password --set store.password=wrong &
refusals+=($!)
refused "CQL, no login" store.user --set store.user= &
refusals+=($!)
refused "CQL, unknown authority" store.tls_ca --set "store.tls_ca=$SECURED/stranger.pem" &
refusals+=($!)
refused "CQL, no certificate" store.tls_certificate --set store.tls_certificate= --set store.tls_key= &
refusals+=($!)
refused "CQL, another's key" store.tls_key --set "store.tls_key=$SECURED/server-key.pem" &
refusals+=($!)
for refusal in "${refusals[@]}"; do wait "$refusal"; done
say "all ways in work, all others say what is wrong"

# The scope is that of `make test`, whose build it is; another would be compiled anew.
direct() { # name, port, properties
  TIDEFOLD_TEST_KAFKA=127.0.0.1:$2 TIDEFOLD_TEST_KAFKA_PROPERTIES=$3 \
    cargo test -q --workspace --features tidefold/kafka --lib direct::tests::the_direct_way_is_secured >"$work/out" 2>&1 ||
    { say "Tidefold's own connections, $1:"; cat "$work/out" >&2; exit 1; }
  say "$1: Tidefold's own connections too"
}
direct scram512 "$KAFKA_PORT" "$kafka"
direct scram256 "$KAFKA_PORT" "${kafka/SHA-512/SHA-256}"
direct plain "$KAFKA_PORT" "$(sed 's/SCRAM-SHA-512/PLAIN/; s/scram-secret/plain-secret/' <<<"$kafka")"
direct certificate $((KAFKA_PORT + 2)) "security.protocol=SSL
ssl.ca.location=$SECURED/authority.pem
ssl.certificate.location=$SECURED/client.pem
ssl.key.location=$SECURED/client-key.pem"

# A login that may do everything but read what topics are set to: the node waits and says which right it lacks. Given the right, it
# goes on by itself.
cat >"$work/admin.properties" <<PROPERTIES
security.protocol=SASL_SSL
sasl.mechanism=PLAIN
sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required username="tidefold" password="plain-secret";
ssl.truststore.type=PEM
ssl.truststore.location=$SECURED/authority.pem
PROPERTIES
allow() { # what
  java -Xmx64m -cp "$SERVERS_DIR/lib-kafka/*" org.apache.kafka.tools.AclCommand --bootstrap-server "127.0.0.1:$KAFKA_PORT" \
    --command-config "$work/admin.properties" --add --force --allow-principal User:limited "$@" >"$work/acl.log" 2>&1 ||
    { cat "$work/acl.log" >&2; exit 1; }
}
until_ready() { # status, what the answer has to say
  local waited=0 status
  until status=$(curl -s -o "$work/ready" -w '%{http_code}' "http://127.0.0.1:$((KAFKA_PORT + 7))/readyz") &&
    [ "$status" = "$1" ] && grep -q "$2" "$work/ready"; do
    kill -0 $node 2>/dev/null && [ $((waited += 1)) -lt 600 ] ||
      { say "never $1 with \"$2\":"; cat "$work/ready" "$work/out" >&2; exit 1; }
    sleep 0.1
  done
}
allow --operation Describe --operation Read --operation Write --topic '*'
allow --operation Read --group '*'
"${up[@]}" --set kafka.sasl.username=limited --set kafka.sasl.password=limited-secret \
  --set "listen.admin=127.0.0.1:$((KAFKA_PORT + 7))" 2>"$work/out" &
node=$!
until_ready 503 DescribeConfigs
say "settings of topics that may not be read: not taken, /readyz names DescribeConfigs"
allow --operation DescribeConfigs --topic '*'
until_ready 200 ""
stop
say "settings of topics that may be read: taken"

TIDEFOLD_TEST_KAFKA=127.0.0.1:$KAFKA_PORT TIDEFOLD_TEST_KAFKA_PROPERTIES=$kafka \
  TIDEFOLD_TEST_CQL=127.0.0.1:$CQL_PORT TIDEFOLD_TEST_CQL_SETTINGS=$cql \
  cargo test --workspace --features tidefold/kafka --test contract
say "the log and the store keep their contracts with TLS and a login"
