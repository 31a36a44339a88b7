//! Control as a process follows it that does not fold: told to the APIs once the tables it names can be read here.

use std::sync::Arc;
use std::time::Duration;

use tidefold_app::App;
use tidefold_control::Control;
use tidefold_store::{SharedStore, StoreError, Table};
use tidefold_telemetry::clock;
use tokio::sync::watch;

/// Pause between attempts while the store does not answer.
const AGAIN: Duration = Duration::from_millis(500);

/// What control says, of which every active generation's tables are open in this process.
pub(crate) struct Opened {
    app: Arc<App>,
    store: SharedStore,
    source: watch::Receiver<Arc<Control>>,
    told: watch::Sender<Arc<Control>>,
}

// === impl Opened ===

impl Opened {
    /// Opens what control names now. A store that does not answer is waited for.
    ///
    /// # Errors
    /// When the store refuses the tables for good.
    pub(crate) async fn new(
        app: Arc<App>,
        store: SharedStore,
        source: watch::Receiver<Arc<Control>>,
    ) -> Result<Opened, StoreError> {
        let told = watch::channel(Arc::new(Control::default())).0;
        let mut opened = Opened { app, store, source, told };
        opened.advance().await?;
        Ok(opened)
    }

    /// What the APIs may go by.
    pub(crate) fn watch(&self) -> watch::Receiver<Arc<Control>> {
        self.told.subscribe()
    }

    /// Follows for ever. Tables that are refused later leave the APIs with what they have.
    pub(crate) async fn keep_up(mut self) {
        while self.source.changed().await.is_ok() {
            if let Err(error) = self.advance().await {
                tracing::error!(%error, "the tables of a new generation cannot be read here; the ones before are served on");
            }
        }
    }

    async fn advance(&mut self) -> Result<(), StoreError> {
        let control = Arc::clone(&self.source.borrow_and_update());
        let active = self.app.topics.iter().filter_map(|topic| {
            let generation = control.active(topic.name.as_str())?;
            Some(topic.generation(&self.app, generation))
        });
        let tables: Vec<Table> = active
            .flat_map(|tables| tables.all().cloned().collect::<Vec<_>>())
            .map(|table| Table { id: table.id, layout: table.layout })
            .collect();
        let mut said = false;
        loop {
            match self.store.open(&tables).await {
                Ok(()) => break,
                Err(error @ StoreError::Unavailable { .. }) => {
                    if !std::mem::replace(&mut said, true) {
                        tracing::warn!(%error, "waiting for the store");
                    }
                    clock::pause(AGAIN).await;
                }
                Err(error) => return Err(error),
            }
        }
        self.told.send_replace(control);
        Ok(())
    }
}
