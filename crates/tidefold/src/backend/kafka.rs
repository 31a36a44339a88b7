//! The log on Kafka.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tidefold_http::Gate;
use tidefold_log::SharedLog;
use tidefold_log_kafka::{ClientCounts, Counts, KafkaLog};
use tidefold_telemetry::{Telemetry, clock};

use super::OfLog;
use crate::failure::{Code, Failure};
use crate::settings::Settings;

/// Rest between two attempts to reach a broker, each of which takes some seconds by itself.
const AGAIN: Duration = Duration::from_millis(200);

/// Connects, and waits until a broker answers. Brokers that turn us away will not take us later.
pub(super) async fn log(
    bootstrap: Vec<String>,
    settings: &Settings,
    of_log: &OfLog<'_>,
    gate: &Gate,
) -> Result<SharedLog, Failure> {
    let kafka = tidefold_log_kafka::Settings {
        bootstrap,
        topic_prefix: settings.topic_prefix.clone(),
        replication: settings.log_replication,
        message_timeout: settings.message_timeout,
        session_timeout: settings.session_timeout,
        assignor: settings.assignor.clone(),
        group_protocol: settings.group_protocol.clone(),
        instance_id: settings.instance_id.clone(),
        client_id: settings.client_id.clone().unwrap_or_else(|| of_log.client.to_owned()),
        record_bytes: of_log.record_bytes,
        counts: counts(of_log.telemetry),
        counts_every: settings.statistics,
        queue_bytes: settings.log_queue_bytes,
        properties: settings.kafka.clone(),
        ..Default::default()
    };
    let log = KafkaLog::connect(kafka).map_err(|error| Failure::from_error(Code::Usage, &error))?;
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

/// Clients' counts as metrics. Each client counts from its own beginning, and several may serve one purpose.
fn counts(telemetry: &Telemetry) -> Counts {
    let (telemetry, before) = (telemetry.clone(), Mutex::new(HashMap::<String, ClientCounts>::new()));
    Counts::new(move |now| {
        let mut before = before.lock().unwrap_or_else(PoisonError::into_inner);
        let old = before.insert(now.name.clone(), now.clone());
        let since = |count: fn(&ClientCounts) -> u64| {
            count(&now).saturating_sub(old.as_ref().map(count).unwrap_or_default())
        };
        let client = now.client;
        telemetry.kafka_requests(client).inc_by(since(|counts| counts.requests));
        telemetry.kafka_request_errors(client).inc_by(since(|counts| counts.errors));
        telemetry.kafka_sent_bytes(client).inc_by(since(|counts| counts.sent_bytes));
        telemetry.kafka_received_bytes(client).inc_by(since(|counts| counts.received_bytes));
        telemetry.kafka_appended_records(client).inc_by(since(|counts| counts.appended));
        telemetry.kafka_waiting_messages(client).set(i64::try_from(now.waiting).unwrap_or(i64::MAX));
        if let Some(seconds) = now.round_trip_seconds {
            telemetry.kafka_round_trip_seconds(client).set(seconds);
        }
    })
}
