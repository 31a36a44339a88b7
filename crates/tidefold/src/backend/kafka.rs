//! The log on Kafka.

use std::sync::Arc;

use tidefold_log::SharedLog;
use tidefold_log_kafka::KafkaLog;

use crate::failure::{Code, Failure};
use crate::settings::Settings;

pub(super) fn log(bootstrap: Vec<String>, settings: &Settings) -> Result<SharedLog, Failure> {
    let of_log = tidefold_log_kafka::Settings {
        bootstrap,
        topic_prefix: settings.topic_prefix.clone(),
        replication: settings.log_replication,
        message_timeout: settings.message_timeout,
        session_timeout: settings.session_timeout,
        assignor: settings.assignor.clone(),
        queue_bytes: settings.log_queue_bytes,
        properties: settings.kafka.clone(),
        ..Default::default()
    };
    let log = KafkaLog::connect(of_log).map_err(|error| Failure::from_error(Code::Usage, &error))?;
    Ok(Arc::new(log))
}
