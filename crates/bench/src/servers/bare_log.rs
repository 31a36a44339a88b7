//! What people write with the bare Kafka driver: an HTTP server that forwards, and a producer in a loop.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, FutureProducer, FutureRecord, Producer};
use serde_json::{Value, json};
use tidefold_record::{Offset, SchemaId};
use tidefold_telemetry::clock;

use crate::bare::Order;
use crate::child::cpu_seconds;
use crate::figure::{Outcome, say};
use crate::orders::{records, storefront};

/// Records of one round of the bare producer.
const RECORDS: u64 = 200_000;
/// How long it goes round.
const TURN: Duration = Duration::from_secs(5);

fn settings(kafka: &str) -> ClientConfig {
    let mut settings = ClientConfig::new();
    settings.set("bootstrap.servers", kafka).set("acks", "all").set("enable.idempotence", "true");
    settings.set("linger.ms", "1");
    settings
}

struct Forwarder {
    producer: FutureProducer,
    topic: String,
}

/// `serve-bare-kafka KAFKA TOPIC`: parses an order, forwards its JSON, answers when Kafka has it.
pub(super) fn serve(kafka: &str, topic: &str) -> Outcome {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
        let forwarder = Forwarder { producer: settings(kafka).create()?, topic: topic.to_owned() };
        let routes =
            Router::new().route("/v1/storefront/PlaceOrder", post(place)).with_state(Arc::new(forwarder));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        say(&listener.local_addr()?.to_string())?;
        axum::serve(listener, routes).await?;
        Ok(())
    })
}

async fn place(State(to): State<Arc<Forwarder>>, body: Bytes) -> (StatusCode, Json<Value>) {
    let order: Order = match serde_json::from_slice(&body) {
        Ok(order) => order,
        Err(error) => return (StatusCode::BAD_REQUEST, Json(json!({ "error": error.to_string() }))),
    };
    let record = FutureRecord::to(&to.topic).key(&order.order_id).payload(&body[..]);
    match to.producer.send(record, Duration::from_secs(5)).await {
        Ok(sent) => {
            (StatusCode::ACCEPTED, Json(json!({ "partition": sent.partition, "offset": sent.offset })))
        }
        Err((error, _)) => (StatusCode::SERVICE_UNAVAILABLE, Json(json!({ "error": error.to_string() }))),
    }
}

struct Ready {
    partition: i32,
    key: Vec<u8>,
    value: Vec<u8>,
    headers: Vec<(String, Vec<u8>)>,
}

/// `produce-bare KAFKA TOPIC headers|bare`: the records that ingest would write, encoded beforehand, in a loop; prints
/// how many were acknowledged, and the seconds and CPU seconds that took.
pub(super) fn produce(kafka: &str, topic: &str, with_headers: bool) -> Outcome {
    let app = storefront(|text| text)?;
    let mut ready = Vec::new();
    for (partition, batch) in records(&app, 0, RECORDS, &|_| SchemaId(1)).into_iter().enumerate() {
        ready.extend(batch.iter(Offset(0)).map(|record| Ready {
            partition: i32::try_from(partition).unwrap_or(0),
            key: record.key.unwrap_or_default().to_vec(),
            value: record.value.unwrap_or_default().to_vec(),
            headers: record.headers.iter().map(|(name, v)| (name.as_str().to_owned(), v.to_vec())).collect(),
        }));
    }
    // As they came in: partitions take turns.
    ready.sort_by_key(|record| record.key.clone());
    let producer: BaseProducer = settings(kafka).create()?;
    let (since, cpu, mut sent) = (clock::instant(), cpu_seconds("self"), 0_u64);
    while since.elapsed() < TURN {
        for record in &ready {
            send(&producer, topic, record, with_headers)?;
        }
        sent += ready.len() as u64;
    }
    producer.flush(Duration::from_secs(30))?;
    say(&format!("{sent} {} {}", since.elapsed().as_secs_f64(), cpu_seconds("self") - cpu))?;
    Ok(())
}

fn send(producer: &BaseProducer, topic: &str, record: &Ready, with_headers: bool) -> Result<(), KafkaError> {
    let mut next =
        BaseRecord::to(topic).partition(record.partition).key(&record.key[..]).payload(&record.value[..]);
    if with_headers {
        let headers = OwnedHeaders::new_with_capacity(record.headers.len());
        let add = |all: OwnedHeaders, (key, value): &(String, Vec<u8>)| {
            all.insert(Header { key, value: Some(value) })
        };
        next = next.headers(record.headers.iter().fold(headers, add));
    }
    loop {
        match producer.send(next) {
            Ok(()) => {
                producer.poll(Duration::ZERO);
                return Ok(());
            }
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), again)) => {
                producer.poll(Duration::from_millis(10));
                next = again;
            }
            Err((error, _)) => return Err(error),
        }
    }
}
