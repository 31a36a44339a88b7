# Apache Kafka without ZooKeeper: every node is broker and controller. Sourced by servers.sh.

kafka_port_of() { echo $((kafka_port + ($1 - 1) * 10)); }

kafka_java() { # heap, further arguments
  local heap=$1
  shift
  java "-Xms$heap" "-Xmx$heap" -XX:+UseSerialGC -XX:TieredStopAtLevel="${KAFKA_TIER:-4}" -Djava.awt.headless=true \
    "-Dlog4j2.configurationFile=$here/kafka/log4j2.yaml" -cp "$root/lib-kafka/*" "$@"
}

kafka_open() { # port
  cat <<PROPERTIES
listeners=PLAINTEXT://127.0.0.1:$1,CONTROLLER://127.0.0.1:$(($1 + 1))
advertised.listeners=PLAINTEXT://127.0.0.1:${KAFKA_ADVERTISED:-$1}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
PROPERTIES
}

# Everything on loopback; topics are made by us, never by a typo; rebalances that do not make a test wait.
kafka_properties() { # number
  local i=$1 replicas=$count port voters=()
  port=$(kafka_port_of "$i")
  for n in $(seq "$count"); do voters+=("$n@127.0.0.1:$(($(kafka_port_of "$n") + 1))"); done
  [ "$replicas" -le 3 ] || replicas=3
  if [ -n "${SECURED:-}" ]; then kafka_secured "$port"; else kafka_open "$port"; fi
  cat <<PROPERTIES
process.roles=broker,controller
node.id=$i
controller.quorum.voters=$(IFS=,; echo "${voters[*]}")
controller.listener.names=CONTROLLER
log.dirs=$root/kafka-$i/data
auto.create.topics.enable=false
unclean.leader.election.enable=false
min.insync.replicas=$(((replicas + 1) / 2))
default.replication.factor=$replicas
offsets.topic.replication.factor=$replicas
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=$replicas
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=$replicas
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=4
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
broker.session.timeout.ms=${KAFKA_SESSION_MS:-6000}
broker.heartbeat.interval.ms=$((${KAFKA_SESSION_MS:-6000} / 6))
log.cleaner.dedupe.buffer.size=16777216
num.partitions=1
PROPERTIES
}

# One id for all nodes of this folder.
kafka_cluster_id() {
  local file=$root/kafka-cluster-id
  [ -f "$file" ] || head -c16 /dev/urandom | base64 | tr '+/' '-_' | tr -d '=' >"$file"
  cat "$file"
}

kafka_start() { # number
  local node=kafka-$1 heap=512m logins=()
  [ "$count" -eq 1 ] || heap=384m
  kafka_properties "$1" >"$root/$node/server.properties"
  if [ ! -d "$root/$node/data" ]; then
    [ -z "${SECURED:-}" ] || read -ra logins <<<"$(kafka_logins | tr '\n' ' ')"
    kafka_java 128m kafka.tools.StorageTool format -t "$(kafka_cluster_id)" -c "$root/$node/server.properties" "${logins[@]}" \
      >"$root/$node/format.log" 2>&1 || { say "$node cannot be formatted:"; cat "$root/$node/format.log" >&2; exit 1; }
  fi
  launch "$node" java "-Xms$heap" "-Xmx$heap" -XX:+UseSerialGC -XX:TieredStopAtLevel="${KAFKA_TIER:-4}" -Djava.awt.headless=true \
    "-Dlog4j2.configurationFile=$here/kafka/log4j2.yaml" -cp "$root/lib-kafka/*" kafka.Kafka "$root/$node/server.properties"
}

kafka_ready() {
  local all=()
  for n in $(seq "$count"); do all+=("127.0.0.1:$(kafka_port_of "$n")"); done
  say "Kafka answers at $(IFS=,; echo "${all[*]}")"
}
