//! What all routes of ingest share.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tidefold_http::{Principal, Problem, ProblemKind};
use tidefold_log::{Appended, LogError, SharedLog};
use tidefold_record::{BatchBuilder, Offset, Partition, TopicName, unframe};
use tidefold_store::SharedStore;
use tidefold_store::lookout::Lookout;
use tidefold_store::published::Published;
use tidefold_telemetry::{Gauge, IngestMetrics, clock};

use crate::admission::Admission;
use crate::attributes::Attributes;
use crate::catalog::{Catalogs, TopicEntry};
use crate::components::{Clock, Components, Refusals};
use crate::ids::Ids;
use crate::proofs::{Folded, Proofs};
use crate::record::Now;
use crate::settings::Settings;

/// The state of ingest's routes.
pub(crate) struct Intake {
    /// The app's name.
    pub(crate) app: Arc<str>,
    pub(crate) catalog: Catalogs,
    pub(crate) log: SharedLog,
    pub(crate) store: SharedStore,
    pub(crate) metrics: IngestMetrics,
    pub(crate) settings: Settings,
    pub(crate) ids: Ids,
    pub(crate) admission: Admission,
    pub(crate) proofs: Proofs,
    /// The generation that queries read, by the log's name of its topic.
    read: Mutex<HashMap<TopicName, Read>>,
    refusals: Option<Refusals>,
    clock: Clock,
    anonymous_source: String,
}

/// A generation that queries read.
#[derive(Clone)]
struct Read {
    generation: u32,
    published: Published,
    lookout: Arc<Lookout>,
}

/// Bytes on their way to the log, while they are.
struct OnTheWay<'a>(&'a Gauge, i64);

// === impl Intake ===

impl Intake {
    pub(crate) fn new(components: Components) -> Intake {
        let Components { app, log, store, control, refusals, telemetry, settings, clock } = components;
        Intake {
            proofs: Proofs::new(Arc::clone(&log)),
            read: Mutex::default(),
            refusals,
            catalog: Catalogs::new(control, &settings),
            metrics: telemetry.ingest(&app),
            anonymous_source: Principal::ANONYMOUS.source(&app),
            ids: Ids::new(),
            admission: Admission::new(
                settings.memory_bytes,
                settings.limits.body_bytes.max(2 * settings.chunk_bytes),
            ),
            app,
            log,
            store,
            settings,
            clock,
        }
    }

    pub(crate) fn now(&self) -> Now {
        Now::at((self.clock)())
    }

    /// The source of a caller's messages where they name none: with the id, what makes a message the same message.
    pub(crate) fn source_of(&self, principal: &Principal) -> std::borrow::Cow<'_, str> {
        if *principal == Principal::ANONYMOUS {
            return (&*self.anonymous_source).into();
        }
        principal.source(&self.app).into()
    }

    /// Checks that a message does not speak under the source of another caller.
    pub(crate) fn check_source(
        &self,
        principal: &Principal,
        attributes: &Attributes<'_>,
    ) -> Result<(), Problem> {
        match &attributes.source {
            Some(source) => principal.may_speak_as(&self.app, source),
            None => Ok(()),
        }
    }

    /// Checks that a path is of this node's app.
    pub(crate) fn check_app(&self, name: &str) -> Result<(), Problem> {
        if name == &*self.app {
            return Ok(());
        }
        let shown: String = name.chars().take(80).collect();
        let detail = format!("this node serves the app `{}`, not `{shown}`", self.app);
        Err(Problem::new(ProblemKind::UnknownApp, detail))
    }

    /// Appends a batch and measures it.
    pub(crate) async fn append(
        &self,
        topic: &TopicEntry,
        partition: Partition,
        batch: BatchBuilder,
    ) -> Result<Appended, LogError> {
        if let Some(detail) = self.refusal(topic, partition).await {
            return Err(LogError::Mismatch { topic: topic.log_name.clone(), detail });
        }
        if let Some((index, size_bytes)) = too_large(&batch, topic.max_message_bytes) {
            return Err(LogError::TooLarge { index, size_bytes, limit_bytes: topic.max_message_bytes });
        }
        let records = batch.len();
        let _on_the_way = OnTheWay::new(&self.metrics.inflight_bytes, batch.size_bytes());
        let since = clock::instant();
        let append = self.log.append(&topic.log_name, partition, batch);
        let time = self.settings.append_timeout;
        let appended = tokio::time::timeout(time, append).await.unwrap_or_else(|_| {
            let detail = format!("no answer within {} ms", time.as_millis());
            Err(LogError::Unknown { detail })
        });
        self.metrics.append_seconds.observe(since.elapsed().as_secs_f64());
        self.metrics.append_records.observe(records as f64);
        appended
    }

    /// The generation of a topic that queries read; none while nothing is active.
    pub(crate) fn active(&self, topic: &TopicEntry) -> Option<u32> {
        self.catalog.control().active(topic.name.as_str())
    }

    /// A partition as the generation that queries read has it; none while nothing is active.
    pub(crate) fn folded(&self, topic: &TopicEntry, partition: Partition) -> Option<Folded> {
        let generation = self.active(topic)?;
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let known = read.get(&topic.log_name).filter(|known| known.generation == generation);
        let Read { published, lookout, .. } = match known {
            Some(known) => known.clone(),
            None => {
                let tables = topic.projection.tables(generation);
                let published = Published::of(&self.store, &tables);
                let anew =
                    Read { generation, published, lookout: Arc::new(Lookout::of(&self.store, &tables)) };
                read.insert(topic.log_name.clone(), anew.clone());
                anew
            }
        };
        Some(Folded {
            topic: topic.log_name.clone(),
            partitions: topic.partitions,
            partition,
            generation,
            published,
            lookout,
        })
    }

    /// Why nothing that is appended to a partition now would be folded, as it stands: then it is not appended. A halt that
    /// leaves the log as it is, such as one on a record, is no reason: what comes behind is folded once it is lifted.
    async fn refusal(&self, topic: &TopicEntry, partition: Partition) -> Option<String> {
        let refused = self.refusals.as_ref().and_then(|refusals| refusals(topic.name.as_str(), partition));
        if refused.is_some() {
            return refused;
        }
        let looked = self.proofs.contradiction(topic, partition, || self.folded(topic, partition)).await;
        looked.map(|found| {
            format!(
                "partition {partition}: {found}. Nothing that is appended now would be folded: {}",
                found.remedy()
            )
        })
    }
}

/// The first record whose message is larger than its topic takes.
fn too_large(batch: &BatchBuilder, limit: usize) -> Option<(usize, usize)> {
    // Most batches are smaller as a whole.
    if batch.size_bytes() <= limit {
        return None;
    }
    let datum = |value: &[u8]| unframe(value).map_or(value.len(), |(_, datum)| datum.len());
    let sizes = batch.iter(Offset::ZERO).map(|record| record.value.map_or(0, datum));
    sizes.enumerate().find(|(_, size)| *size > limit)
}

// === impl OnTheWay ===

impl<'a> OnTheWay<'a> {
    fn new(gauge: &'a Gauge, bytes: usize) -> OnTheWay<'a> {
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        gauge.inc_by(bytes);
        OnTheWay(gauge, bytes)
    }
}

impl Drop for OnTheWay<'_> {
    fn drop(&mut self) {
        self.0.dec_by(self.1);
    }
}
