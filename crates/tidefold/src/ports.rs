//! The ports of a node. They answer from the start on, that the node is alive and what it waits for; what can be asked of it
//! comes once there is something to answer with.

use std::net::SocketAddr;

use axum::Router;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tidefold_http::paths::Port;
use tidefold_http::{Admission, Drained, Limits, Readiness, Routes, Server};
use tidefold_telemetry::{Supervised, Supervisor, Telemetry};
use tokio::net::{TcpListener, TcpSocket};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::failure::{Code, Failure};
use crate::settings::Settings;

/// Where a node listens. Dropped, it stops accepting.
pub(crate) struct Ports {
    /// Where the write and read APIs listen, if the node has them.
    pub(crate) http: Option<SocketAddr>,
    /// Where the operators' API listens.
    pub(crate) admin: SocketAddr,
    /// What the write and read APIs answer with.
    public: Routes,
    /// What the operators' API answers with.
    operators: Routes,
    servers: Vec<Supervised<Drained>>,
    last: Last,
    supervisor: Supervisor,
    shutdown: CancellationToken,
    _dropped: DropGuard,
}

/// What the admin port answers with while a node stops: probes are told so until the end, whoever asks for more is not served.
struct Last {
    listener: std::net::TcpListener,
    routes: Routes,
    server: Server,
}

/// The admin port of a node that stops, until this is dropped.
pub(crate) struct Leaving {
    _served: Option<Supervised<Drained>>,
}

/// Connections of the admin port.
const ADMIN_CONNECTIONS: usize = 64;

/// Bytes of answers that the system keeps for one connection: enough for a page to go out in few round trips, and not so
/// many that who reads nothing has pages made for it in vain.
const SEND_BUFFER: u32 = 256 << 10;

/// Descriptors that a node has open before anybody asks for anything: sockets, locks, timers.
const AT_REST: u64 = 32;

// === impl Ports ===

impl Ports {
    /// Listens at both addresses and answers there.
    ///
    /// # Errors
    /// When one is taken.
    pub(crate) async fn open(
        http: Option<SocketAddr>,
        settings: &Settings,
        limits: Limits,
        readiness: &Readiness,
        supervisor: &Supervisor,
        telemetry: &Telemetry,
    ) -> Result<Ports, Failure> {
        let public_listener = match http {
            Some(address) => Some(bind(address)?),
            None => None,
        };
        let admin_listener = bind(settings.listen.admin)?;
        let before = tidefold_http::admin(readiness.clone(), telemetry.clone());
        let telemetry = telemetry.clone();
        let admission = Admission { origins: settings.listen.origins.clone(), ..Admission::default() };
        let operators = Admission {
            hosts: Some(settings.listen.admin_hosts.clone()),
            operators: true,
            ..admission.clone()
        };
        let files = raise_open_files();
        let limits = Limits { connections: limits.connections.min(connections_of(files)), ..limits };
        // Probes and operators: they find a place whatever happens at the other port.
        let least = usize::try_from(files / 16).unwrap_or(usize::MAX).clamp(4, ADMIN_CONNECTIONS);
        let of_admin = Limits { connections: least, address_share: 1, ..limits };
        let server =
            Server { name: "admin", limits: of_admin, admission: operators, telemetry: telemetry.clone() };
        let (admin_listener, listener) = twice(admin_listener)?;
        let last =
            Last { listener, routes: Routes::later(before.clone(), readiness), server: server.clone() };
        let shutdown = CancellationToken::new();
        let mut ports = Ports {
            http: public_listener.as_ref().map(TcpListener::local_addr).transpose()?,
            admin: admin_listener.local_addr()?,
            public: Routes::later(Router::new(), readiness),
            operators: Routes::later(before, readiness),
            servers: Vec::new(),
            last,
            supervisor: supervisor.clone(),
            _dropped: shutdown.clone().drop_guard(),
            shutdown,
        };
        ports.serve(admin_listener, ports.operators.clone(), server);
        if let Some(listener) = public_listener {
            let server = Server { name: "public", limits, admission, telemetry };
            ports.serve(listener, ports.public.clone(), server);
        }
        let http = ports.http.map(|address| address.to_string()).unwrap_or_default();
        let connections = limits.connections;
        tracing::info!(admin = %ports.admin, http, open_files = files, connections, "listening");
        Ok(ports)
    }

    /// Answers with these from now on; `operators` has the routes of the admin port in it. Each with what is served there.
    pub(crate) fn answer_with(&self, public: (Router, Port), operators: (Router, Port)) {
        self.public.set(public.0, public.1);
        self.operators.set(operators.0, operators.1);
    }

    /// Stops accepting and answers what is open. Probes are told meanwhile, and until what is returned is dropped, that the
    /// node stops.
    pub(crate) async fn close(self) -> Leaving {
        self.shutdown.cancel();
        let leaving = self.last.serve(&self.supervisor);
        for server in self.servers {
            if let Some(Drained::Cut(open)) = server.ended().await {
                tracing::warn!(open, "connections were cut at the end of the time allowed");
            }
        }
        leaving
    }

    fn serve(&mut self, listener: TcpListener, routes: Routes, server: Server) {
        let name = server.name;
        let served = tidefold_http::serve(listener, routes, self.shutdown.clone(), server);
        self.servers.push(self.supervisor.spawn(name, served));
    }
}

// === impl Last ===

impl Last {
    fn serve(self, supervisor: &Supervisor) -> Leaving {
        match TcpListener::from_std(self.listener) {
            Ok(listener) => {
                // Dropped, the task ends, and what it serves with it.
                let forever = CancellationToken::new();
                let served = tidefold_http::serve(listener, self.routes, forever, self.server);
                Leaving { _served: Some(supervisor.spawn("admin", served)) }
            }
            Err(error) => {
                tracing::warn!(%error, "probes are not told that the node stops");
                Leaving { _served: None }
            }
        }
    }
}

/// A listener, and another that takes its connections once the first takes none any more.
fn twice(listener: TcpListener) -> std::io::Result<(TcpListener, std::net::TcpListener)> {
    let listener = listener.into_std()?;
    let other = listener.try_clone()?;
    Ok((TcpListener::from_std(listener)?, other))
}

/// Raises the limit of open files as far as this process may, and says how many that is.
fn raise_open_files() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    // Some systems take no more than a bound that they do not tell: then it stays as it was.
    let now = if setrlimit(Resource::Nofile, raised).is_ok() { raised } else { limit };
    now.current.unwrap_or(u64::MAX)
}

/// How many of so many open files connections may be: one in two, and one in eight of those is the admin port's. The others
/// are the log's and the store's, whose writers end for good where they get none.
fn connections_of(files: u64) -> usize {
    let half = files.saturating_sub(AT_REST) / 2;
    usize::try_from(half - half / 8).unwrap_or(usize::MAX).max(4)
}

/// Listens at an address. What callers do not read stands in the system's buffers, so those of its connections are bounded.
fn bind(address: SocketAddr) -> Result<TcpListener, Failure> {
    let listen = || {
        let socket = match address {
            SocketAddr::V4(_) => TcpSocket::new_v4()?,
            SocketAddr::V6(_) => TcpSocket::new_v6()?,
        };
        socket.set_reuseaddr(true)?;
        // Its connections inherit it.
        socket.set_send_buffer_size(SEND_BUFFER)?;
        socket.bind(address)?;
        socket.listen(1_024)
    };
    listen().map_err(|error: std::io::Error| {
        let text = format!(
            "{address} cannot be listened on\n  because: {error}\nchoose another with --http or --admin"
        );
        Failure::new(Code::Conflict, text)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_least_half_of_the_open_files_are_not_connections() {
        for files in [64, 96, 256, 1_024, 65_536, 1 << 30] {
            let public = connections_of(files) as u64;
            let admin = public.min(ADMIN_CONNECTIONS as u64).min(files / 16);
            assert!(public >= 4 && AT_REST + public + admin <= files, "{files}: {public} and {admin}");
        }
        assert_eq!(connections_of(96), 28);
    }
}
