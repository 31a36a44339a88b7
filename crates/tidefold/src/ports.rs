//! The ports of a node. They answer from the start on, that the node is alive and what it waits for; what can be asked of it
//! comes once there is something to answer with.

use std::net::SocketAddr;

use axum::Router;
use tidefold_http::{Drained, Limits, Readiness, Routes, Server};
use tidefold_telemetry::Telemetry;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::failure::{Code, Failure};

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
    servers: Vec<JoinHandle<Drained>>,
    shutdown: CancellationToken,
    _dropped: DropGuard,
}

// === impl Ports ===

impl Ports {
    /// Listens at both addresses and answers there.
    ///
    /// # Errors
    /// When one is taken.
    pub(crate) async fn open(
        http: Option<SocketAddr>,
        admin: SocketAddr,
        limits: Limits,
        readiness: &Readiness,
        telemetry: &Telemetry,
    ) -> Result<Ports, Failure> {
        let public_listener = match http {
            Some(address) => Some(bind(address).await?),
            None => None,
        };
        let admin_listener = bind(admin).await?;
        let before = tidefold_http::admin(readiness.clone(), telemetry.clone());
        let shutdown = CancellationToken::new();
        let mut ports = Ports {
            http: public_listener.as_ref().map(TcpListener::local_addr).transpose()?,
            admin: admin_listener.local_addr()?,
            public: Routes::later(Router::new(), readiness),
            operators: Routes::later(before, readiness),
            servers: Vec::new(),
            _dropped: shutdown.clone().drop_guard(),
            shutdown,
        };
        let server = |name| Server { name, limits, telemetry: telemetry.clone() };
        ports.serve(admin_listener, ports.operators.clone(), server("admin"));
        if let Some(listener) = public_listener {
            ports.serve(listener, ports.public.clone(), server("public"));
        }
        let http = ports.http.map(|address| address.to_string()).unwrap_or_default();
        tracing::info!(admin = %ports.admin, http, "listening");
        Ok(ports)
    }

    /// Answers with these from now on; `operators` has the routes of the admin port in it.
    pub(crate) fn answer_with(&self, public: Router, operators: Router) {
        self.public.set(public);
        self.operators.set(operators);
    }

    /// Stops accepting and answers what is open.
    pub(crate) async fn close(self) {
        self.shutdown.cancel();
        for server in self.servers {
            if let Ok(Drained::Cut(open)) = server.await {
                tracing::warn!(open, "connections were cut at the end of the time allowed");
            }
        }
    }

    fn serve(&mut self, listener: TcpListener, routes: Routes, server: Server) {
        let served = tidefold_http::serve(listener, routes, self.shutdown.clone(), server);
        self.servers.push(tokio::runtime::Handle::current().spawn(served));
    }
}

async fn bind(address: SocketAddr) -> Result<TcpListener, Failure> {
    TcpListener::bind(address).await.map_err(|error| {
        let text = format!(
            "{address} cannot be listened on\n  because: {error}\nchoose another with --http or --admin"
        );
        Failure::new(Code::Conflict, text)
    })
}
