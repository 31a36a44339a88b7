//! How to reach the server, and how to use it.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use tidefold_store::observer::SharedObserver;

/// How to reach the server, and how to use it.
#[derive(Clone)]
pub struct Settings {
    /// Nodes to ask first, as `host:port` or `host`; any of a cluster will do.
    pub contact_points: Vec<String>,
    /// What stands before an app's name in the name of its keyspace.
    pub keyspace_prefix: String,
    /// How many nodes have each row, for keyspaces made by us. `None`: 3, or 1 in a cluster of one node.
    pub replication_factor: Option<u32>,
    /// The data center whose nodes are used and whose quorum counts. Must be said when there are several.
    pub local_datacenter: Option<String>,
    /// The login, if the server wants one.
    pub user: Option<String>,
    /// Its password.
    pub password: Option<String>,
    /// How connections are encrypted; `None`: they are not.
    pub tls: Option<Tls>,
    /// At most so many requests are under way at once.
    pub in_flight: usize,
    /// How long to wait for a first connection.
    pub connect_timeout: Duration,
    /// How long to wait for the answer to a request.
    pub request_timeout: Duration,
    /// Who is told of requests that are sent again.
    pub observer: SharedObserver,
}

/// How connections to the server are encrypted. Files are PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// Authorities that may have signed the nodes' certificates, and no others; `None`: those of the system.
    pub ca: Option<PathBuf>,
    /// Our own certificate and those between it and its authority, for a server that asks for one.
    pub certificate: Option<PathBuf>,
    /// The key of our certificate, without a passphrase.
    pub key: Option<PathBuf>,
    /// Whether a node's certificate has to name its IP address: the driver knows nodes by nothing else.
    pub check_address: bool,
}

// === impl Settings ===

impl Default for Settings {
    fn default() -> Self {
        Settings {
            contact_points: Vec::new(),
            keyspace_prefix: String::new(),
            replication_factor: None,
            local_datacenter: None,
            user: None,
            password: None,
            tls: None,
            in_flight: 256,
            connect_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(10),
            observer: SharedObserver::default(),
        }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("contact_points", &self.contact_points)
            .field("keyspace_prefix", &self.keyspace_prefix)
            .field("replication_factor", &self.replication_factor)
            .field("local_datacenter", &self.local_datacenter)
            .field("user", &self.user)
            .field("password", &self.password.as_ref().map(|_| "***"))
            .field("tls", &self.tls)
            .field("in_flight", &self.in_flight)
            .field("connect_timeout", &self.connect_timeout)
            .field("request_timeout", &self.request_timeout)
            .finish()
    }
}

// === impl Tls ===

impl Default for Tls {
    fn default() -> Tls {
        Tls { ca: None, certificate: None, key: None, check_address: true }
    }
}
