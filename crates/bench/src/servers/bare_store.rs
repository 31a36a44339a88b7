//! What people write with the bare CQL driver: a sink with a statement a row, and an HTTP server around it.

use std::sync::Arc;
use std::time::Duration;

use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use futures_util::{StreamExt, stream};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};
use scylla::client::session::Session;
use scylla::statement::prepared::PreparedStatement;
use scylla::value::Counter;
use serde_json::{Value, json};
use tidefold_telemetry::clock;

use super::orders::{OrderChanged, SCHEMA};
use super::places::{PARTITIONS, connect, keyspace};
use crate::child::cpu_seconds;
use crate::figure::{Failed, Outcome, say};

/// Statements in flight.
const IN_FLIGHT: usize = 128;
/// How long the sink runs at most.
const LIMIT: Duration = Duration::from_secs(20);
/// Records read before their rows are written.
const READ: usize = 1_000;

async fn tables(session: &Session, keyspace: &str) -> Result<(), Failed> {
    for cql in [
        format!(
            "CREATE KEYSPACE IF NOT EXISTS {keyspace} WITH replication = \
             {{'class': 'NetworkTopologyStrategy', 'replication_factor': 1}}"
        ),
        format!(
            "CREATE TABLE IF NOT EXISTS {keyspace}.orders (order_id text PRIMARY KEY, customer_id text, \
             currency text, status text, total_cents bigint, changed_at bigint)"
        ),
        format!(
            "CREATE TABLE IF NOT EXISTS {keyspace}.by_customer (customer_id text, order_id text, status text, \
             total_cents bigint, PRIMARY KEY (customer_id, order_id))"
        ),
        format!(
            "CREATE TABLE IF NOT EXISTS {keyspace}.revenue (currency text, day bigint, orders counter, \
             revenue_cents counter, PRIMARY KEY (currency, day))"
        ),
    ] {
        session.query_unpaged(cql, ()).await?;
    }
    session.await_schema_agreement().await?;
    Ok(())
}

/// The statements of the sink.
struct Sink {
    session: Session,
    state: PreparedStatement,
    index: PreparedStatement,
    rollup: PreparedStatement,
}

/// `sink-bare KAFKA CQL APP MOST`: reads the app's topic from its start and writes three rows a record, each by a
/// statement of its own; prints records, seconds, CPU seconds.
pub(super) fn sink(kafka: &str, cql: &str, app: &str, most: usize) -> Outcome {
    let schema = Schema::parse_str(SCHEMA)?;
    let reader = GenericDatumReader::builder(&schema).build()?;
    let consumer = consumer(kafka, &format!("{app}.orders"))?;
    let keyspace = keyspace(app);
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
        let session = connect(cql).await?;
        tables(&session, &keyspace).await?;
        let sink = Sink {
            state: session
                .prepare(format!(
                    "INSERT INTO {keyspace}.orders (order_id, customer_id, currency, status, total_cents, changed_at) \
                     VALUES (?, ?, ?, ?, ?, ?)"
                ))
                .await?,
            index: session
                .prepare(format!(
                    "INSERT INTO {keyspace}.by_customer (customer_id, order_id, status, total_cents) VALUES (?, ?, ?, ?)"
                ))
                .await?,
            rollup: session
                .prepare(format!(
                    "UPDATE {keyspace}.revenue SET orders = orders + 1, revenue_cents = revenue_cents + ? \
                     WHERE currency = ? AND day = ?"
                ))
                .await?,
            session,
        };
        let (mut written, mut orders) = (0, Vec::with_capacity(READ));
        let mut began = None;
        loop {
            orders.clear();
            while orders.len() < READ.min(most - written) {
                let Some(message) = consumer.poll(Duration::from_secs(3)).transpose()? else { break };
                let mut datum = message.payload().and_then(|value| value.get(5..)).unwrap_or_default();
                let value = reader.read_value(&mut datum)?;
                orders.push(apache_avro::from_value::<OrderChanged>(&value)?);
            }
            let (since, cpu) = *began.get_or_insert_with(|| (clock::instant(), cpu_seconds("self")));
            sink.write(&orders).await?;
            written += orders.len();
            if orders.is_empty() || written >= most || since.elapsed() > LIMIT {
                say(&format!("{written} {} {}", since.elapsed().as_secs_f64(), cpu_seconds("self") - cpu))?;
                return Ok(());
            }
        }
    })
}

fn consumer(kafka: &str, topic: &str) -> Result<BaseConsumer, Failed> {
    let mut settings = ClientConfig::new();
    settings.set("bootstrap.servers", kafka).set("group.id", format!("{topic}.bare"));
    let consumer: BaseConsumer = settings.set("enable.auto.commit", "false").create()?;
    let mut all = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        all.add_partition_offset(topic, partition, Offset::Beginning)?;
    }
    consumer.assign(&all)?;
    Ok(consumer)
}

impl Sink {
    async fn write(&self, orders: &[OrderChanged]) -> Result<(), Failed> {
        let rows = orders.iter().flat_map(|order| [(order, 0), (order, 1), (order, 2)]);
        let mut writes =
            stream::iter(rows).map(|(order, row)| self.row(order, row)).buffer_unordered(IN_FLIGHT);
        while let Some(written) = writes.next().await {
            written?;
        }
        Ok(())
    }

    async fn row(&self, o: &OrderChanged, row: u8) -> Result<(), Failed> {
        let session = &self.session;
        match row {
            0 => {
                let row = (&o.order_id, &o.customer_id, &o.currency, &o.status, o.total_cents, o.changed_at);
                session.execute_unpaged(&self.state, row).await?
            }
            1 => {
                session
                    .execute_unpaged(&self.index, (&o.customer_id, &o.order_id, &o.status, o.total_cents))
                    .await?
            }
            _ => {
                let day = o.changed_at - o.changed_at.rem_euclid(86_400_000);
                session.execute_unpaged(&self.rollup, (Counter(o.total_cents), &o.currency, day)).await?
            }
        };
        Ok(())
    }
}

struct Rows {
    session: Session,
    one: PreparedStatement,
}

/// `serve-bare-cql CQL APP`: one order of the plain tables by its key, until it is killed.
pub(super) fn serve(cql: &str, app: &str) -> Outcome {
    let keyspace = keyspace(app);
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
        let session = connect(cql).await?;
        let one = session
            .prepare(format!(
                "SELECT customer_id, currency, status, total_cents, changed_at FROM {keyspace}.orders WHERE order_id = ?"
            ))
            .await?;
        let routes =
            Router::new().route("/v1/{app}/orders/{key}", get(row)).with_state(Arc::new(Rows { session, one }));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        say(&listener.local_addr()?.to_string())?;
        axum::serve(listener, routes).await?;
        Ok(())
    })
}

async fn row(
    State(rows): State<Arc<Rows>>,
    Path((_, key)): Path<(String, String)>,
) -> Result<Json<Value>, (StatusCode, String)> {
    type Columns = (String, String, String, i64, i64);
    let broken = |error: &dyn std::error::Error| (StatusCode::SERVICE_UNAVAILABLE, error.to_string());
    let found = rows.session.execute_unpaged(&rows.one, (&key,)).await.map_err(|e| broken(&e))?;
    let found = found.into_rows_result().map_err(|e| broken(&e))?;
    match found.maybe_first_row::<Columns>().map_err(|e| broken(&e))? {
        Some((customer_id, currency, status, total_cents, changed_at)) => Ok(Json(json!({
            "order_id": key, "customer_id": customer_id, "currency": currency, "status": status,
            "total_cents": total_cents, "changed_at": changed_at,
        }))),
        None => Err((StatusCode::NOT_FOUND, String::new())),
    }
}
