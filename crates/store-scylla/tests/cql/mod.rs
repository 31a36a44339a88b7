//! The server tests run against: `TIDEFOLD_TEST_CQL` names it. Every test has a keyspace of its own, dropped at its end.
//!
//! `TIDEFOLD_TEST_CQL_SETTINGS` has what the server wants besides, one `name=value` a line, by the names of the section
//! `store` of the settings file: `tls_ca`, `tls_certificate`, `tls_key`, `user`, `password`.
#![allow(
    dead_code,
    clippy::expect_used,
    clippy::panic,
    reason = "each test binary uses its part, and fails where the server does not"
)]

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use scylla::client::session::{Session, TlsContext};
use scylla::client::session_builder::SessionBuilder;
use tidefold_store::SharedStore;
use tidefold_store::contract::Harness;
use tidefold_store_scylla::{ScyllaStore, Settings, Tls};
use tokio::runtime::Runtime;

/// A store in a keyspace of its own.
pub struct Cql {
    store: Option<Arc<ScyllaStore>>,
    settings: Settings,
}

// === impl Cql ===

impl Cql {
    /// Tests are ignored where there is no server.
    pub fn new() -> Cql {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let server =
            std::env::var("TIDEFOLD_TEST_CQL").expect("TIDEFOLD_TEST_CQL was set when the tests were built");
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let binary = if cfg!(test) { module_path!().replace("::", "_") } else { String::new() };
        let settings = Settings {
            contact_points: vec![server],
            keyspace_prefix: format!("t{}_{binary}_{count}_", std::process::id()),
            ..way_in()
        };
        let mut cql = Cql { store: None, settings };
        cql.reopen();
        cql
    }

    pub fn keyspace(&self) -> String {
        format!("{}contract", self.settings.keyspace_prefix)
    }

    pub fn settings(&self) -> Settings {
        self.settings.clone()
    }

    /// A session that knows nothing of stamps, as a stranger has it.
    pub fn by_hand(&self, statements: &[&str]) {
        let settings = self.settings.clone();
        let statements: Vec<String> =
            statements.iter().map(|cql| cql.replace("KS", &format!("\"{}\"", self.keyspace()))).collect();
        blocking(async move {
            let session = stranger(&settings).await;
            for statement in &statements {
                session.query_unpaged(statement.as_str(), ()).await.expect(statement);
            }
        });
    }
}

impl Cql {
    /// What another program reads: the one column, of text, of each row.
    pub fn json(&self, statement: &str) -> Vec<String> {
        let settings = self.settings.clone();
        let statement = statement.replace("KS", &format!("\"{}\"", self.keyspace()));
        blocking(async move {
            let session = stranger(&settings).await;
            let found = session.query_unpaged(statement.as_str(), ()).await.expect(&statement);
            let found = found.into_rows_result().expect("rows");
            found.rows::<(String,)>().expect("one text").map(|row| row.expect("a row").0).collect()
        })
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

/// What the server wants to let us in.
fn way_in() -> Settings {
    let text = std::env::var("TIDEFOLD_TEST_CQL_SETTINGS").unwrap_or_default();
    let mut settings = Settings::default();
    for line in text.lines().filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once('=').expect("name=value");
        match name {
            "tls_ca" => settings.tls.get_or_insert_default().ca = Some(value.into()),
            "tls_certificate" => settings.tls.get_or_insert_default().certificate = Some(value.into()),
            "tls_key" => settings.tls.get_or_insert_default().key = Some(value.into()),
            "user" => settings.user = Some(value.to_owned()),
            "password" => settings.password = Some(value.to_owned()),
            _ => panic!("TIDEFOLD_TEST_CQL_SETTINGS has no setting {name}"),
        }
    }
    settings
}

/// Another program's session.
async fn stranger(settings: &Settings) -> Session {
    let mut builder = SessionBuilder::new().known_nodes(&settings.contact_points);
    if let Some(user) = &settings.user {
        builder = builder.user(user, settings.password.as_deref().unwrap_or_default());
    }
    if let Some(tls) = &settings.tls {
        builder = builder.tls_context(Some(encrypted(tls)));
    }
    builder.build().await.expect("connects")
}

#[cfg(feature = "tls")]
fn encrypted(tls: &Tls) -> TlsContext {
    use openssl::ssl::{SslConnector, SslFiletype, SslMethod};

    let mut builder = SslConnector::builder(SslMethod::tls_client()).expect("OpenSSL");
    if let Some(ca) = &tls.ca {
        builder.set_ca_file(ca).expect("tls_ca");
    }
    if let Some(certificate) = &tls.certificate {
        builder.set_certificate_chain_file(certificate).expect("tls_certificate");
    }
    if let Some(key) = &tls.key {
        builder.set_private_key_file(key, SslFiletype::PEM).expect("tls_key");
    }
    builder.into()
}

#[cfg(not(feature = "tls"))]
fn encrypted(_: &Tls) -> TlsContext {
    unreachable!("the store refuses TLS before a stranger comes")
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
