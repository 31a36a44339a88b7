//! The log and the store in the app's data folder.

use std::path::Path;
use std::sync::Arc;

use futures_util::future::FutureExt;
use tidefold_log_embedded::EmbeddedLog;
use tidefold_store::SharedStore;
use tidefold_store_embedded::EmbeddedStore;

use super::kind::{Kind, OfLog, OfStore, OpenLog, OpenStore, OpenedLog, Place};
use crate::failure::{Code, Failure};

pub(super) const LOG: Kind<OpenLog> = Kind {
    scheme: "embedded",
    on_servers: false,
    lacks: None,
    open: |place, told| async move { log(&place, told) }.boxed(),
};

pub(super) const STORE: Kind<OpenStore> = Kind {
    scheme: "embedded",
    on_servers: false,
    lacks: None,
    open: |place, told| async move { store(&place, told) }.boxed(),
};

fn log(place: &Place<'_>, told: OfLog) -> Result<OpenedLog, Failure> {
    create(&place.folder)?;
    let usual = tidefold_log_embedded::Settings::default();
    let of_log = tidefold_log_embedded::Settings {
        queue_bytes: place.settings.log.queue_bytes,
        record_bytes: usual.record_bytes.max(told.record_bytes),
        ..usual
    };
    let log = EmbeddedLog::open(place.folder.join("log"), of_log)
        .map_err(|error| Failure::from_error(Code::Conflict, &error))?;
    let identity = log.id().to_string();
    let log = Arc::new(log);
    let asked = Arc::downgrade(&log);
    place.gate.open_until(move || asked.upgrade().and_then(|log| log.ended()));
    Ok(OpenedLog { log, identity })
}

fn store(place: &Place<'_>, told: OfStore) -> Result<SharedStore, Failure> {
    create(&place.folder)?;
    let of_store = tidefold_store_embedded::Settings {
        cache_bytes: place.settings.store.cache_bytes as u64,
        identity: Some(told.owner),
        ..Default::default()
    };
    let store = EmbeddedStore::open(place.folder.join("store"), of_store)
        .map_err(|error| Failure::from_error(Code::Conflict, &error))?;
    let store = Arc::new(store);
    let asked = Arc::downgrade(&store);
    place.gate.open_until(move || asked.upgrade().and_then(|store| store.ended()));
    Ok(store)
}

fn create(folder: &Path) -> Result<(), Failure> {
    std::fs::create_dir_all(folder).map_err(|error| {
        let text = format!("{} cannot be created\n  because: {error}", folder.display());
        Failure::new(Code::Failed, text)
    })
}
