//! What every request is served with: the tables to be read, what is visible of them, and what is counted.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::PathRejection;
use axum::http::StatusCode;
use tidefold_codec::nearest::nearest;
use tidefold_control::Control;
use tidefold_http::{Asking, Problem, ProblemKind};
use tidefold_log::SharedLog;
use tidefold_record::{Partition, Position};
use tidefold_store::SharedStore;
use tidefold_table::Checkpoint;
use tidefold_telemetry::{QueryMetrics, ReadKind, Telemetry, clock};
use tokio::sync::watch;

use crate::generations::{Generations, NotReadable};
use crate::position::{self, MinPosition, Visible};
use crate::proof::LogTopic;
use crate::request::PageLimits;
use crate::table::{ReadTable, store_problem};

/// What the read API works with.
#[derive(Clone)]
pub struct Components {
    /// The app's name.
    pub app: Arc<str>,
    /// The store.
    pub store: SharedStore,
    /// Which generations are active, and what each was built from.
    pub control: watch::Receiver<Arc<Control>>,
    /// The log, where the node has one: whether anything newer stands there is all that is asked of it.
    pub log: Option<SharedLog>,
    /// Why a partition's projection does not go on, where this node folds and knows.
    pub halts: Option<Halts>,
    /// Where it counts.
    pub telemetry: Telemetry,
}

/// Why a topic's generation is halted in a partition, if it is.
pub type Halts = Arc<dyn Fn(&str, u32, Partition) -> Option<String> + Send + Sync>;

/// What bounds the read API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Rows of a page.
    pub page: PageLimits,
    /// How long `Tidefold-Min-Position` waits where the caller does not say (`Prefer: wait=…`).
    pub patience: Duration,
    /// How long it waits at most.
    pub patience_max: Duration,
}

/// What every request sees.
pub(crate) struct Api {
    /// The app's name.
    pub(crate) app: Arc<str>,
    pub(crate) generations: Generations,
    pub(crate) store: SharedStore,
    pub(crate) log: Option<SharedLog>,
    pub(crate) settings: Settings,
    pub(crate) metrics: QueryMetrics,
    halts: Option<Halts>,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            page: PageLimits { default: 50, max: 1_000 },
            patience: Duration::from_secs(5),
            patience_max: Duration::from_secs(30),
        }
    }
}

/// Who asks, and how.
pub(crate) type Asked<'a> = (&'a Asking, &'a MinPosition);

// === impl Api ===

impl Api {
    /// Nothing was read yet.
    pub(crate) fn new(components: Components, settings: Settings) -> Api {
        let Components { app, store, control, log, halts, telemetry } = components;
        let metrics = telemetry.query(&app);
        let generations = Generations::new(Arc::clone(&store), control);
        Api { app, generations, store, log, settings, metrics, halts }
    }

    pub(crate) fn check_app(&self, app: &str) -> Result<(), Problem> {
        let here = &*self.app;
        if app == here {
            return Ok(());
        }
        Err(Problem::new(ProblemKind::UnknownApp, format!("this node serves the app {here}")))
    }

    pub(crate) async fn table(&self, app: &str, name: &str) -> Result<ReadTable, Problem> {
        self.check_app(app)?;
        match self.generations.table(name).await {
            Some(Ok(table)) => Ok(table),
            Some(Err(NotReadable::NotBuilt)) => {
                let problem =
                    Problem::new(ProblemKind::NotReady, format!("{name} has no active generation yet"));
                Err(problem.with_retry_after(Duration::from_secs(1)))
            }
            Some(Err(NotReadable::NoProjection(error))) => {
                Err(Problem::new(ProblemKind::Internal, error.to_string()))
            }
            Some(Err(NotReadable::Store(error))) => Err(store_problem(error)),
            None => {
                let known = self.generations.known();
                let names = known.names();
                if name == "outcomes" {
                    let detail = format!(
                        "an outcome stands under /v1/{app}/outcomes/{{topic}}:{{partition}}:{{offset}}"
                    );
                    return Err(Problem::new(ProblemKind::UnknownTable, detail));
                }
                if known.has_message(name) {
                    let detail = format!(
                        "{name} is a message type: it is sent, with POST; tables are {}",
                        names.join(", ")
                    );
                    return Err(Problem::new(ProblemKind::UnknownTable, detail));
                }
                let detail = match nearest(name, names.iter().copied()) {
                    Some(near) => format!("there is no table {name}; did you mean {near}?"),
                    None => format!("there is no table {name}; there are {}", names.join(", ")),
                };
                Err(Problem::new(ProblemKind::UnknownTable, detail))
            }
        }
    }

    /// What is visible before the rows are read (I4), once the caller's own write is; `None` where another generation is
    /// in use by now and all has to be read again from that one.
    pub(crate) async fn visible(
        &self,
        table: &ReadTable,
        partition: Option<u32>,
        (asking, wanted): Asked<'_>,
    ) -> Result<Option<Visible>, Problem> {
        let which: Vec<u32> = match partition {
            Some(only) => vec![only],
            None => (0..table.topic().partitions).collect(),
        };
        let checkpoints = match &wanted.0 {
            None => {
                let recent = table.recent.checkpoints(&self.store, &table.tables, &which).await;
                recent.map_err(store_problem)?
            }
            // In a box: few wait, and the others need no room for it.
            Some(wanted) => {
                let wanted = position::parse(wanted, table.topic())?;
                Box::pin(self.wait(table, &which, &wanted, asking)).await?
            }
        };
        if !table.served.saw(table.generation, checkpoints.iter().map(|c| c.next)) {
            return Ok(None);
        }
        Ok(Some(position::visible(table, &checkpoints, partition, self.log.as_ref())))
    }

    async fn wait(
        &self,
        table: &ReadTable,
        which: &[u32],
        wanted: &[Position],
        asking: &Asking,
    ) -> Result<Vec<Checkpoint>, Problem> {
        let halted = self
            .halts
            .as_ref()
            .map(|halts| |partition: Partition| halts(table.projection.name(), table.generation, partition));
        let since = clock::instant();
        let patience = asking.preferences.wait.unwrap_or(self.settings.patience);
        let patience = patience.min(self.settings.patience_max);
        let log = self.log.as_ref().map(|log| LogTopic::new(log, &table.projection));
        let place = position::Place { table, log: log.as_ref(), caller: &asking.caller };
        let reached = place.wait(which, wanted, patience, halted).await;
        if !wanted.is_empty() {
            self.metrics.position_wait_seconds.observe(since.elapsed().as_secs_f64());
        }
        reached
    }

    /// Counts an answer.
    pub(crate) fn count(&self, read: ReadKind, answer: Result<StatusCode, &Problem>) {
        let outcomes = self.metrics.requests(read);
        let counter = match answer {
            Ok(StatusCode::NOT_MODIFIED) => &outcomes.not_modified,
            Ok(_) => &outcomes.ok,
            Err(problem) if problem.kind() == ProblemKind::PositionNotReached => &outcomes.timeout,
            Err(problem) if problem.status() == StatusCode::NOT_FOUND => &outcomes.not_found,
            Err(problem) if problem.status().is_server_error() => &outcomes.unavailable,
            Err(_) => &outcomes.invalid,
        };
        counter.inc();
    }
}

/// What is answered where a path cannot be read.
pub(crate) fn bad_path(error: PathRejection) -> Problem {
    Problem::new(ProblemKind::InvalidRequest, format!("the path cannot be read: {}", error.body_text()))
}
