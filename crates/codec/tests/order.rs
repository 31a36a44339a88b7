//! One order, through every place a value has.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what went wrong by failing"
)]

use apache_avro::Schema;
use bumpalo::Bump;
use tidefold_codec::decode::Plan;
use tidefold_codec::json_in::{JsonEncoder, JsonLimits};
use tidefold_codec::schema::record_type;
use tidefold_codec::{Datum, json_out};

const SCHEMA: &str = r#"{"type": "record", "name": "PlaceOrder", "namespace": "shop", "fields": [
    {"name": "order_id", "type": "string"},
    {"name": "customer_id", "type": "string"},
    {"name": "currency", "type": {"type": "enum", "name": "Currency", "symbols": ["EUR", "USD"]}},
    {"name": "total_cents", "type": "long"},
    {"name": "items", "type": {"type": "array", "items": {"type": "record", "name": "OrderItem", "fields": [
        {"name": "sku", "type": "string"}, {"name": "qty", "type": "int"}]}}},
    {"name": "note", "type": ["null", "string"], "default": null},
    {"name": "placed_at", "type": {"type": "long", "logicalType": "timestamp-millis"}}
]}"#;

const ORDER: &str = r#"{"order_id":"o-1","customer_id":"c-1","currency":"EUR","total_cents":4200,"items":[{"sku":"a","qty":2},{"sku":"b","qty":1}],"note":null,"placed_at":"2026-01-31T12:00:00.250Z"}"#;

type Mistakes = Vec<(String, &'static str)>;

fn encode(json: &str) -> Result<(Vec<u8>, String), Mistakes> {
    let record = record_type(&Schema::parse_str(SCHEMA).unwrap()).unwrap();
    let encoder = JsonEncoder::new(record, vec![0], JsonLimits::default());
    let (mut datum, mut key) = (Vec::new(), Vec::new());
    match encoder.encode(json.as_bytes(), &mut datum, &mut key) {
        Ok(()) => Ok((datum, String::from_utf8(key).unwrap())),
        Err(violations) => {
            assert!(datum.is_empty() && key.is_empty());
            Err(violations.into_iter().map(|v| (v.pointer, v.code)).collect())
        }
    }
}

#[test]
fn an_order_comes_back_as_it_went_in() {
    let schema = Schema::parse_str(SCHEMA).unwrap();
    let record = record_type(&schema).unwrap();
    let (datum, key) = encode(ORDER).unwrap();
    assert_eq!(key, "o-1");
    let mut json = Vec::new();
    json_out::record_to_json(&record, &datum, &mut json).unwrap();
    assert_eq!(std::str::from_utf8(&json).unwrap(), ORDER);

    let wanted = [true, false, true, true, true, true, true];
    let plan = Plan::new(&schema, &record, &wanted).unwrap();
    let arena = Bump::new();
    let mut slots = [Datum::Null; 7];
    plan.read(&datum, &mut slots, &arena).unwrap();
    assert_eq!(slots[0], Datum::Text("o-1"));
    assert_eq!(slots[1], Datum::Null);
    assert_eq!(slots[3], Datum::Long(4200));
    let mut items = Vec::new();
    json_out::write(&record.fields[4].column, slots[4], &mut items);
    assert_eq!(items, br#"[{"sku":"a","qty":2},{"sku":"b","qty":1}]"#);
}

#[test]
fn fields_may_come_in_any_order_and_defaults_fill_in() {
    let shuffled = r#"{"placed_at": 1769860800250, "items": [{"qty": 2, "sku": "a"}, {"sku": "b", "qty": 1.0}],
        "total_cents": "4200", "currency": "EUR", "customer_id": "c-1", "order_id": "o-1"}"#;
    assert_eq!(encode(shuffled).unwrap(), encode(ORDER).unwrap());
}

#[test]
fn every_mistake_is_named_at_its_place() {
    let wrong = r#"{"order_id": "", "customer_id": null, "currency": "EURO", "total_cents": 1.5, "total_cents": 1,
        "items": [{"sku": "a", "qty": 3000000000}, {"sku": 7}, 8], "colour": {"a": [1]}, "placed_at": "yesterday"}"#;
    let told = [
        ("#/customer_id", "null_not_allowed"),
        ("#/currency", "unknown_symbol"),
        ("#/total_cents", "wrong_type"),
        ("#/total_cents", "duplicate_key"),
        ("#/items/0/qty", "out_of_range"),
        ("#/items/1/sku", "wrong_type"),
        ("#/items/1/qty", "missing_field"),
        ("#/items/2", "wrong_type"),
        ("#/colour", "unknown_field"),
        ("#/placed_at", "bad_format"),
    ];
    assert_eq!(encode(wrong).unwrap_err(), told.map(|(pointer, code)| (pointer.to_owned(), code)));
}
