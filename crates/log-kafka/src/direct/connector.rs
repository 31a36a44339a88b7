//! Opening connections: secured, logged in, the broker's versions known.

use std::io;
use std::sync::Arc;

use kafka_protocol::protocol::StrBytes;
use tokio::net::TcpStream;

use super::connection::{Address, Connection, PATIENCE, Tally, within};
use super::security::Security;
use crate::settings::Settings;

/// Opens connections.
#[derive(Clone, Debug)]
pub(crate) struct Connector {
    client_id: StrBytes,
    security: Security,
    largest: usize,
    tally: Arc<Tally>,
    /// All connections go there instead: to what stands between a test and its broker.
    #[cfg(test)]
    pub(crate) detour: Option<Address>,
}

/// The largest answer, unless one record may be larger: a broker sends a whole batch, however little is asked for.
const LARGEST: usize = 100 << 20;

// === impl Connector ===

impl Connector {
    pub(crate) fn new(settings: &Settings, security: Security) -> Connector {
        Connector {
            client_id: StrBytes::from_string(settings.client_id.clone()),
            security,
            largest: LARGEST.max(settings.record_bytes + (1 << 20)),
            tally: Arc::default(),
            #[cfg(test)]
            detour: None,
        }
    }

    pub(crate) async fn open(&self, address: &Address) -> io::Result<Connection> {
        #[cfg(test)]
        let address = self.detour.as_ref().unwrap_or(address);
        let opened = within(PATIENCE, self.connect(address)).await;
        opened.inspect_err(|_| self.tally.failed())
    }

    pub(crate) fn tally(&self) -> &Tally {
        &self.tally
    }

    async fn connect(&self, address: &Address) -> io::Result<Connection> {
        let stream = TcpStream::connect((address.host.as_str(), address.port)).await?;
        stream.set_nodelay(true)?;
        let stream = self.security.wrap(stream, &address.host).await?;
        let (client_id, tally) = (self.client_id.clone(), Arc::clone(&self.tally));
        let mut connection = Connection::over(stream, client_id, self.largest, tally).await?;
        self.security.log_in(&mut connection).await?;
        Ok(connection)
    }
}
