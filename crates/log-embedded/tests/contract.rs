//! The embedded log passes the suite of every log.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;

use futures_util::future::BoxFuture;
use tidefold_log::{SharedLog, contract::Subject};
use tidefold_log_embedded::{EmbeddedLog, Settings};

struct InFolder(tempfile::TempDir);

impl Subject for InFolder {
    fn open(&self) -> BoxFuture<'_, SharedLog> {
        Box::pin(async {
            Arc::new(EmbeddedLog::open(self.0.path(), Settings::default()).unwrap()) as SharedLog
        })
    }
}

fn new_folder() -> InFolder {
    InFolder(tempfile::tempdir().unwrap())
}

tidefold_log::log_contract!(new_folder());
