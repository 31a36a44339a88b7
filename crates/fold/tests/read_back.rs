//! What the fold writes can be read, is what it was, and is within the bounds that every store takes: over random states and
//! messages at the extremes of every type. `infra/fuzz` holds the same over random apps, against another engine.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what went wrong by failing"
)]

use std::sync::Arc;

use bumpalo::Bump;
use proptest::prelude::*;
use proptest::sample::select;
use tidefold_app::model::{View, ViewKind};
use tidefold_app::{App, SourceFile};
use tidefold_codec::json_in::{JsonEncoder, JsonLimits};
use tidefold_codec::{Datum, columns, json_out, ordered};
use tidefold_fold::whole::WholeFold;
use tidefold_fold::{FoldSettings, SchemaFate, TableSlot};
use tidefold_record::headers::{HeadersBuilder, Known};
use tidefold_record::{BatchBuilder, Offset, Partition, SchemaId, frame};
use tidefold_table::entity::StateRef;
use tidefold_table::limits::{DETAIL_CHARACTERS, RECORD_KEY_BYTES, ROW_BYTES, STATE_BYTES, row_key_bytes};
use tidefold_table::rollup::Group;
use tidefold_table::{Verdict, verdict};

const APP: &str = r#"
app = "extremes"
[topics.t]
key = ["k"]
partitions = 1
commands = ["Put"]
events = ["Add"]
[entities.e]
topic = "t"
[entities.e.columns]
i = "int"
l = "long"
f = "float"
d = "double"
m = "decimal(38,19)"
w = "Wide?"
s = "string"
b = "bytes?"
day = "date"
clock = "time-micros"
ms = "timestamp-millis"
us = "timestamp-micros?"
list = "array<decimal(38,0)?>"
map = "map<double>"
[entities.e.on.Put]
when = "any"
set = "i = msg.i, l = msg.l, f = msg.f, d = msg.d, m = msg.m, w = msg.m, s = msg.s, b = msg.b, day = msg.day, clock = msg.clock, ms = msg.ms, us = event_time(), list = msg.list, map = msg.map"
[entities.e.on.Add]
set = """i = state.i + msg.i, l = state.l * msg.l, f = CAST(state.d + msg.d AS float), d = state.d * msg.d, m = state.m + msg.m,
  w = state.m - msg.m, s = substr(state.s || msg.s, 1, 40000), day = CAST(state.ms AS date) + INTERVAL '1 day', ms = msg.ms + INTERVAL '1 hour',
  us = date_trunc('year', msg.ms) - INTERVAL '1 millisecond'"""
[views.by_text]
sql = "SELECT s, ms + INTERVAL '1 day' AS t, k, m / 3 AS part, day - INTERVAL '1 week' AS before, CAST(d AS decimal(38,0)) AS n, map, list, s || s AS twice FROM e WHERE ms + INTERVAL '1 day' IS NOT NULL"
partition_key = ["s"]
clustering = ["t DESC", "k"]
[views.items]
sql = "SELECT item * 10 AS x, m, k, n FROM e, UNNEST(list) WITH ORDINALITY AS u(item, n) WHERE item * 10 IS NOT NULL"
partition_key = ["x"]
clustering = ["m", "k DESC", "n"]
[views.totals]
sql = "SELECT date_trunc('month', ms) AS month, s, sum(m) AS m, avg(m) AS mean, sum(l) AS l, count(b) AS b FROM e GROUP BY 1, 2"
partition_key = ["month"]
clustering = ["s"]
"#;

const FIELDS: &str = r#"{"name": "k", "type": "string"}, {"name": "i", "type": "int"}, {"name": "l", "type": "long"},
    {"name": "f", "type": "float"}, {"name": "d", "type": "double"},
    {"name": "m", "type": {"type": "bytes", "logicalType": "decimal", "precision": 38, "scale": 19}},
    {"name": "s", "type": "string"}, {"name": "b", "type": ["null", "bytes"]},
    {"name": "day", "type": {"type": "int", "logicalType": "date"}},
    {"name": "clock", "type": {"type": "long", "logicalType": "time-micros"}},
    {"name": "ms", "type": {"type": "long", "logicalType": "timestamp-millis"}},
    {"name": "list", "type": {"type": "array", "items": ["null", {"type": "bytes", "logicalType": "decimal", "precision": 38, "scale": 0}]}},
    {"name": "map", "type": {"type": "map", "values": "double"}}"#;

const WIDE: &str = r#"{"type": "fixed", "name": "Wide", "size": 16, "logicalType": "decimal", "precision": 38, "scale": 19}"#;

fn app() -> Arc<App> {
    let file = |path: &str, text: String| SourceFile { path: path.into(), text };
    let record = |name: &str| {
        let text = format!(r#"{{"type": "record", "name": "{name}", "fields": [{FIELDS}]}}"#);
        file(&format!("{name}.avsc"), text)
    };
    let files =
        vec![file("app.toml", APP.into()), file("Wide.avsc", WIDE.into()), record("Put"), record("Add")];
    tidefold_app::load(files).map(Arc::new).unwrap_or_else(|mistakes| panic!("{mistakes}"))
}

/// A message: type, event time, JSON.
type Sent = (usize, &'static str, String);

const TIMES: &[&str] = &[
    "0001-01-01T00:00:00Z",
    "9999-12-31T23:59:59.999999Z",
    "9999-12-31T00:00:00Z",
    "1969-12-31T23:59:59.999999Z",
    "2024-02-29T12:00:00Z",
];

fn text() -> impl Strategy<Value = String> {
    let pieces = select(vec!["", "a", "\\u0000", "\\u0000\\u0000b", "\u{10ffff}", "\u{e9}"]);
    let sizes = prop_oneof![8 => Just(1), 1 => select(vec![340_usize, 16_380, 32_755, 32_760, 65_000])];
    (pieces, sizes).prop_map(|(piece, times)| piece.repeat(times))
}

fn message() -> impl Strategy<Value = Sent> {
    let whole = select(vec!["0", "1", "-1", "2147483647", "-2147483648"]);
    let long = select(vec!["0", "-1", "3", "9223372036854775807", "-9223372036854775808"]);
    let float = select(vec!["0.0", "-0.0", "1e-45", "3.4028235e38", "-1.5"]);
    let double = select(vec!["-0.0", "5e-324", "1.7976931348623157e308", "-1e38", "1e16", "0.1"]);
    let decimal = select(vec![
        "0",
        "9999999999999999999.9999999999999999999",
        "-9999999999999999999.9999999999999999999",
        "0.0000000000000000001",
        "-1",
    ]);
    let large = select(vec![
        "null",
        "\"99999999999999999999999999999999999999\"",
        "\"-99999999999999999999999999999999999999\"",
        "\"9999999999999999999999999999999999999\"",
        "\"0\"",
    ]);
    let numbers = (whole, long, float, double.clone(), decimal);
    let times = (select(TIMES), select(TIMES), select(vec!["00:00:00", "23:59:59.999999"]));
    let inside = (prop::collection::vec(large, 0..4), double, prop::option::of(Just("\"AP8=\"")));
    (0..2_usize, "[pqr]", numbers, text(), times, inside).prop_map(
        |(which, k, (i, l, f, d, m), s, (time, ms, clock), (list, value, b))| {
            let day = &time[..10];
            let json = format!(
                r#"{{"k":"{k}","i":{i},"l":{l},"f":{f},"d":{d},"m":"{m}","s":"{s}","b":{},"day":"{day}","clock":"{clock}",
                   "ms":"{ms}","list":[{}],"map":{{"":{value},"\u0000":1.5}}}}"#,
                b.unwrap_or("null"),
                list.join(",")
            );
            (which, time, json)
        },
    )
}

fn folded(app: &Arc<App>, sent: &[Sent]) -> WholeFold {
    let messages = &app.projections[0].topic.messages;
    let mut batch = BatchBuilder::new();
    for (which, time, json) in sent {
        let message = &messages[*which];
        let encoder =
            JsonEncoder::new(Arc::clone(&message.record), message.key.clone(), JsonLimits::default());
        let (mut value, mut key) = (Vec::new(), Vec::new());
        frame(SchemaId(*which as u32), &mut value);
        encoder.encode(json.as_bytes(), &mut value, &mut key).unwrap_or_else(|wrong| panic!("{wrong:?}"));
        let mut headers = HeadersBuilder::new();
        headers.push(Known::CeTime, time.as_bytes());
        batch.push(Some(&key), Some(&value), headers.as_headers());
    }
    let mut whole = WholeFold::new(Arc::clone(&app.projections[0]), Partition(0), FoldSettings::default());
    let fate = |id: SchemaId| SchemaFate::Registered(messages[id.0 as usize].schema_json.as_str().into());
    whole.fold(&batch.build(Partition(0), Offset(0)), None, fate).unwrap();
    whole
}

/// Reads the row of a view and writes it again.
fn again(view: &View, key: &[u8], value: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let arena = Bump::new();
    let (mut rest, mut new_key, mut new_value) = (key, Vec::new(), Vec::new());
    for (at, column) in view.layout.key_columns() {
        let column = arena.alloc(column);
        let (datum, behind) = ordered::decode(column, rest, &arena).unwrap();
        let mut json = Vec::new();
        json_out::write(&view.layout.columns[at].column, datum, &mut json);
        assert!(json != b"null" && !json.is_empty());
        ordered::encode(column, datum, &mut new_key);
        rest = behind;
    }
    if matches!(view.kind, ViewKind::Rollup { .. }) {
        new_key.extend_from_slice(rest);
        assert_eq!(rest.len(), 4);
        Group::decode(&view.layout, value).unwrap().encode(&mut new_value);
        return (new_key, new_value);
    }
    assert!(rest.is_empty());
    let types: Vec<_> = view.layout.value_columns().map(|(_, column)| &column.column).collect();
    let mut slots = vec![Datum::Null; types.len()];
    columns::decode(types.iter().copied(), &value[8..], &mut slots).unwrap();
    new_value.extend_from_slice(&value[..8]);
    columns::encode(types.iter().copied(), &slots, &mut new_value);
    (new_key, new_value)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_row_is_read_as_it_was_written_and_within_the_bounds(sent in prop::collection::vec(message(), 1..20)) {
        let app = app();
        let whole = folded(&app, &sent);
        let entity = app.projections[0].entity.as_ref().unwrap();
        for (key, blob) in whole.rows(TableSlot::Entity) {
            let state = StateRef::parse(&blob).unwrap();
            let mut slots = vec![Datum::Null; entity.columns.len()];
            state.slots(&entity.columns, &mut slots).unwrap();
            let mut new = Vec::new();
            columns::encode(entity.columns.iter().map(|column| &column.column), &slots, &mut new);
            prop_assert!(new == state.columns, "the state of {:?}", key);
            prop_assert!(key.len() <= RECORD_KEY_BYTES && new.len() <= STATE_BYTES);
        }
        for (at, view) in app.projections[0].views.iter().enumerate() {
            for (key, value) in whole.rows(TableSlot::View(at)) {
                let (new_key, new_value) = again(view, &key, &value);
                prop_assert!(new_key == key && new_value == value, "a row of {}", view.name);
                prop_assert!(key.len() <= row_key_bytes(&view.layout) && key.len() + value.len() <= ROW_BYTES);
            }
        }
        for (_, row) in whole.rows(TableSlot::Verdicts) {
            let judged = verdict::Row::decode(&row).unwrap();
            let mut new = Vec::new();
            judged.encode(&mut new);
            prop_assert!(new == row);
            if let Verdict::Dead(reason) = judged.verdict {
                prop_assert!(reason.detail.chars().count() <= DETAIL_CHARACTERS);
            }
        }
    }
}
