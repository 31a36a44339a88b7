//! Appends: idempotent producers, whose reports are counted down per append.
//!
//! There are two of them, since librdkafka compresses all of a producer's records or none: of the CPU spent on single
//! messages, of which a millisecond brings a partition few, compressing takes a good part and gains little.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Header, Message, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer, ProducerContext, ThreadedProducer};
use rdkafka::statistics::Statistics;
use rdkafka::types::RDKafkaErrorCode as Code;
use tidefold_log::LogError;
use tidefold_record::{BatchBuilder, Offset, Partition, RecordRef, TopicName};
use tokio::sync::oneshot;

use crate::context::{Counts, Trouble};
use crate::direct::MOST_RECORDS;
use crate::known::{KnownTopic, no_such};
use crate::pending::{Answer, Pending};
use crate::settings::Settings;

/// The producers of this process.
pub(crate) struct Appender {
    /// Takes appends of few records.
    few: Current,
    /// Takes the others, and compresses them. None: `few` takes all.
    many: Option<Current>,
    pending: Arc<Pending>,
    queue_bytes: usize,
    record_bytes: usize,
    message_timeout: Duration,
}

/// A producer, made when it is first needed. A fatal error of librdkafka's ends one; another takes its place.
struct Current {
    config: ClientConfig,
    reports: Reports,
    producer: RwLock<Option<Arc<ThreadedProducer<Reports>>>>,
}

/// Takes delivery reports.
#[derive(Clone)]
pub(crate) struct Reports {
    pending: Arc<Pending>,
    record_bytes: usize,
    brokers: String,
    trouble: Arc<Trouble>,
    client: &'static str,
    counts: Counts,
}

/// What librdkafka keeps beside a record's bytes.
const RECORD_OVERHEAD: usize = 128;
/// When there may be room again.
const RETRY_AFTER: Duration = Duration::from_millis(100);

// === impl Appender ===

impl Appender {
    /// `queue_bytes` of appends may wait.
    pub(crate) fn new(
        settings: &Settings,
        queue_bytes: usize,
        trouble: &Arc<Trouble>,
    ) -> Result<Appender, KafkaError> {
        let pending = Arc::new(Pending::default());
        let reports = Reports {
            pending: Arc::clone(&pending),
            record_bytes: settings.record_bytes,
            brokers: settings.brokers(),
            trouble: Arc::clone(trouble),
            client: "producer",
            counts: settings.counts.clone(),
        };
        let few = Current::new(settings.producer(), &reports);
        // Made at once: it finds out whether the settings are right.
        few.make()?;
        let reports = Reports { client: "batches", ..reports };
        let many = Current::new(settings.compressing_producer(), &reports);
        Ok(Appender {
            few,
            many: (!settings.says_compression()).then_some(many),
            pending,
            queue_bytes,
            record_bytes: settings.record_bytes,
            message_timeout: settings.message_timeout,
        })
    }

    /// Hands a batch that is not empty to librdkafka; the receiver gets the answer.
    pub(crate) fn send(
        &self,
        topic: &Arc<KnownTopic>,
        partition: Partition,
        batch: &BatchBuilder,
    ) -> Result<oneshot::Receiver<Answer>, LogError> {
        if batch.size_bytes() > self.record_bytes {
            let mut sizes = batch.pieces(1, usize::MAX).map(|(_, bytes)| bytes.len()).enumerate();
            if let Some((index, size_bytes)) = sizes.find(|(_, size)| *size > self.record_bytes) {
                return Err(LogError::TooLarge { index, size_bytes, limit_bytes: self.record_bytes });
            }
        }
        let current = self.many.as_ref().filter(|_| batch.len() >= MOST_RECORDS).unwrap_or(&self.few);
        let producer = current.producer()?;
        let full = LogError::Full { retry_after: RETRY_AFTER };
        let count = u32::try_from(batch.len()).map_err(|_| full.clone())?;
        let bytes = batch.size_bytes() + batch.len() * RECORD_OVERHEAD;
        let admitted = self.pending.admit(topic, partition, count, bytes, self.queue_bytes);
        let (slot, waiting) = admitted.ok_or_else(|| full.clone())?;
        for (index, record) in (0..count).zip(batch.iter(Offset::ZERO)) {
            if let Err(error) = enqueue(&producer, &topic.name, partition, slot, index, &record) {
                let refused = self.refused(&error, &topic.name, partition, index, full);
                (index..count).for_each(|i| self.pending.deliver(slot, i, Err(refused.clone())));
                break;
            }
        }
        Ok(waiting)
    }

    /// Why librdkafka did not take a record: it certainly does not stand in the log.
    fn refused(
        &self,
        error: &KafkaError,
        topic: &TopicName,
        partition: Partition,
        index: u32,
        full: LogError,
    ) -> LogError {
        match error.rdkafka_error_code() {
            Some(Code::QueueFull) => full,
            Some(Code::MessageSizeTooLarge) => LogError::TooLarge {
                index: index as usize,
                size_bytes: self.record_bytes,
                limit_bytes: self.record_bytes,
            },
            Some(Code::UnknownPartition | Code::UnknownTopic | Code::UnknownTopicOrPartition) => {
                no_such(topic, partition)
            }
            _ => {
                LogError::Unavailable { detail: format!("the producer took no record ({error}); try again") }
            }
        }
    }
}

#[cfg(test)]
impl Appender {
    pub(crate) fn fail_for_good(&self) {
        crate::native::fail_for_good(self.few.made().unwrap().client());
    }
}

impl Drop for Appender {
    fn drop(&mut self) {
        let all = [Some(&self.few), self.many.as_ref()];
        for producer in all.into_iter().flatten().filter_map(Current::made) {
            if producer.in_flight_count() > 0 {
                let patience = self.message_timeout.min(Duration::from_secs(2));
                if let Err(error) = producer.flush(patience) {
                    tracing::warn!(%error, "appends were still under way when the log was closed");
                }
            }
        }
    }
}

// === impl Current ===

impl Current {
    fn new(config: ClientConfig, reports: &Reports) -> Current {
        Current { config, reports: reports.clone(), producer: RwLock::default() }
    }

    /// The producer, if there is one.
    fn made(&self) -> Option<Arc<ThreadedProducer<Reports>>> {
        self.producer.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The producer, or a new one where there is none or a fatal error ended it.
    fn producer(&self) -> Result<Arc<ThreadedProducer<Reports>>, LogError> {
        match self.made().filter(|producer| producer.client().fatal_error().is_none()) {
            Some(producer) => Ok(producer),
            None => self.make().map_err(|error| LogError::Unavailable {
                detail: format!("no new producer can be made ({error}); start again"),
            }),
        }
    }

    fn make(&self) -> Result<Arc<ThreadedProducer<Reports>>, KafkaError> {
        let mut place = self.producer.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(old) = place.as_ref() {
            // Another call may have been faster.
            let Some((code, reason)) = old.client().fatal_error() else { return Ok(Arc::clone(old)) };
            tracing::error!(%code, reason, "the producer failed for good; a new one takes its place");
        }
        let next = ThreadedProducer::from_config_and_context(&self.config, self.reports.clone())?;
        let next = Arc::new(next);
        if let Some(old) = place.replace(Arc::clone(&next)) {
            retire(old);
        }
        Ok(next)
    }
}

/// What was on its way in a failed producer is answered with "unknown": dropping it purges it, which takes a while.
fn retire(old: Arc<ThreadedProducer<Reports>>) {
    let thread = std::thread::Builder::new().name("kafka-retire".to_owned());
    if let Err(error) = thread.spawn(move || drop(old)) {
        tracing::warn!(%error, "no thread for retiring a producer");
    }
}

fn enqueue(
    producer: &ThreadedProducer<Reports>,
    topic: &TopicName,
    partition: Partition,
    slot: u32,
    index: u32,
    record: &RecordRef<'_>,
) -> Result<(), KafkaError> {
    let headers = record.headers.iter().fold(None, |headers: Option<OwnedHeaders>, (name, value)| {
        let headers = headers.unwrap_or_else(|| OwnedHeaders::new_with_capacity(8));
        Some(headers.insert(Header { key: name.as_str(), value: Some(value) }))
    });
    let record = BaseRecord {
        topic: topic.as_str(),
        partition: Some(partition.0 as i32),
        payload: record.value,
        key: record.key,
        timestamp: None,
        headers,
        delivery_opaque: ((slot as usize) << 32) | index as usize,
    };
    producer.send(record).map_err(|(error, _)| error)
}

// === impl Reports ===

impl ClientContext for Reports {
    fn stats(&self, statistics: Statistics) {
        self.counts.of(self.client, &statistics);
    }

    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        crate::context::log(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.trouble.note(&error, reason);
        tracing::debug!(target: "librdkafka", "{error}: {reason}");
    }
}

impl ProducerContext for Reports {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, opaque: usize) {
        let (slot, index) = ((opaque >> 32) as u32, opaque as u32);
        let fate = match result {
            Ok(message) => stands_at(message.offset()),
            Err((error, message)) => Err(self.failed(error, message, index)),
        };
        self.pending.deliver(slot, index, fate);
    }
}

/// Where a record stands that librdkafka calls delivered. To a batch that it sent again, and that the broker takes for one that it
/// has, it knows no place: it believes that it stands. What nobody has seen is not acknowledged; who sends it again with its
/// identity finds out.
fn stands_at(offset: i64) -> Result<Offset, LogError> {
    u64::try_from(offset).map(Offset).map_err(|_| LogError::Unknown {
        detail: "the broker took the record for one that it has, and did not say where".to_owned(),
    })
}

impl Reports {
    fn failed(&self, error: &KafkaError, message: &BorrowedMessage<'_>, index: u32) -> LogError {
        match error.rdkafka_error_code() {
            Some(Code::MessageSizeTooLarge) => LogError::TooLarge {
                index: index as usize,
                size_bytes: message.payload_len() + message.key_len(),
                limit_bytes: self.record_bytes,
            },
            Some(Code::UnknownPartition | Code::UnknownTopic | Code::UnknownTopicOrPartition)
                if crate::native::certainly_not_written(message) =>
            {
                no_such(&TopicName::new(message.topic()), Partition(message.partition().max(0) as u32))
            }
            _ if crate::native::certainly_not_written(message) => LogError::Unavailable {
                detail: format!(
                    "the brokers at {} took no record in time ({error}); nothing was written; check that they run, \
                     then try again",
                    self.brokers
                ),
            },
            _ => LogError::Unknown { detail: format!("{error} from the brokers at {}", self.brokers) },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_without_a_place_is_not_acknowledged() {
        assert_eq!(stands_at(0), Ok(Offset(0)));
        assert_eq!(stands_at(17), Ok(Offset(17)));
        // librdkafka's OFFSET_INVALID, and what brokers say of a batch whose place they have forgotten.
        for nowhere in [-1001, -1] {
            assert!(matches!(stands_at(nowhere), Err(LogError::Unknown { .. })), "{nowhere}");
        }
    }
}
