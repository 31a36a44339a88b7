//! The few calls that rdkafka's safe surface does not offer.
//!
//! * The id of a topic (`DescribeTopics`): without it, a topic deleted and created again looks like the old one.
//! * The topic and offset of an "end of partition" event: rdkafka passes on the partition alone, and only that offset
//!   tells a reader how far it may step over transaction markers and aborted records.
//! * Header names that are no UTF-8: rdkafka panics on them, and anyone may write one.
//! * Where partitions start, and where they end with what no transaction has settled yet.
//! * Whether a record that failed may stand in the log after all.

#![expect(unsafe_code, reason = "librdkafka is C; every block says what makes it sound")]

use std::ffi::{CStr, CString, c_char, c_void};
use std::time::Duration;

use rdkafka::bindings as sys;
use rdkafka::client::{Client, ClientContext};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::BorrowedMessage;
use rdkafka::types::RDKafkaErrorCode;
use tidefold_record::{HeadersBuilder, Offset, Partition, TopicName};

use crate::context::Logs;

/// A topic as a broker describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Described {
    pub(crate) partitions: u32,
    pub(crate) id: String,
}

/// A consumer whose events are taken one by one, with everything librdkafka knows of them.
pub(crate) struct FeedConsumer {
    queue: *mut sys::rd_kafka_queue_t,
    consumer: BaseConsumer<Logs>,
}

/// What a poll may bring.
pub(crate) enum Event<'a> {
    Record(RecordView<'a>),
    /// The consumer stands at the end, which is `offset`.
    End {
        topic: &'a str,
        partition: i32,
        offset: i64,
    },
    /// Something is wrong, with a partition or (no topic) with a connection.
    Fault {
        topic: &'a str,
        partition: i32,
        code: RDKafkaErrorCode,
        detail: String,
    },
}

/// A record in librdkafka's memory.
pub(crate) struct RecordView<'a> {
    pub(crate) topic: &'a str,
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) value: Option<&'a [u8]>,
    message: &'a sys::rd_kafka_message_t,
}

/// Destroys an event at the end of its scope, also when a visitor panics.
struct EventGuard(*mut sys::rd_kafka_event_t);

const NO_ERROR: sys::rd_kafka_resp_err_t = sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR;

// SAFETY: librdkafka's queues and clients may be used from any thread, and by several at once.
unsafe impl Send for FeedConsumer {}
// SAFETY: as above.
unsafe impl Sync for FeedConsumer {}

// === impl FeedConsumer ===

impl FeedConsumer {
    pub(crate) fn new(consumer: BaseConsumer<Logs>) -> Option<FeedConsumer> {
        // SAFETY: the client lives as long as `consumer`, which is dropped after the queue.
        let queue = unsafe { sys::rd_kafka_queue_get_consumer(consumer.client().native_ptr()) };
        (!queue.is_null()).then_some(FeedConsumer { queue, consumer })
    }

    pub(crate) fn consumer(&self) -> &BaseConsumer<Logs> {
        &self.consumer
    }

    /// Ends a poll that waits.
    pub(crate) fn wake(&self) {
        // SAFETY: the queue is ours until drop.
        unsafe { sys::rd_kafka_queue_yield(self.queue) }
    }

    /// Waits for an event and shows it; false when there was none.
    pub(crate) fn poll(&self, timeout: Duration, visit: &mut dyn FnMut(Event<'_>)) -> bool {
        // SAFETY: the queue is ours until drop; the event is ours until the guard destroys it.
        let event = unsafe { sys::rd_kafka_queue_poll(self.queue, millis(timeout)) };
        if event.is_null() {
            return false;
        }
        let guard = EventGuard(event);
        // SAFETY: the event lives.
        match unsafe { sys::rd_kafka_event_type(event) } {
            sys::RD_KAFKA_EVENT_FETCH => {
                // SAFETY: messages of an event live as long as the event; the views end before the guard.
                while let Some(message) = unsafe { sys::rd_kafka_event_message_next(event).as_ref() } {
                    visit(Event::Record(view(message)));
                }
            }
            sys::RD_KAFKA_EVENT_ERROR => show_error(event, visit),
            sys::RD_KAFKA_EVENT_LOG => show_log(event),
            sys::RD_KAFKA_EVENT_STATS => {
                // SAFETY: the event lives, and owns the text.
                let told = text(unsafe { sys::rd_kafka_event_stats(event) });
                self.consumer.client().context().stats_raw(told.as_bytes());
            }
            _ => {}
        }
        drop(guard);
        true
    }
}

impl Drop for FeedConsumer {
    fn drop(&mut self) {
        // SAFETY: taken in `new`, and not used again.
        unsafe { sys::rd_kafka_queue_destroy(self.queue) }
    }
}

// === impl RecordView ===

impl RecordView<'_> {
    /// Writes the record's headers; a name that is no UTF-8 is written with replacement characters, and a value that is
    /// null as an empty one.
    pub(crate) fn headers(&self, into: &mut HeadersBuilder) {
        let mut headers = std::ptr::null_mut();
        // SAFETY: the message lives as long as this view, and so do the headers it owns.
        if unsafe { sys::rd_kafka_message_headers(self.message, &mut headers) } != NO_ERROR {
            return;
        }
        for index in 0.. {
            let (mut name, mut value, mut size) = (std::ptr::null(), std::ptr::null(), 0usize);
            // SAFETY: as above; name and value point into the headers.
            let found =
                unsafe { sys::rd_kafka_header_get_all(headers, index, &mut name, &mut value, &mut size) };
            if found != NO_ERROR {
                return;
            }
            into.push_named(&text(name), bytes(value, size).unwrap_or_default());
        }
    }
}

impl Drop for EventGuard {
    fn drop(&mut self) {
        // SAFETY: the guard owns the event.
        unsafe { sys::rd_kafka_event_destroy(self.0) }
    }
}

fn millis(timeout: Duration) -> i32 {
    i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX)
}

fn bytes<'a>(start: *const c_void, len: usize) -> Option<&'a [u8]> {
    // SAFETY: callers pass a pointer and the length librdkafka gave with it, and keep its owner alive.
    (!start.is_null()).then(|| unsafe { std::slice::from_raw_parts(start.cast(), len) })
}

fn text<'a>(start: *const c_char) -> std::borrow::Cow<'a, str> {
    if start.is_null() {
        return "".into();
    }
    // SAFETY: librdkafka's texts end with a zero; callers keep their owner alive.
    unsafe { CStr::from_ptr(start) }.to_string_lossy()
}

fn topic_text<'a>(start: *const c_char) -> &'a str {
    if start.is_null() {
        return "";
    }
    // SAFETY: as in `text`; topic names are ASCII.
    unsafe { CStr::from_ptr(start) }.to_str().unwrap_or_default()
}

fn view(message: &sys::rd_kafka_message_t) -> RecordView<'_> {
    RecordView {
        // SAFETY: the message owns a reference to its topic.
        topic: topic_text(unsafe { sys::rd_kafka_topic_name(message.rkt) }),
        partition: message.partition,
        offset: message.offset,
        key: bytes(message.key, message.key_len),
        value: bytes(message.payload, message.len),
        message,
    }
}

fn show_error(event: *mut sys::rd_kafka_event_t, visit: &mut dyn FnMut(Event<'_>)) {
    // SAFETY: the caller keeps the event alive.
    let (error, detail) =
        unsafe { (sys::rd_kafka_event_error(event), text(sys::rd_kafka_event_error_string(event))) };
    // SAFETY: returns a copy that is ours to destroy, or null.
    let place = unsafe { sys::rd_kafka_event_topic_partition(event) };
    // SAFETY: not null, and ours until it is destroyed below.
    let (topic, partition, offset) = match unsafe { place.as_ref() } {
        Some(place) => (topic_text(place.topic), place.partition, place.offset),
        None => ("", -1, -1),
    };
    if error == sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__PARTITION_EOF {
        visit(Event::End { topic, partition, offset });
    } else {
        visit(Event::Fault { topic, partition, code: error.into(), detail: detail.into_owned() });
    }
    if !place.is_null() {
        // SAFETY: ours, and nothing borrowed from it is left.
        unsafe { sys::rd_kafka_topic_partition_destroy(place) }
    }
}

fn show_log(event: *mut sys::rd_kafka_event_t) {
    let (mut facility, mut line, mut level) = (std::ptr::null(), std::ptr::null(), 0);
    // SAFETY: the caller keeps the event alive, which owns the texts.
    if unsafe { sys::rd_kafka_event_log(event, &mut facility, &mut line, &mut level) } == 0 {
        tracing::debug!(target: "librdkafka", "{} {}", text(facility), text(line));
    }
}

/// Asks a broker about a topic; blocks for at most `timeout` and a little.
pub(crate) fn describe_topic<C: ClientContext>(
    client: &Client<C>,
    name: &str,
    timeout: Duration,
) -> Result<Described, RDKafkaErrorCode> {
    let name = CString::new(name).map_err(|_| RDKafkaErrorCode::InvalidTopic)?;
    let rk = client.native_ptr();
    let mut names = [name.as_ptr()];
    let mut error = [0 as c_char; 512];
    // SAFETY: each object is made here and destroyed here, after the last use; the client outlives the call, and the
    // event is polled from a queue of our own, so that nothing else can take it.
    unsafe {
        let topics = sys::rd_kafka_TopicCollection_of_topic_names(names.as_mut_ptr(), names.len());
        let options =
            sys::rd_kafka_AdminOptions_new(rk, sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS);
        sys::rd_kafka_AdminOptions_set_request_timeout(
            options,
            millis(timeout),
            error.as_mut_ptr(),
            error.len(),
        );
        let queue = sys::rd_kafka_queue_new(rk);
        sys::rd_kafka_DescribeTopics(rk, topics, options, queue);
        let event = sys::rd_kafka_queue_poll(queue, millis(timeout + Duration::from_millis(200)));
        let described = if event.is_null() {
            Err(RDKafkaErrorCode::OperationTimedOut)
        } else {
            let guard = EventGuard(event);
            let described = described(event);
            drop(guard);
            described
        };
        sys::rd_kafka_queue_destroy(queue);
        sys::rd_kafka_AdminOptions_destroy(options);
        sys::rd_kafka_TopicCollection_destroy(topics);
        described
    }
}

fn described(event: *mut sys::rd_kafka_event_t) -> Result<Described, RDKafkaErrorCode> {
    let mut count = 0;
    // SAFETY: the caller keeps the event alive; it owns everything looked at here, and each pointer is checked.
    unsafe {
        let error = sys::rd_kafka_event_error(event);
        if error != NO_ERROR {
            return Err(error.into());
        }
        let result = sys::rd_kafka_event_DescribeTopics_result(event);
        if result.is_null() {
            return Err(RDKafkaErrorCode::BadMessage);
        }
        let topics = sys::rd_kafka_DescribeTopics_result_topics(result, &mut count);
        if topics.is_null() || count == 0 {
            return Err(RDKafkaErrorCode::UnknownTopicOrPartition);
        }
        let topic = *topics;
        let error = sys::rd_kafka_TopicDescription_error(topic);
        if !error.is_null() && sys::rd_kafka_error_code(error) != NO_ERROR {
            return Err(sys::rd_kafka_error_code(error).into());
        }
        let mut partitions = 0;
        sys::rd_kafka_TopicDescription_partitions(topic, &mut partitions);
        let id = sys::rd_kafka_TopicDescription_topic_id(topic);
        let id =
            if id.is_null() { String::new() } else { text(sys::rd_kafka_Uuid_base64str(id)).into_owned() };
        Ok(Described { partitions: partitions as u32, id })
    }
}

/// Which offset of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// The first that is still there.
    Start,
    /// Behind the last that may be read: no transaction is open before it.
    End,
    /// Behind the last that was appended, whether it may be read yet or not.
    Appended,
}

/// What a partition's leader told.
pub(crate) type PartitionOffset = (Partition, Result<Offset, RDKafkaErrorCode>);

/// Asks the leaders of partitions; blocks for at most `timeout` and a little.
pub(crate) fn list_offsets<C: ClientContext>(
    client: &Client<C>,
    topic: &TopicName,
    partitions: &[Partition],
    side: Side,
    timeout: Duration,
) -> Result<Vec<PartitionOffset>, RDKafkaErrorCode> {
    let name = CString::new(topic.as_str()).map_err(|_| RDKafkaErrorCode::InvalidTopic)?;
    let spec = match side {
        Side::Start => sys::rd_kafka_OffsetSpec_t::RD_KAFKA_OFFSET_SPEC_EARLIEST,
        Side::End | Side::Appended => sys::rd_kafka_OffsetSpec_t::RD_KAFKA_OFFSET_SPEC_LATEST,
    };
    let rk = client.native_ptr();
    let mut error = [0 as c_char; 512];
    // SAFETY: each object is made here and destroyed here, after the last use; the client outlives the call, and the
    // event is polled from a queue of our own, so that nothing else can take it.
    unsafe {
        let list = sys::rd_kafka_topic_partition_list_new(1);
        for partition in partitions {
            let place = sys::rd_kafka_topic_partition_list_add(list, name.as_ptr(), partition.0 as i32);
            (*place).offset = spec as i64;
        }
        let op = sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_LISTOFFSETS;
        let options = sys::rd_kafka_AdminOptions_new(rk, op);
        sys::rd_kafka_AdminOptions_set_request_timeout(
            options,
            millis(timeout),
            error.as_mut_ptr(),
            error.len(),
        );
        if side == Side::End {
            let committed = sys::rd_kafka_IsolationLevel_t::RD_KAFKA_ISOLATION_LEVEL_READ_COMMITTED;
            let refused = sys::rd_kafka_AdminOptions_set_isolation_level(options, committed);
            if !refused.is_null() {
                sys::rd_kafka_error_destroy(refused);
            }
        }
        let queue = sys::rd_kafka_queue_new(rk);
        sys::rd_kafka_ListOffsets(rk, list, options, queue);
        let event = sys::rd_kafka_queue_poll(queue, millis(timeout + Duration::from_millis(200)));
        let told = if event.is_null() {
            Err(RDKafkaErrorCode::OperationTimedOut)
        } else {
            let guard = EventGuard(event);
            let told = listed(event);
            drop(guard);
            told
        };
        sys::rd_kafka_queue_destroy(queue);
        sys::rd_kafka_AdminOptions_destroy(options);
        sys::rd_kafka_topic_partition_list_destroy(list);
        told
    }
}

fn listed(event: *mut sys::rd_kafka_event_t) -> Result<Vec<PartitionOffset>, RDKafkaErrorCode> {
    let (mut count, mut told) = (0, Vec::new());
    // SAFETY: the caller keeps the event alive; it owns everything looked at here, and each pointer is checked.
    unsafe {
        let error = sys::rd_kafka_event_error(event);
        if error != NO_ERROR {
            return Err(error.into());
        }
        let result = sys::rd_kafka_event_ListOffsets_result(event);
        if result.is_null() {
            return Err(RDKafkaErrorCode::BadMessage);
        }
        let infos = sys::rd_kafka_ListOffsets_result_infos(result, &mut count);
        for index in 0..count {
            let place = sys::rd_kafka_ListOffsetsResultInfo_topic_partition(*infos.add(index));
            let Some(place) = place.as_ref() else { continue };
            let offset = match place.err {
                NO_ERROR => Ok(Offset(place.offset.max(0) as u64)),
                error => Err(error.into()),
            };
            told.push((Partition(place.partition.max(0) as u32), offset));
        }
    }
    Ok(told)
}

/// Whether a record that was not delivered certainly does not stand in the log.
pub(crate) fn certainly_not_written(message: &BorrowedMessage<'_>) -> bool {
    // SAFETY: the message lives during the call.
    let status = unsafe { sys::rd_kafka_message_status(message.ptr()) };
    status == sys::rd_kafka_msg_status_t::RD_KAFKA_MSG_STATUS_NOT_PERSISTED
}

/// Ends a producer as an error does after which nothing can be promised any more.
#[cfg(test)]
pub(crate) fn fail_for_good<C: ClientContext>(client: &Client<C>) {
    let error = sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER;
    // SAFETY: the client outlives the call, which copies the text.
    unsafe { sys::rd_kafka_test_fatal_error(client.native_ptr(), error, c"told to fail".as_ptr()) };
}
