//! The log and the store in the app's data folder.

use std::path::Path;
use std::sync::Arc;

use tidefold_http::Gate;
use tidefold_log::SharedLog;
use tidefold_log_embedded::EmbeddedLog;
use tidefold_store::SharedStore;
use tidefold_store_embedded::EmbeddedStore;

use super::OfLog;
use crate::failure::{Code, Failure};
use crate::settings::Settings;

/// The log, and its identity.
pub(super) fn log(
    folder: &Path,
    settings: &Settings,
    of_log: &OfLog<'_>,
    gate: &Gate,
) -> Result<(SharedLog, String), Failure> {
    create(folder)?;
    let usual = tidefold_log_embedded::Settings::default();
    let of_log = tidefold_log_embedded::Settings {
        queue_bytes: settings.log_queue_bytes,
        record_bytes: usual.record_bytes.max(of_log.record_bytes),
        ..usual
    };
    let log = EmbeddedLog::open(folder.join("log"), of_log)
        .map_err(|error| Failure::from_error(Code::Conflict, &error))?;
    let identity = log.id().to_string();
    let log = Arc::new(log);
    let told = Arc::downgrade(&log);
    gate.open_until(move || told.upgrade().and_then(|log| log.ended()));
    Ok((log, identity))
}

/// The store; `owner` says of which app and log its rows are.
pub(super) fn store(
    folder: &Path,
    owner: String,
    settings: &Settings,
    gate: &Gate,
) -> Result<SharedStore, Failure> {
    create(folder)?;
    let of_store = tidefold_store_embedded::Settings {
        cache_bytes: settings.store_cache_bytes as u64,
        identity: Some(owner),
        ..Default::default()
    };
    let store = EmbeddedStore::open(folder.join("store"), of_store)
        .map_err(|error| Failure::from_error(Code::Conflict, &error))?;
    let store = Arc::new(store);
    let told = Arc::downgrade(&store);
    gate.open_until(move || told.upgrade().and_then(|store| store.ended()));
    Ok(store)
}

fn create(folder: &Path) -> Result<(), Failure> {
    std::fs::create_dir_all(folder).map_err(|error| {
        let text = format!("{} cannot be created\n  because: {error}", folder.display());
        Failure::new(Code::Failed, text)
    })
}
