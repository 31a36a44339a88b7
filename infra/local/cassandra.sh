# Apache Cassandra, one node or three with every row on each. Sourced by servers.sh.

cassandra_tokens=(-9223372036854775808 -3074457345618258603 3074457345618258602)

cassandra_yaml() { # number
  local i=$1 token=0 seeds=() memtable=128
  for n in $(seq "$count"); do seeds+=("127.0.0.$n:$storage_port"); done
  if [ "$count" -gt 1 ]; then
    token=${cassandra_tokens[$((i - 1))]}
    memtable=64
  fi
  cat <<YAML
cluster_name: tidefold-local
num_tokens: 1
initial_token: $token
auto_bootstrap: false
partitioner: org.apache.cassandra.dht.Murmur3Partitioner
endpoint_snitch: SimpleSnitch
seed_provider:
  - class_name: org.apache.cassandra.locator.SimpleSeedProvider
    parameters: [{ seeds: "$(IFS=,; echo "${seeds[*]}")" }]
listen_address: 127.0.0.$i
rpc_address: 127.0.0.$i
storage_port: $storage_port
native_transport_port: $cql_port
start_native_transport: true
data_file_directories: ["$root/cassandra-$i/data"]
commitlog_directory: "$root/cassandra-$i/commitlog"
hints_directory: "$root/cassandra-$i/hints"
saved_caches_directory: "$root/cassandra-$i/saved_caches"
cdc_raw_directory: "$root/cassandra-$i/cdc"
commitlog_sync: periodic
commitlog_sync_period: 10000ms
commitlog_segment_size: 16MiB
commitlog_total_space: 512MiB
disk_failure_policy: stop
commit_failure_policy: stop
memtable_heap_space: ${memtable}MiB
memtable_offheap_space: ${memtable}MiB
memtable_allocation_type: heap_buffers
file_cache_size: 64MiB
networking_cache_size: 32MiB
key_cache_size: 8MiB
concurrent_reads: 8
concurrent_writes: 16
concurrent_compactors: 1
YAML
  [ -z "${SECURED:-}" ] || cassandra_secured
}

cassandra_start() { # number
  local node=cassandra-$1 home=$root/cassandra-$1 heap=1g
  [ "$count" -eq 1 ] || heap=512m
  cassandra_yaml "$1" >"$home/cassandra.yaml"
  launch "$node" java -Xms256m "-Xmx$heap" -XX:+UseSerialGC -Xss256k -XX:MaxDirectMemorySize=512m "@$here/cassandra/jvm.options" \
    "-Dcassandra.config=file://$home/cassandra.yaml" "-Dcassandra.storagedir=$home" "-Dcassandra.logdir=$home" \
    "-Dlogback.configurationFile=$here/cassandra/logback.xml" -Dcassandra-foreground=yes \
    -Dcassandra.skip_wait_for_gossip_to_settle=0 -Dcassandra.ring_delay_ms=0 -Dcassandra.superuser_setup_delay_ms=0 -XX:+ExitOnOutOfMemoryError \
    -cp "$here/cassandra:$root/lib-cassandra/*" org.apache.cassandra.service.CassandraDaemon
}

cassandra_ready() {
  local all=()
  for n in $(seq "$count"); do all+=("127.0.0.$n:$cql_port"); done
  say "CQL answers at $(IFS=,; echo "${all[*]}")"
}
