//! The messages: orders of the storefront app, about 200 bytes of JSON each.

use std::error::Error;
use std::sync::Arc;

use tidefold_app::App;
use tidefold_codec::json_in::{JsonEncoder, JsonLimits};
use tidefold_record::headers::Known;
use tidefold_record::{BatchBuilder, HeadersBuilder, SchemaId, frame, partition_of};

/// The n-th order's JSON.
pub(crate) fn order_json(n: u64) -> String {
    format!(
        "{{\"order_id\":\"order-{n:010}\",\"customer_id\":\"customer-{:06}\",\"currency\":\"EUR\",\"total_cents\":{},\
         \"items\":[{{\"sku\":\"sku-{:04}\",\"qty\":{},\"price_cents\":1250}},{{\"sku\":\"sku-{:04}\",\"qty\":1,\"price_cents\":399}}]}}",
        n % 100_000,
        1_000 + n % 90_000,
        n % 1_000,
        1 + n % 5,
        (n + 7) % 1_000,
    )
}

/// The n-th line of a stream of three messages an order: placed, paid, shipped.
pub(crate) fn line(n: u64) -> String {
    let order = n / 3;
    match n % 3 {
        0 => format!("{{\"type\":\"PlaceOrder\",\"id\":\"place-{order}\",\"data\":{}}}\n", order_json(order)),
        1 => format!(
            "{{\"type\":\"PayOrder\",\"id\":\"pay-{order}\",\"data\":{{\"order_id\":\"order-{order:010}\"}}}}\n"
        ),
        _ => format!(
            "{{\"type\":\"ShipOrder\",\"id\":\"ship-{order}\",\"data\":{{\"order_id\":\"order-{order:010}\"}}}}\n"
        ),
    }
}

/// The storefront app, with its texts changed.
pub(crate) fn storefront(change: impl Fn(String) -> String) -> Result<App, Box<dyn Error + Send + Sync>> {
    let (mut sources, _) =
        tidefold::folder::read(&crate::child::storefront(), false).map_err(|failure| failure.text)?;
    for source in &mut sources {
        if source.path == "app.toml" {
            source.text = change(std::mem::take(&mut source.text));
        }
    }
    tidefold_app::load(sources)
        .map_err(|wrong| format!("{} mistakes in the storefront app", wrong.list.len()).into())
}

/// Records `first` up to `first + count` of the stream, as ingest would append them, by partition.
pub(crate) fn records(
    app: &App,
    first: u64,
    count: u64,
    ids: &dyn Fn(&str) -> SchemaId,
) -> Vec<BatchBuilder> {
    let Some(topic) = app.projections.first().map(|projection| &projection.topic) else { return Vec::new() };
    let encoders: Vec<_> = topic
        .messages
        .iter()
        .map(|m| {
            (
                m.name.as_str(),
                ids(&m.schema_json),
                JsonEncoder::new(Arc::clone(&m.record), m.key.clone(), JsonLimits::default()),
            )
        })
        .collect();
    let mut batches = vec![BatchBuilder::new(); topic.partitions as usize];
    let (mut value, mut key, mut headers) = (Vec::new(), Vec::new(), HeadersBuilder::new());
    for n in first..first + count {
        let order = n / 3;
        let (name, json) = match n % 3 {
            0 => ("PlaceOrder", order_json(order)),
            1 => ("PayOrder", format!("{{\"order_id\":\"order-{order:010}\"}}")),
            _ => ("ShipOrder", format!("{{\"order_id\":\"order-{order:010}\"}}")),
        };
        let Some((name, id, encoder)) = encoders.iter().find(|(known, _, _)| *known == name) else {
            continue;
        };
        value.clear();
        key.clear();
        headers.clear();
        frame(*id, &mut value);
        if encoder.encode(json.as_bytes(), &mut value, &mut key).is_err() {
            continue;
        }
        headers.push(Known::CeSpecversion, b"1.0");
        headers.push(Known::CeId, format!("{name}-{order}").as_bytes());
        headers.push(Known::CeSource, b"/v1/storefront/anonymous");
        headers.push(Known::CeType, name.as_bytes());
        headers.push(Known::CeTime, b"2026-03-01T12:00:00.123456Z");
        headers.push(Known::AppendTime, b"2026-03-01T12:00:00.123456Z");
        headers.push(Known::Caller, b"anonymous");
        let partition = partition_of(&key, topic.partitions).0 as usize;
        if let Some(batch) = batches.get_mut(partition) {
            batch.push(Some(&key), Some(&value), headers.as_headers());
        }
    }
    batches
}
