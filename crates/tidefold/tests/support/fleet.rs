//! A fleet on real servers: processes of each kind, and the servers under them.

use std::process::Command;

use super::backends::Backends;
use super::ledger::Ledger;
use super::{Client, Node, root};

/// The processes of one app.
pub struct Fleet {
    backends: Backends,
    folder: tempfile::TempDir,
    pub ingest: Vec<Node>,
    pub project: Vec<Node>,
    pub query: Vec<Node>,
}

/// The kinds of processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Ingest,
    Project,
    Query,
}

pub const KINDS: [Kind; 3] = [Kind::Ingest, Kind::Project, Kind::Query];

impl Kind {
    fn command(self) -> &'static str {
        match self {
            Kind::Ingest => "ingest",
            Kind::Project => "project",
            Kind::Query => "query",
        }
    }
}

impl Fleet {
    /// Two of each; none where the servers are not there.
    pub fn start() -> Option<Fleet> {
        let backends = Backends::of("kafka", "scylla")?;
        let folder = tempfile::tempdir().unwrap();
        let mut fleet = Fleet { backends, folder, ingest: vec![], project: vec![], query: vec![] };
        // The first one makes the topics and tables; the others would all try.
        for kind in [Kind::Project, Kind::Ingest, Kind::Query, Kind::Project, Kind::Ingest, Kind::Query] {
            fleet.add(kind);
        }
        Some(fleet)
    }

    /// One more of a kind.
    pub fn add(&mut self, kind: Kind) {
        let app = root().join("schemas/storefront");
        let flags = self.backends.flags();
        let node = Node::spawn(kind.command(), &app, self.folder.path(), &flags);
        let node = node.unwrap_or_else(|text| panic!("tidefold {}: {text}", kind.command()));
        self.of(kind).push(node);
    }

    pub fn of(&mut self, kind: Kind) -> &mut Vec<Node> {
        match kind {
            Kind::Ingest => &mut self.ingest,
            Kind::Project => &mut self.project,
            Kind::Query => &mut self.query,
        }
    }

    /// Where messages go.
    pub fn ingest_urls(&self) -> Vec<String> {
        self.ingest.iter().map(|node| node.http.clone()).collect()
    }

    /// Waits until everything acknowledged is visible to a reader, whoever folds it.
    pub async fn settle(&self, client: &Client, ledger: &Ledger) {
        let position = ledger.min_position();
        let headers = [("tidefold-min-position", position.as_str()), ("prefer", "wait=5")];
        let url = format!("{}/v1/storefront/units_by_sku/sku-0", self.query[0].http);
        loop {
            let answer = client.get(&url, &headers).await;
            match answer.status {
                200 | 404 => return,
                503 => tokio::task::yield_now().await,
                _ => panic!("{answer:?}"),
            }
        }
    }
}

/// One of the servers, by the script that started them.
pub fn server(action: &str, node: &str) {
    let script = root().join("infra/local/servers.sh");
    let ended = Command::new("bash").arg(script).args(["one", action, node]).status().unwrap();
    assert!(ended.success(), "servers.sh one {action} {node}: {ended}");
}

/// Whether this test may stop the servers: they are its own.
pub fn owns_servers() -> bool {
    std::env::var_os("SERVERS_DIR").is_some()
}
