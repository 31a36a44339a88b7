//! Rows at the bounds of rows, and one byte past them: judged before anything is written, and what is over stops nothing.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::sync::Arc;

use bumpalo::Bump;
use tidefold_app::{App, SourceFile};
use tidefold_codec::Datum;
use tidefold_codec::json_in::{JsonEncoder, JsonLimits};
use tidefold_fold::whole::WholeFold;
use tidefold_fold::{FoldSettings, SchemaFate, TableSlot};
use tidefold_record::headers::HeadersBuilder;
use tidefold_record::{BatchBuilder, Offset, Partition, SchemaId, frame};
use tidefold_table::Verdict;
use tidefold_table::limits::{EXTREMES_BYTES, RECORD_ROWS_BYTES, ROW_BYTES, row_key_bytes};
use tidefold_table::rollup::Group;
use tidefold_table::verdict::{self, DEAD_CODES};

const TOPIC: &str = r#"
app = "bounds"
[topics.t]
key = ["k"]
partitions = 1
events = ["Said"]
max_message_bytes = 10000000
[views.totals]
sql = "SELECT k, count(*) AS n, sum(x) AS total, avg(x) AS mean FROM Said GROUP BY k"
partition_key = ["k"]
[views.by_text]
sql = "SELECT text, k FROM Said WHERE kind = 'key'"
partition_key = ["text"]
clustering = ["k"]
[views.copies]
sql = "SELECT k, text FROM Said WHERE kind = 'row'"
partition_key = ["k"]
[views.spread]
sql = "SELECT k, n, item, text FROM Said, UNNEST(list) WITH ORDINALITY AS u(item, n) WHERE kind = 'rows'"
partition_key = ["k"]
clustering = ["n"]
[views.longest]
sql = "SELECT k, max(text) AS most, min(text) AS least FROM Said WHERE kind = 'max' GROUP BY k"
partition_key = ["k"]
"#;

const SAID: &str = r#"{"type": "record", "name": "Said", "fields": [{"name": "k", "type": "string"},
    {"name": "kind", "type": "string"}, {"name": "text", "type": "string"},
    {"name": "list", "type": {"type": "array", "items": "int"}},
    {"name": "x", "type": {"type": "bytes", "logicalType": "decimal", "precision": 38, "scale": 0}}]}"#;

/// How many rows a message of the kind `rows` makes.
const ITEMS: usize = 20;

fn app() -> Arc<App> {
    let file = |path: &str, text: &str| SourceFile { path: path.into(), text: text.into() };
    match tidefold_app::load(vec![file("app.toml", TOPIC), file("Said.avsc", SAID)]) {
        Ok(app) => Arc::new(app),
        Err(mistakes) => panic!("{mistakes}"),
    }
}

/// Folds messages of kind, text and number under the key `k`.
fn fold(app: &Arc<App>, said: &[(&str, String, &str)]) -> WholeFold {
    let message = &app.projections[0].topic.messages[0];
    let encoder = JsonEncoder::new(Arc::clone(&message.record), message.key.clone(), JsonLimits::default());
    let mut batch = BatchBuilder::new();
    for (kind, text, x) in said {
        let list = if *kind == "rows" { ["1"; ITEMS].join(",") } else { String::new() };
        let json = format!(r#"{{"k":"k","kind":"{kind}","text":"{text}","list":[{list}],"x":"{x}"}}"#);
        let (mut value, mut key) = (Vec::new(), Vec::new());
        frame(SchemaId(7), &mut value);
        encoder.encode(json.as_bytes(), &mut value, &mut key).unwrap();
        batch.push(Some(&key), Some(&value), HeadersBuilder::new().as_headers());
    }
    let mut whole = WholeFold::new(Arc::clone(&app.projections[0]), Partition(0), FoldSettings::default());
    let batch = batch.build(Partition(0), Offset(0));
    whole.fold(&batch, None, |_| SchemaFate::Registered(message.schema_json.as_str().into())).unwrap();
    whole
}

fn dead(whole: &WholeFold, offset: u64) -> Option<(String, String)> {
    let row = whole.row(
        TableSlot::Verdicts,
        &verdict::Key { partition: Partition(0), offset: Offset(offset) }.encode(),
    )?;
    match Verdict::decode(&row) {
        Ok(Verdict::Dead(reason)) => Some((reason.code, reason.detail)),
        other => panic!("{other:?}"),
    }
}

/// The number of messages that a rollup counted: a dead one left nothing there.
fn counted(app: &App, whole: &WholeFold) -> i64 {
    let rows = whole.rows(TableSlot::View(0));
    rows.first().map_or(0, |(_, row)| Group::decode(&app.projections[0].views[0].layout, row).unwrap().count)
}

#[test]
fn a_row_at_its_bound_is_kept_and_one_past_it_makes_its_record_dead_and_no_other() {
    let app = app();
    // Behind the text two bytes, and behind `k` too.
    let key = row_key_bytes(&app.projections[0].views[1].layout) - 2 - 3;
    let zeros = |count: usize| "\\u0000".repeat(count / 2) + &"x".repeat(count % 2);
    let share = EXTREMES_BYTES / 2;
    // A text's length of four bytes stands before it.
    let row = ROW_BYTES - 3 - 4;
    let cases = [
        ("key", "a".repeat(key), None),
        ("key", "a".repeat(key + 1), Some(("key_too_large", "by_text"))),
        ("key", zeros(key), None),
        ("key", zeros(key + 1), Some(("key_too_large", "by_text"))),
        ("row", "a".repeat(row), None),
        ("row", "a".repeat(row + 1), Some(("row_too_large", "copies"))),
        ("max", "a".repeat(share - 4), None),
        ("max", "a".repeat(share), Some(("row_too_large", "longest"))),
        // Each row has a key of eleven bytes, an item of one and the text's length in four.
        ("rows", "a".repeat(RECORD_ROWS_BYTES / ITEMS - 64), None),
        ("rows", "a".repeat(RECORD_ROWS_BYTES / ITEMS), Some(("rows_too_large", "spread"))),
        ("none", "a".to_owned(), None),
    ];
    let said: Vec<_> = cases.iter().map(|(kind, text, _)| (*kind, text.clone(), "1")).collect();
    let whole = fold(&app, &said);
    for (at, (kind, text, wanted)) in cases.iter().enumerate() {
        let found = dead(&whole, at as u64);
        match (wanted, &found) {
            (None, None) => {}
            (Some((code, table)), Some((found, detail))) => {
                assert_eq!(code, found);
                assert!(DEAD_CODES.contains(code));
                assert!(
                    detail.contains(&format!("table {table}:")) && detail.contains("more than"),
                    "{detail}"
                );
            }
            _ => panic!("{kind} of {} bytes: {found:?}", text.len()),
        }
    }
    let kept = cases.iter().filter(|(.., wanted)| wanted.is_none()).count() as i64;
    assert_eq!(counted(&app, &whole), kept, "a dead record is in no view");
}

#[test]
fn sums_past_128_bits_are_kept_exactly_and_their_rows_read_as_written() {
    let app = app();
    let view = &app.projections[0].views[0];
    let most = "99999999999999999999999999999999999999";
    let least = format!("-{most}");
    let said = |x: &'static str, count: usize| vec![("none", String::new(), x); count];
    let mut list = said("99999999999999999999999999999999999999", 9);
    let wide = fold(&app, &list).rows(TableSlot::View(0));
    let group = Group::decode(&view.layout, &wide[0].1).unwrap();
    let mut again = Vec::new();
    group.encode(&mut again);
    assert_eq!(again, wide[0].1);
    let arena = Bump::new();
    let key = [Datum::Text("k")];
    assert_eq!(
        group.finish(&view.layout, &key, &arena)[1..],
        [Datum::Long(9), Datum::Null, Datum::Double(1e38)]
    );
    list.extend(std::iter::repeat_n(("none", String::new(), least.as_str()), 9));
    let back = fold(&app, &list).rows(TableSlot::View(0));
    let group = Group::decode(&view.layout, &back[0].1).unwrap();
    assert_eq!(
        group.finish(&view.layout, &key, &arena)[1..],
        [Datum::Long(18), Datum::Decimal(0), Datum::Double(0.0)]
    );
    assert_eq!(back[0].1.len(), 8 + 8 + 8 + 2 * 24, "a sum of 127 bits has the row it always had");
}

/// Views over an entity: rows of `copied` of them have its text four times, rows of two more have it where `n` says so.
fn copies(copied: usize) -> Arc<App> {
    let mut text = String::from(
        r#"
app = "copies"
[topics.t]
key = ["k"]
partitions = 1
events = ["Said"]
max_message_bytes = 10000000
[entities.docs]
topic = "t"
max_state_bytes = 1000000
[entities.docs.columns]
text = "string"
n = "long"
[entities.docs.on.Said]
when = "any"
set = "text = msg.text, n = msg.n"
"#,
    );
    let mut view = |name: String, text_of: &str| {
        text += &format!(
            "[views.{name}]\nsql = \"SELECT k, {text_of} AS a, {text_of} AS b, {text_of} AS c, {text_of} AS d FROM docs\"
             partition_key = [\"k\"]\n"
        );
    };
    (0..copied).for_each(|at| view(format!("copy_{at}"), "text"));
    for (name, n) in [("some", 1), ("more", 2)] {
        view(name.into(), &format!("CASE WHEN n >= {n} THEN text ELSE '' END"));
    }
    let said = r#"{"type": "record", "name": "Said", "fields": [{"name": "k", "type": "string"},
        {"name": "text", "type": "string"}, {"name": "n", "type": "long"}]}"#;
    let file = |path: &str, text: &str| SourceFile { path: path.into(), text: text.into() };
    match tidefold_app::load(vec![file("app.toml", &text), file("Said.avsc", said)]) {
        Ok(app) => Arc::new(app),
        Err(mistakes) => panic!("{mistakes}"),
    }
}

#[test]
fn rows_that_stay_as_they_are_count_among_those_that_a_record_makes() {
    // Rows just within their bound, so many that one more is within the bound of all, and two more are not.
    let text = ROW_BYTES / 4 - 25_000;
    let app = copies(RECORD_ROWS_BYTES / ROW_BYTES - 1);
    let message = &app.projections[0].topic.messages[0];
    let encoder = JsonEncoder::new(Arc::clone(&message.record), message.key.clone(), JsonLimits::default());
    let mut batch = BatchBuilder::new();
    for n in [0, 1, 2, 1, 0] {
        let json = format!(r#"{{"k":"k","text":"{}","n":{n}}}"#, "a".repeat(text));
        let (mut value, mut key) = (Vec::new(), Vec::new());
        frame(SchemaId(7), &mut value);
        encoder.encode(json.as_bytes(), &mut value, &mut key).unwrap();
        batch.push(Some(&key), Some(&value), HeadersBuilder::new().as_headers());
    }
    let mut whole = WholeFold::new(Arc::clone(&app.projections[0]), Partition(0), FoldSettings::default());
    let batch = batch.build(Partition(0), Offset(0));
    whole.fold(&batch, None, |_| SchemaFate::Registered(message.schema_json.as_str().into())).unwrap();
    let codes = (0..5).map(|at| dead(&whole, at).map(|(code, _)| code));
    let expected = [None, None, Some("rows_too_large".to_owned()), None, None];
    assert_eq!(codes.collect::<Vec<_>>(), expected);
}
