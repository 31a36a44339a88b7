//! Views over events: rows are only added, a message sent again is not.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use bumpalo::Bump;
use proptest::prelude::*;
use tidefold_app::{App, SourceFile};
use tidefold_codec::json_in::{JsonEncoder, JsonLimits};
use tidefold_codec::{Datum, ordered};
use tidefold_fold::whole::WholeFold;
use tidefold_fold::{FoldSettings, SchemaFate, TableSlot};
use tidefold_record::headers::{HeadersBuilder, Known};
use tidefold_record::{BatchBuilder, Offset, Partition, SchemaId, frame};
use tidefold_table::rollup::Group;

const TOPIC: &str = r#"
app = "meter"
[topics.usage]
key = ["account"]
partitions = 1
commands = []
events = ["Used"]

[views.daily]
sql = """SELECT u.account AS account, count(*) AS records, sum(u.units) AS units, min(u.units) AS least,
         max(u.units) AS most, max(u.caller) AS last_caller, min(u.note) AS note,
         approx_count_distinct(u.caller) AS callers, count(*) FILTER (WHERE u.units > 5) AS large
         FROM Used AS u GROUP BY 1"""
partition_key = ["account"]
"#;

const USED: &str = r#"{"type": "record", "name": "Used", "fields": [{"name": "account", "type": "string"},
    {"name": "units", "type": "long"}, {"name": "caller", "type": "string"},
    {"name": "note", "type": ["null", "string"], "default": null}]}"#;

#[derive(Clone, Debug)]
struct Used {
    account: String,
    units: i64,
    caller: String,
    note: Option<String>,
    id: u8,
}

fn app() -> Arc<App> {
    let file = |path: &str, text: &str| SourceFile { path: path.into(), text: text.into() };
    match tidefold_app::load(vec![file("app.toml", TOPIC), file("Used.avsc", USED)]) {
        Ok(app) => Arc::new(app),
        Err(mistakes) => panic!("{mistakes}"),
    }
}

fn used() -> impl Strategy<Value = Used> {
    ("[ab]", -9..20i64, "[a-z]{0,2}", prop::option::of("[x-z]"), any::<u8>())
        .prop_map(|(account, units, caller, note, id)| Used { account, units, caller, note, id })
}

fn fold(app: &Arc<App>, log: &[Used], cut: usize) -> WholeFold {
    let message = &app.projections[0].topic.messages[0];
    let encoder = JsonEncoder::new(Arc::clone(&message.record), message.key.clone(), JsonLimits::default());
    let mut whole =
        WholeFold::new(Arc::clone(&app.projections[0]), Partition(0), FoldSettings { window: 1_000 });
    for (part, events) in log.chunks(cut).enumerate() {
        let mut batch = BatchBuilder::new();
        for used in events {
            let note = used.note.as_ref().map_or("null".to_owned(), |note| format!("\"{note}\""));
            let json = format!(
                r#"{{"account":"{}","units":{},"caller":"{}","note":{note}}}"#,
                used.account, used.units, used.caller
            );
            let (mut value, mut key) = (Vec::new(), Vec::new());
            frame(SchemaId(7), &mut value);
            encoder.encode(json.as_bytes(), &mut value, &mut key).unwrap();
            let mut headers = HeadersBuilder::new();
            headers.push(Known::CeId, &[used.id]);
            batch.push(Some(&key), Some(&value), headers.as_headers());
        }
        let batch = batch.build(Partition(0), Offset((part * cut) as u64));
        whole.fold(&batch, None, |_| SchemaFate::Registered(message.schema_json.as_str().into())).unwrap();
    }
    whole
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn aggregates_over_events_are_those_of_a_list(log in prop::collection::vec(used(), 0..60), cut in 1..20usize) {
        let app = app();
        let view = &app.projections[0].views[0];
        let whole = fold(&app, &log, cut);
        prop_assert_eq!(whole.rows(TableSlot::View(0)), fold(&app, &log, 1_000).rows(TableSlot::View(0)));
        let mut seen = BTreeSet::new();
        let mut accounts: BTreeMap<String, Vec<&Used>> = BTreeMap::new();
        for used in log.iter().filter(|used| seen.insert((used.account.clone(), used.id))) {
            accounts.entry(used.account.clone()).or_default().push(used);
        }
        let rows = whole.rows(TableSlot::View(0));
        prop_assert_eq!(rows.len(), accounts.len());
        for (key, row) in rows {
            let arena = Bump::new();
            let columns: Vec<_> = view.layout.key_columns().collect();
            let (account, _) = ordered::decode(&columns[0].1, &key, &arena).unwrap();
            let Datum::Text(name) = account else { panic!("{account:?}") };
            let events = &accounts[name];
            let group = Group::decode(&view.layout, &row).unwrap().finish(&view.layout, &[account], &arena);
            let units = events.iter().map(|used| used.units);
            let last_caller = events.iter().map(|used| used.caller.as_str()).max().unwrap();
            let note = events.iter().filter_map(|used| used.note.as_deref()).min();
            let callers: BTreeSet<_> = events.iter().map(|used| &used.caller).collect();
            let distinct = group[7];
            let Datum::Long(estimate) = distinct else { panic!("{distinct:?}") };
            // Values that share a register are taken for one: of sixty, hardly ever more than four.
            prop_assert!(estimate.abs_diff(callers.len() as i64) <= 4, "{} of {}", estimate, callers.len());
            let expected = vec![
                account,
                Datum::Long(events.len() as i64),
                Datum::Long(units.clone().sum()),
                Datum::Long(units.clone().min().unwrap()),
                Datum::Long(units.clone().max().unwrap()),
                Datum::Text(last_caller),
                note.map_or(Datum::Null, Datum::Text),
                distinct,
                Datum::Long(units.filter(|units| *units > 5).count() as i64),
            ];
            prop_assert_eq!(group, expected);
        }
    }

    #[test]
    fn a_rollup_row_reads_as_it_was_written_and_shards_add_up(log in prop::collection::vec(used(), 1..40)) {
        let app = app();
        let view = &app.projections[0].views[0];
        let one: Vec<_> = log.iter().map(|used| Used { account: "a".into(), ..used.clone() }).collect();
        let mut seen = BTreeSet::new();
        let one: Vec<_> = one.into_iter().filter(|used| seen.insert((used.account.clone(), used.id))).collect();
        let group = |log: &[Used]| {
            let rows = fold(&app, log, 1_000).rows(TableSlot::View(0));
            rows.first().map_or(Group::empty(&view.layout), |(_, row)| {
                let group = Group::decode(&view.layout, row).unwrap();
                let mut again = Vec::new();
                group.encode(&mut again);
                assert_eq!(&again, row);
                group
            })
        };
        let (left, right) = one.split_at(one.len() / 2);
        let (mut merged, whole) = (group(left), group(&one));
        merged.merge(&group(right));
        let arena = Bump::new();
        let key = [Datum::Text("a")];
        prop_assert_eq!(merged.finish(&view.layout, &key, &arena), whole.finish(&view.layout, &key, &arena));
    }
}

#[test]
fn the_metering_app_folds() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../schemas/metering");
    let files =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file());
    let files = files.map(|path| SourceFile {
        path: path.file_name().unwrap().to_str().unwrap().to_owned(),
        text: std::fs::read_to_string(&path).unwrap(),
    });
    let app = Arc::new(tidefold_app::load(files.collect()).unwrap());
    for projection in &app.projections {
        let whole = WholeFold::new(Arc::clone(projection), Partition(0), FoldSettings::default());
        assert_eq!(whole.rows(TableSlot::View(0)), vec![]);
    }
}
