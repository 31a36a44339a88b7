//! Control as a process follows it that does not fold: told to the APIs once the tables it names can be read here.

use std::sync::Arc;

use tidefold_control::Control;
use tidefold_http::Gate;
use tidefold_store::{SharedStore, StoreError, Table};
use tidefold_telemetry::{Retry, Stopped};
use tokio::sync::watch;

/// What control says, of which every active generation's tables are open in this process.
pub(crate) struct Opened {
    store: SharedStore,
    source: watch::Receiver<Arc<Control>>,
    told: watch::Sender<Arc<Control>>,
    retry: Retry,
}

// === impl Opened ===

impl Opened {
    /// Opens what control names now. A store that does not answer is waited for, and `gate` told so.
    ///
    /// # Errors
    /// When the store refuses the tables for good.
    pub(crate) async fn new(
        store: SharedStore,
        source: watch::Receiver<Arc<Control>>,
        retry: Retry,
        gate: &Gate,
    ) -> Result<Opened, StoreError> {
        let told = watch::channel(Arc::new(Control::default())).0;
        let mut opened = Opened { store, source, told, retry };
        gate.close("opening the tables that control names");
        opened.advance(|error| gate.close(format!("waiting for the store: {error}"))).await?;
        Ok(opened)
    }

    /// What the APIs may go by.
    pub(crate) fn watch(&self) -> watch::Receiver<Arc<Control>> {
        self.told.subscribe()
    }

    /// Follows for ever. Tables that are refused later leave the APIs with what they have.
    pub(crate) async fn keep_up(mut self) {
        while self.source.changed().await.is_ok() {
            if let Err(error) = self.advance(|_| {}).await {
                tracing::error!(%error, "the tables of a new generation cannot be read here; the ones before are served on");
            }
        }
    }

    /// Opens the tables of what is served now; `told` hears of each attempt that failed.
    async fn advance(&mut self, told: impl Fn(&StoreError) + Send + Sync) -> Result<(), StoreError> {
        let control = Arc::clone(&self.source.borrow_and_update());
        let serving = control.serving();
        let active = serving.iter().filter_map(|projection| {
            let generation = control.active(projection.name())?;
            Some(projection.tables(generation))
        });
        let tables: Vec<Table> = active
            .flat_map(|tables| tables.all().cloned().collect::<Vec<_>>())
            .map(|table| Table { id: table.id, layout: table.layout })
            .collect();
        let passes = |error: &StoreError| matches!(error, StoreError::Unavailable { .. });
        let open = async || self.store.open(&tables).await.inspect_err(&told);
        match self.retry.run("open the tables", passes, open).await {
            Ok(()) => {}
            Err(Stopped::Lasting(error)) => return Err(error),
            // Nobody does.
            Err(Stopped::Cancelled) => return Ok(()),
        }
        self.told.send_replace(control);
        Ok(())
    }
}
