//! The store on ScyllaDB or Apache Cassandra.

use std::sync::Arc;
use std::time::Duration;

use tidefold_http::Gate;
use tidefold_store::{SharedStore, StoreError};
use tidefold_store_scylla::ScyllaStore;
use tidefold_telemetry::clock;

use crate::failure::{Code, Failure};
use crate::settings::Settings;

/// Connects; a server that does not answer is waited for.
pub(super) async fn store(
    contact_points: Vec<String>,
    settings: &Settings,
    gate: &Gate,
) -> Result<SharedStore, Failure> {
    gate.close(format!("waiting for the store: nobody has answered yet at {}", settings.store_url));
    let of_store = tidefold_store_scylla::Settings {
        contact_points,
        keyspace_prefix: settings.keyspace_prefix.clone(),
        replication_factor: settings.store_replication,
        local_datacenter: settings.datacenter.clone(),
        user: settings.store_user.clone(),
        password: settings.store_password.clone(),
        tls: settings.store_tls.then(|| tidefold_store_scylla::Tls {
            ca: settings.store_tls_ca.clone(),
            certificate: settings.store_tls_certificate.clone(),
            key: settings.store_tls_key.clone(),
            check_address: settings.store_tls_address,
        }),
        in_flight: settings.store_in_flight,
        ..Default::default()
    };
    loop {
        match ScyllaStore::connect(of_store.clone()).await {
            Ok(store) => {
                gate.open();
                return Ok(Arc::new(store));
            }
            Err(error @ StoreError::Unavailable { .. }) => {
                tracing::warn!(%error, "waiting for the store");
                gate.close(format!("waiting for the store: {error}"));
                clock::pause(Duration::from_secs(1)).await;
            }
            Err(error) => return Err(Failure::from_error(Code::Conflict, &error)),
        }
    }
}
