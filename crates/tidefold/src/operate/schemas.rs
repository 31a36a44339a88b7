//! `tidefold schemas`: what a producer of records needs that does not go through the write API.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tidefold_app::model::Projection;

use super::operator::Operator;

/// A message type as it travels in the log.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MessageSchema {
    /// The message type: the value of the header `ce_type`.
    #[serde(rename = "type")]
    pub message_type: String,
    /// The topic, as a position names it.
    pub topic: String,
    /// The topic's own name in the log.
    pub log_topic: String,
    /// How many partitions it has; the key's murmur2 hash chooses one, as in the Java client.
    pub partitions: u32,
    /// The fields whose text is the record key.
    pub key: Vec<String>,
    /// The id in front of the value (0, four bytes big-endian, then the Avro datum); none while it is not registered.
    pub id: Option<u32>,
    /// The Avro schema, in the text that the id stands for.
    pub schema: String,
}

/// Every message type of the app, in the order of the app.
pub(super) fn schemas(operator: &Operator) -> Vec<MessageSchema> {
    let control = operator.coordinator().control_log().control();
    let of_projection = |projection: &Arc<Projection>| {
        let topic = &projection.topic;
        let message = |message: &tidefold_app::model::Message| MessageSchema {
            message_type: message.name.clone(),
            topic: topic.name.as_str().to_owned(),
            log_topic: format!("{}{}", operator.topic_prefix(), projection.log_topic()),
            partitions: topic.partitions,
            key: topic.key.iter().map(|field| field.name.clone()).collect(),
            id: control.id_of(&message.schema_json).map(|id| id.0),
            schema: message.schema_json.clone(),
        };
        topic.messages.iter().map(message).collect::<Vec<_>>()
    };
    operator.projections().iter().flat_map(of_projection).collect()
}
