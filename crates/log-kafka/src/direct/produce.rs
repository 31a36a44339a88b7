//! The requests that are made, and what their answers mean.

use std::collections::HashMap;
use std::io;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD_NO_PAD;
use bytes::Bytes;
use kafka_protocol::error::{ParseResponseErrorCode, ResponseError};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::metadata_response::MetadataResponseTopic;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{
    BrokerId, InitProducerIdRequest, MetadataRequest, ProduceRequest, ProduceResponse, ProducerId,
};
use kafka_protocol::protocol::StrBytes;
use tidefold_record::{Offset, TopicName};
use uuid::Uuid;

use super::accumulator::{Leaders, Portion};
use super::connection::{Address, Connection, within};
use super::records::Session;
use crate::known::KnownTopic;

/// A portion as it goes over the wire, the same bytes each time.
pub(crate) struct Encoded {
    pub(crate) portion: Portion,
    pub(crate) records: Bytes,
}

/// What the answer says of a portion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It stands in the log from here on.
    Stands(Offset),
    /// It does not.
    Refused(ResponseError),
    /// It may; sending it again finds out.
    Open(ResponseError),
}

/// Sends portions to the broker that leads them all. The fates are in their order.
pub(crate) async fn produce(
    connection: &mut Connection,
    portions: &[Encoded],
    timeout: Duration,
) -> io::Result<Vec<Fate>> {
    let version = connection.version::<ProduceRequest>()?;
    let mut topics: Vec<TopicProduceData> = Vec::new();
    for Encoded { portion, records } in portions {
        let name = name_of(&portion.topic.name);
        let data = PartitionProduceData::default()
            .with_index(portion.partition.0 as i32)
            .with_records(Some(records.clone()));
        match topics.iter_mut().find(|topic| topic.name == name && topic.topic_id == portion.id) {
            Some(topic) => topic.partition_data.push(data),
            None => topics.push(
                TopicProduceData::default()
                    .with_name(name)
                    .with_topic_id(portion.id)
                    .with_partition_data(vec![data]),
            ),
        }
    }
    // From version 13 on topics go by their ids, before it by their names; the encoder wants the other one empty.
    for topic in &mut topics {
        if version >= 13 {
            topic.name = name_of(&TopicName::new(""));
        } else {
            topic.topic_id = uuid::Uuid::nil();
        }
    }
    let request = ProduceRequest::default()
        .with_acks(-1)
        .with_timeout_ms(i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX))
        .with_topic_data(topics);
    let answer = within(timeout, connection.call(&request, version)).await?;
    Ok(portions.iter().map(|sent| fate_of(&sent.portion, &answer)).collect())
}

fn fate_of(portion: &Portion, answer: &ProduceResponse) -> Fate {
    let topics = answer.responses.iter().filter(|topic| {
        topic.name.as_str() == portion.topic.name.as_str()
            || (!topic.topic_id.is_nil() && topic.topic_id == portion.id)
    });
    let mut parts = topics.flat_map(|topic| &topic.partition_responses);
    match parts.find(|part| part.index == portion.partition.0 as i32) {
        Some(part) => fate(part.error_code, part.base_offset),
        None => Fate::Open(ResponseError::UnknownServerError),
    }
}

/// What an error code leaves open. A leader that was replaced while it waited for its followers says so although the batch
/// stands in its log, and may stand in theirs.
fn fate(code: i16, base: i64) -> Fate {
    use ResponseError as Error;
    match code.err() {
        None | Some(Error::DuplicateSequenceNumber) if base >= 0 => Fate::Stands(Offset(base as u64)),
        None => Fate::Open(Error::UnknownServerError),
        Some(
            error @ (Error::CorruptMessage
            | Error::MessageTooLarge
            | Error::RecordListTooLarge
            | Error::InvalidTopicException
            | Error::NotEnoughReplicas
            | Error::TopicAuthorizationFailed
            | Error::ClusterAuthorizationFailed
            | Error::UnsupportedVersion
            | Error::UnsupportedForMessageFormat
            | Error::InvalidTimestamp
            | Error::InvalidRecord
            | Error::PolicyViolation
            | Error::UnknownTopicId
            | Error::OutOfOrderSequenceNumber
            | Error::InvalidProducerEpoch
            | Error::UnknownProducerId),
        ) => Fate::Refused(error),
        Some(error) => Fate::Open(error),
    }
}

/// Who leads a topic's partitions, by what one broker says; none if it does not know, or knows another topic of the name.
pub(crate) async fn leaders(connection: &mut Connection, topic: &KnownTopic) -> io::Result<Option<Leaders>> {
    let name = MetadataRequestTopic::default().with_name(Some(name_of(&topic.name)));
    let request =
        MetadataRequest::default().with_topics(Some(vec![name])).with_allow_auto_topic_creation(false);
    let answer = connection.ask(&request).await?;
    let addresses: HashMap<BrokerId, Address> = answer
        .brokers
        .iter()
        .filter_map(|broker| {
            let address = Address { host: broker.host.to_string(), port: u16::try_from(broker.port).ok()? };
            Some((broker.node_id, address))
        })
        .collect();
    let described = answer.topics.first().filter(|found| found.error_code == 0 && is(found, topic));
    Ok(described.map(|found| {
        let mut of = vec![None; topic.partitions() as usize];
        for part in &found.partitions {
            let leader = Some(part.leader_id).filter(|leader| addresses.contains_key(leader));
            if let Some(place) = usize::try_from(part.partition_index).ok().and_then(|i| of.get_mut(i)) {
                *place = leader;
            }
        }
        Leaders { id: found.topic_id, of, addresses }
    }))
}

fn is(found: &MetadataResponseTopic, topic: &KnownTopic) -> bool {
    found.topic_id.is_nil() || identity(found.topic_id) == topic.incarnation
}

/// A new session, whose numbers begin with 0 in every partition.
pub(crate) async fn session(connection: &mut Connection) -> io::Result<Session> {
    let request = InitProducerIdRequest::default()
        .with_transactional_id(None)
        .with_transaction_timeout_ms(i32::MAX)
        .with_producer_id(ProducerId(-1))
        .with_producer_epoch(-1);
    let answer = connection.ask(&request).await?;
    match answer.error_code.err() {
        None => Ok(Session { producer: answer.producer_id.0, epoch: answer.producer_epoch }),
        Some(error) => Err(io::Error::other(format!("no producer id: {error}"))),
    }
}

/// A topic's id as text.
pub(crate) fn identity(id: Uuid) -> String {
    if id.is_nil() { String::new() } else { BASE64_STANDARD_NO_PAD.encode(id.as_bytes()) }
}

pub(crate) fn name_of(name: &TopicName) -> kafka_protocol::messages::TopicName {
    StrBytes::from_string(name.as_str().to_owned()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_says_that_nothing_was_written_is_a_refusal() {
        assert_eq!(fate(0, 17), Fate::Stands(Offset(17)));
        assert_eq!(fate(46, 17), Fate::Stands(Offset(17)), "sent again, found where it stands");
        assert!(matches!(fate(46, -1), Fate::Open(_)), "sent again, too old for the broker to know where");
        assert!(matches!(fate(10, -1), Fate::Refused(ResponseError::MessageTooLarge)));
        assert!(matches!(fate(45, -1), Fate::Refused(ResponseError::OutOfOrderSequenceNumber)));
        for open in [-1, 3, 6, 7, 13, 20, 56, 9_999] {
            assert!(matches!(fate(open, -1), Fate::Open(_)), "{open}");
        }
    }
}
