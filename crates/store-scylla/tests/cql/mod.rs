//! The server tests run against: `TIDEFOLD_TEST_CQL` names it. Every test has a keyspace of its own, dropped at its end.
#![allow(
    dead_code,
    clippy::expect_used,
    reason = "each test binary uses its part, and fails where the server does not"
)]

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use tidefold_store::SharedStore;
use tidefold_store::contract::Harness;
use tidefold_store_scylla::{ScyllaStore, Settings};
use tokio::runtime::Runtime;

/// A store in a keyspace of its own.
pub struct Cql {
    store: Option<Arc<ScyllaStore>>,
    settings: Settings,
}

// === impl Cql ===

impl Cql {
    /// `None`, said aloud, without a server.
    pub fn new() -> Option<Cql> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let Ok(server) = std::env::var("TIDEFOLD_TEST_CQL") else {
            println!("skipped: TIDEFOLD_TEST_CQL is not set (make servers-up)");
            return None;
        };
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let binary = if cfg!(test) { module_path!().replace("::", "_") } else { String::new() };
        let settings = Settings {
            contact_points: vec![server],
            keyspace_prefix: format!("t{}_{binary}_{count}_", std::process::id()),
            ..Settings::default()
        };
        let mut cql = Cql { store: None, settings };
        cql.reopen();
        Some(cql)
    }

    pub fn keyspace(&self) -> String {
        format!("{}contract", self.settings.keyspace_prefix)
    }

    pub fn settings(&self) -> Settings {
        self.settings.clone()
    }

    /// A session that knows nothing of stamps, as a stranger has it.
    pub fn by_hand(&self, statements: &[&str]) {
        let points = self.settings.contact_points.clone();
        let statements: Vec<String> =
            statements.iter().map(|cql| cql.replace("KS", &format!("\"{}\"", self.keyspace()))).collect();
        blocking(async move {
            let session: Session = SessionBuilder::new().known_nodes(points).build().await.expect("connects");
            for statement in &statements {
                session.query_unpaged(statement.as_str(), ()).await.expect(statement);
            }
        });
    }
}

impl Harness for Cql {
    fn store(&self) -> SharedStore {
        self.store.clone().expect("open")
    }

    fn reopen(&mut self) {
        self.store = None;
        let settings = self.settings.clone();
        self.store =
            Some(Arc::new(blocking(async move { ScyllaStore::connect(settings).await.expect("connects") })));
    }
}

impl Drop for Cql {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.by_hand(&["DROP KEYSPACE IF EXISTS KS"]);
        } else {
            let keyspace = self.keyspace();
            println!("keyspace {keyspace} is left to be looked at");
        }
    }
}

/// Sessions outlive the runtime of a test, so they live in one of their own.
pub fn blocking<T: Send>(future: impl Future<Output = T> + Send) -> T {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    let runtime = RUNTIME.get_or_init(|| {
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime")
    });
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().spawn_scoped(scope, || runtime.block_on(future));
        thread.expect("a thread").join().expect("no panic")
    })
}
