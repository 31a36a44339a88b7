//! The store on ScyllaDB or Apache Cassandra.

use futures_util::future::FutureExt;

use super::kind::{Kind, OpenStore};

pub(super) const STORE: Kind<OpenStore> = Kind {
    scheme: "scylla",
    on_servers: true,
    lacks: if cfg!(feature = "scylla") { None } else { Some("scylla") },
    open: |place, told| open(place, told).boxed(),
};

#[cfg(not(feature = "scylla"))]
async fn open(
    _: super::kind::Place<'_>,
    _: super::kind::OfStore,
) -> Result<tidefold_store::SharedStore, crate::failure::Failure> {
    let text = super::kind::without("scylla", "scylla");
    Err(crate::failure::Failure::new(crate::failure::Code::Usage, text))
}

#[cfg(feature = "scylla")]
use linked::open;

#[cfg(feature = "scylla")]
mod linked {
    use std::sync::Arc;
    use std::time::Duration;

    use tidefold_store::{SharedStore, StoreError};
    use tidefold_store_scylla::{ScyllaStore, Settings, Tls};
    use tidefold_telemetry::{Backoff, Stopped};

    use super::super::kind::{OfStore, Place};
    use crate::failure::{Code, Failure};

    /// Between two attempts to connect.
    const REST: Backoff = Backoff { first: Duration::from_millis(200), most: Duration::from_secs(2) };

    /// Connects; a server that does not answer is waited for.
    pub(super) async fn open(place: Place<'_>, told: OfStore) -> Result<SharedStore, Failure> {
        let (settings, gate) = (&place.settings.store, &place.gate);
        gate.close(format!("waiting for the store: nobody has answered yet at {}", settings.url));
        let of_store = Settings {
            contact_points: place.addresses,
            keyspace_prefix: settings.keyspace_prefix.clone(),
            replication_factor: settings.replication,
            local_datacenter: settings.datacenter.clone(),
            user: settings.user.clone(),
            password: settings.password.clone(),
            tls: settings.tls.then(|| Tls {
                ca: settings.tls_ca.clone(),
                certificate: settings.tls_certificate.clone(),
                key: settings.tls_key.clone(),
                check_address: settings.tls_address,
            }),
            in_flight: settings.in_flight,
            observer: told.observer,
            ..Default::default()
        };
        let connect = || async {
            let connected = ScyllaStore::connect(of_store.clone()).await;
            connected.inspect_err(|error| gate.close(format!("waiting for the store: {error}")))
        };
        let passes = |error: &StoreError| matches!(error, StoreError::Unavailable { .. });
        match place.telemetry.retry().backoff(REST).run("reach the store", passes, connect).await {
            Ok(store) => {
                gate.open();
                Ok(Arc::new(store))
            }
            Err(Stopped::Lasting(error)) => Err(Failure::from_error(Code::Conflict, &error)),
            Err(stopped @ Stopped::Cancelled) => Err(Failure::new(Code::Failed, stopped.to_string())),
        }
    }
}
