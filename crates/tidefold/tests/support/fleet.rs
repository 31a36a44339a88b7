//! A fleet on real servers: processes of each kind, and the servers under them.

use std::process::Command;

use super::backends::Backends;
use super::ledger::Ledger;
use super::{Client, Node, root};

/// The processes of one app.
pub struct Fleet {
    pub backends: Backends,
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
    /// Two of each.
    pub fn start() -> Fleet {
        // The first one makes the topics and tables; the others would all try.
        Fleet::of_kinds(&[Kind::Project, Kind::Ingest, Kind::Query, Kind::Project, Kind::Ingest, Kind::Query])
    }

    /// These, in their order.
    pub fn of_kinds(kinds: &[Kind]) -> Fleet {
        let backends = Backends::of("kafka", "scylla");
        let folder = tempfile::tempdir().unwrap();
        let mut fleet = Fleet { backends, folder, ingest: vec![], project: vec![], query: vec![] };
        kinds.iter().for_each(|kind| fleet.add(*kind));
        fleet
    }

    /// Where processes would keep files, if they kept any.
    pub fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    /// Ends everything in good order.
    pub fn end(mut self) {
        for kind in [Kind::Ingest, Kind::Query, Kind::Project] {
            for node in std::mem::take(self.of(kind)) {
                assert_eq!(node.terminate(), Some(0), "{kind:?} ends in good order");
            }
        }
    }

    /// One more of a kind.
    pub fn add(&mut self, kind: Kind) {
        let node = self.try_add(kind).unwrap_or_else(|text| panic!("tidefold {}: {text}", kind.command()));
        self.of(kind).push(node);
    }

    /// Starts a process of a kind; what it printed when it does not come up.
    pub fn try_add(&self, kind: Kind) -> Result<Node, String> {
        let app = root().join("schemas/storefront");
        Node::spawn(kind.command(), &app, self.folder.path(), &self.backends.flags())
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

    /// Waits until everything acknowledged is visible to a reader, whoever folds it; partitions that stand aside.
    pub async fn settle(&self, client: &Client, ledger: &Ledger, standing: &[u32]) {
        let position = ledger.min_position(standing);
        let headers = [("tidefold-min-position", position.as_str()), ("prefer", "wait=5")];
        let url = format!("{}/v1/storefront/orders/o-1", self.query[0].http);
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
