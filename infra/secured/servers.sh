# What infra/local/servers.sh adds to the servers' settings with SECURED=DIRECTORY, where the certificates are. One node of each.

# Clients: TLS with a login on the port itself, TLS with a certificate two ports on. The broker talks to itself over the latter, and
# to its controller without a name. Who is not listed here may do what access control lists allow.
kafka_secured() { # port
  cat <<PROPERTIES
listeners=CLIENT://127.0.0.1:$1,MUTUAL://127.0.0.1:$(($1 + 2)),CONTROLLER://127.0.0.1:$(($1 + 1))
advertised.listeners=CLIENT://127.0.0.1:$1,MUTUAL://127.0.0.1:$(($1 + 2))
listener.security.protocol.map=CLIENT:SASL_SSL,MUTUAL:SSL,CONTROLLER:PLAINTEXT
inter.broker.listener.name=MUTUAL
ssl.keystore.type=PEM
ssl.keystore.location=$SECURED/server-all.pem
ssl.truststore.type=PEM
ssl.truststore.location=$SECURED/authority.pem
listener.name.mutual.ssl.client.auth=required
sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512
listener.name.client.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_tidefold="plain-secret";
listener.name.client.scram-sha-256.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.client.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:tidefold;User:CN=client;User:CN=server;User:ANONYMOUS
PROPERTIES
}

kafka_logins() { # arguments of the storage tool
  echo --add-scram "SCRAM-SHA-256=[name=tidefold,password=scram-secret]"
  echo --add-scram "SCRAM-SHA-512=[name=tidefold,password=scram-secret]"
  echo --add-scram "SCRAM-SHA-512=[name=limited,password=limited-secret]" # may do what it is allowed (run.sh)
}

# Clients show a certificate and log in; the first login is cassandra with the password cassandra.
cassandra_secured() {
  cat <<YAML
authenticator: PasswordAuthenticator
authorizer: CassandraAuthorizer
role_manager: CassandraRoleManager
client_encryption_options:
  enabled: true
  optional: false
  require_client_auth: true
  ssl_context_factory:
    class_name: org.apache.cassandra.security.PEMBasedSslContextFactory
  keystore: $SECURED/server-all.pem
  truststore: $SECURED/authority.pem
YAML
}
