#!/usr/bin/env bash
# Real servers without containers: Apache Kafka (KRaft) and Apache Cassandra, from their jars, on loopback with small heaps.
#
#   infra/local/servers.sh up [kafka|cassandra]      fetches what is missing, starts what does not run, waits until it answers
#   infra/local/servers.sh down [kafka|cassandra]    stops them; what they stored stays
#   infra/local/servers.sh reset                     stops them and forgets what they stored
#   infra/local/servers.sh status                    what runs, and where
#   infra/local/servers.sh one up|down|kill|pause|resume kafka-1     one node, for tests of failures
#
# SERVERS=3 makes three of each. KAFKA_PORT (9092) and CQL_PORT (9042) move them; SERVERS_DIR is where they live.
# KAFKA_ADVERTISED is the port that Kafka tells its clients, where something stands before it.
# SECURED=DIRECTORY makes one of each that wants TLS and logins; certificates are there (infra/secured).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=${SERVERS_DIR:-$(cd "$here/../.." && pwd)/target/servers}
kafka_port=${KAFKA_PORT:-9092}
cql_port=${CQL_PORT:-9042}
storage_port=${CQL_STORAGE_PORT:-$((cql_port + 100))}
count=${SERVERS:-1}
limit=${SERVERS_WAIT:-120} # seconds a server may take to answer

source "$here/kafka.sh"
source "$here/cassandra.sh"
[ -z "${SECURED:-}" ] || source "$here/../secured/servers.sh"

say() { echo "servers: $*" >&2; }

# Jars of a server, fetched once.
fetch() {
  local name=$1 lib=$root/lib-$1
  [ -f "$lib/.complete" ] && return
  for tool in java mvn; do
    command -v $tool >/dev/null || { say "$tool is missing: install a JDK 17 and Maven (Debian: openjdk-17-jdk-headless maven)"; exit 3; }
  done
  say "fetching $name"
  mkdir -p "$lib"
  mvn -q -B -f "$here/$name/pom.xml" org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies \
    -DincludeScope=runtime -DoutputDirectory="$lib" >"$root/fetch-$name.log" 2>&1 ||
    { say "Maven failed; see $root/fetch-$name.log"; exit 3; }
  touch "$lib/.complete"
}

# The process of a node, if it runs.
pid_of() {
  local file=$root/$1/pid
  [ -f "$file" ] && kill -0 "$(cat "$file")" 2>/dev/null && cat "$file"
}

# Starts a command as a node, in a session of its own: it outlives this shell.
launch() {
  local node=$1
  shift
  setsid "$@" >"$root/$node/out.log" 2>&1 </dev/null &
  echo $! >"$root/$node/pid"
}

listens() { (exec 3<>"/dev/tcp/$1/$2") 2>/dev/null; }

# Waits until a node answers at an address, or it has died.
wait_for() {
  local node=$1 address=$2 port=$3 waited=0
  until listens "$address" "$port"; do
    pid_of "$node" >/dev/null || { say "$node died:"; tail -20 "$root/$node/out.log" >&2; exit 1; }
    [ $((waited += 1)) -le $((limit * 5)) ] || { say "$node does not answer at $address:$port after ${limit}s"; exit 1; }
    sleep 0.2
  done
}

start() { # node
  [ -z "$(pid_of "$1" || true)" ] || return 0
  mkdir -p "$root/$1"
  case $1 in
    kafka-*) kafka_start "${1#kafka-}" ;;
    cassandra-*) cassandra_start "${1#cassandra-}" ;;
    *) say "there is no node $1: kafka-N or cassandra-N"; exit 2 ;;
  esac
}

stop() { # node [signal]
  local node=$1 pid waited=0
  pid=$(pid_of "$node") || return 0
  kill "-${2:-TERM}" "$pid"
  while kill -0 "$pid" 2>/dev/null; do
    [ $((waited += 1)) -le 150 ] || { kill -KILL "$pid"; waited=0; }
    sleep 0.2
  done
  rm -f "$root/$node/pid"
}

answers() { # node
  case $1 in
    kafka-*) wait_for "$1" 127.0.0.1 "$(kafka_port_of "${1#kafka-}")" ;;
    cassandra-*) wait_for "$1" "127.0.0.${1#cassandra-}" "$cql_port" ;;
  esac
}

nodes() { # names of the kinds asked for
  for kind in "$@"; do
    for i in $(seq "$count"); do echo "$kind-$i"; done
  done
}

present() { find "$root" -mindepth 2 -maxdepth 2 -name pid -printf '%h\n' 2>/dev/null | xargs -rn1 basename | sort; }

command=${1:-help}
shift || true
kinds=("${@:-kafka cassandra}")
case $command in
  up)
    for kind in ${kinds[@]}; do fetch "$kind"; done
    all=$(nodes ${kinds[@]})
    for node in $all; do start "$node"; done
    for node in $all; do answers "$node"; done
    for kind in ${kinds[@]}; do "${kind}_ready"; done
    ;;
  down)
    # Cassandra takes seconds to stop: all at once.
    for node in $(present); do
      for kind in ${kinds[@]}; do
        case $node in "$kind"-*) stop "$node" & ;; esac
      done
    done
    wait
    ;;
  reset)
    "$0" down
    rm -rf "$root"/kafka-* "$root"/cassandra-*
    ;;
  status)
    for node in $(present); do echo "$node $(pid_of "$node" || echo stopped)"; done
    ;;
  one)
    case $1 in
      up) start "$2"; answers "$2" ;;
      down) stop "$2" ;;
      kill) stop "$2" KILL ;;
      pause) kill -STOP "$(pid_of "$2")" ;;
      resume) kill -CONT "$(pid_of "$2")" ;;
    esac
    ;;
  *)
    sed -n '2,11p' "$0" | cut -c3-
    exit 2
    ;;
esac
