//! The log on Kafka.

use futures_util::future::FutureExt;

use super::kind::{Kind, OpenLog};

pub(super) const LOG: Kind<OpenLog> = Kind {
    scheme: "kafka",
    on_servers: true,
    lacks: if cfg!(feature = "kafka") { None } else { Some("kafka") },
    open: |place, told| open(place, told).boxed(),
};

#[cfg(not(feature = "kafka"))]
async fn open(
    _: super::kind::Place<'_>,
    _: super::kind::OfLog,
) -> Result<super::kind::OpenedLog, crate::failure::Failure> {
    let text = super::kind::without("kafka", "kafka");
    Err(crate::failure::Failure::new(crate::failure::Code::Usage, text))
}

#[cfg(feature = "kafka")]
use linked::open;

#[cfg(feature = "kafka")]
mod linked {
    use std::collections::HashMap;
    use std::sync::{Arc, Mutex, PoisonError};
    use std::time::Duration;

    use tidefold_log::LogError;
    use tidefold_log_kafka::{ClientCounts, Counts, KafkaLog, Settings};
    use tidefold_telemetry::{Backoff, Stopped, Telemetry};

    use super::super::kind::{OfLog, OpenedLog, Place};
    use crate::failure::{Code, Failure};

    /// Between two attempts to reach a broker, each of which takes some seconds by itself.
    const REST: Backoff = Backoff { first: Duration::from_millis(200), most: Duration::from_secs(1) };

    /// Why the brokers have not let us in.
    #[derive(Debug, thiserror::Error)]
    enum Kept {
        /// Nobody answers.
        #[error("{0}")]
        Away(String),
        /// They turn us away, and will again.
        #[error(transparent)]
        Out(LogError),
    }

    /// Connects, and waits until a broker answers. Brokers that turn us away will not take us later.
    pub(super) async fn open(place: Place<'_>, told: OfLog) -> Result<OpenedLog, Failure> {
        let (settings, telemetry) = (&place.settings.log, place.telemetry);
        let kafka = Settings {
            bootstrap: place.addresses,
            topic_prefix: settings.topic_prefix.clone(),
            replication: settings.replication.map(|count| i32::try_from(count).unwrap_or(i32::MAX)),
            message_timeout: settings.message_timeout,
            session_timeout: settings.session_timeout,
            assignor: settings.assignor.clone(),
            group_protocol: settings.group_protocol.clone(),
            instance_id: settings.instance_id.clone(),
            client_id: settings.client_id.clone().unwrap_or(told.client),
            record_bytes: told.record_bytes,
            counts: counts(telemetry),
            counts_every: settings.statistics,
            observer: told.observer,
            queue_bytes: settings.queue_bytes,
            properties: place.settings.kafka.clone(),
            ..Default::default()
        };
        let log = KafkaLog::connect(kafka).map_err(|error| Failure::from_error(Code::Usage, &error))?;
        let away = format!("nobody has answered yet at {}", settings.url);
        place.gate.close(format!("waiting for the log: {away}"));
        let admitted = || async {
            match log.admits().await {
                Ok(true) => Ok(()),
                Ok(false) => Err(Kept::Away(away.clone())),
                Err(error) => Err(Kept::Out(error)),
            }
        };
        let retry = telemetry.retry().backoff(REST);
        match retry.run("reach the log", |kept| matches!(kept, Kept::Away(_)), admitted).await {
            Ok(()) => {}
            Err(Stopped::Lasting(Kept::Out(error))) => {
                return Err(Failure::from_error(Code::Conflict, &error));
            }
            Err(stopped) => return Err(Failure::new(Code::Failed, stopped.to_string())),
        }
        let log = Arc::new(log);
        let asked = Arc::downgrade(&log);
        place.gate.open_until(move || asked.upgrade().and_then(|log| log.ended()));
        Ok(OpenedLog { log, identity: settings.url.clone() })
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
}
