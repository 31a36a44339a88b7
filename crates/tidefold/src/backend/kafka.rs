//! The log on Kafka.

use std::sync::Arc;

use tidefold_log::SharedLog;
use tidefold_log_kafka::KafkaLog;

use crate::failure::{Code, Failure};
use crate::settings::Settings;

/// Connects. Brokers that turn us away will not take us later; such that do not answer are waited for by whoever uses the
/// log.
pub(super) async fn log(bootstrap: Vec<String>, settings: &Settings) -> Result<SharedLog, Failure> {
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
    if !log.admits().await.map_err(|error| Failure::from_error(Code::Conflict, &error))? {
        tracing::warn!(url = settings.log_url, "waiting for the log");
    }
    Ok(Arc::new(log))
}
