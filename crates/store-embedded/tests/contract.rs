//! The embedded store keeps the contract.
#![allow(clippy::unwrap_used, reason = "a test fails where something is not there")]

use std::sync::Arc;

use tempfile::TempDir;
use tidefold_store::SharedStore;
use tidefold_store::contract::Harness;
use tidefold_store_embedded::{EmbeddedStore, Settings};

struct Embedded {
    store: Option<Arc<EmbeddedStore>>,
    folder: TempDir,
}

impl Embedded {
    fn new() -> Embedded {
        let folder = TempDir::new().unwrap();
        let store = Some(Arc::new(EmbeddedStore::open(folder.path(), Settings::default()).unwrap()));
        Embedded { store, folder }
    }
}

impl Harness for Embedded {
    fn store(&self) -> SharedStore {
        self.store.clone().unwrap()
    }

    fn reopen(&mut self) {
        self.store = None;
        self.store = Some(Arc::new(EmbeddedStore::open(self.folder.path(), Settings::default()).unwrap()));
    }
}

tidefold_store::store_contract!(Embedded::new());
