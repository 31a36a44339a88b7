//! The log on Kafka.

use std::sync::Arc;
use std::time::Duration;

use tidefold_http::Gate;
use tidefold_log::SharedLog;
use tidefold_log_kafka::KafkaLog;
use tidefold_telemetry::clock;

use crate::failure::{Code, Failure};
use crate::settings::Settings;

/// Rest between two attempts to reach a broker, each of which takes some seconds by itself.
const AGAIN: Duration = Duration::from_millis(200);

/// Connects, and waits until a broker answers. Brokers that turn us away will not take us later.
pub(super) async fn log(
    bootstrap: Vec<String>,
    settings: &Settings,
    gate: &Gate,
) -> Result<SharedLog, Failure> {
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
    let mut waits = false;
    gate.close(format!("waiting for the log: nobody has answered yet at {}", settings.log_url));
    while !log.admits().await.map_err(|error| Failure::from_error(Code::Conflict, &error))? {
        if !std::mem::replace(&mut waits, true) {
            tracing::warn!(url = settings.log_url, "waiting for the log");
        }
        clock::pause(AGAIN).await;
    }
    let log = Arc::new(log);
    let told = Arc::downgrade(&log);
    gate.open_until(move || told.upgrade().and_then(|log| log.ended()));
    Ok(log)
}
