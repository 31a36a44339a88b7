//! Views against an independent SQL engine: the tables the fold keeps are what SQLite answers to the same SQL over the
//! final entity states. One case is one history and one view; there are more than 10,000.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what went wrong by failing"
)]

mod support;

use std::collections::{BTreeMap, BTreeSet};

use bumpalo::Bump;
use proptest::prelude::*;
use proptest::sample::subsequence;
use rusqlite::functions::{Aggregate, Context, FunctionFlags};
use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, params};
use support::{Lab, Message, history};
use tidefold_app::model::{View, ViewKind};
use tidefold_codec::{Datum, columns, ordered};
use tidefold_fold::whole::WholeFold;
use tidefold_fold::{FoldSettings, TableSlot};
use tidefold_table::entity::StateRef;
use tidefold_table::rollup::Group;

const PARTITIONS: u32 = 3;
const VIEWS: usize = 14;
const HISTORIES: usize = 6;
const APPS: u32 = 130;

/// Conditions over a thing.
const FILTERS: &[&str] = &[
    "amount > 20",
    "kind = 'a'",
    "kind IN ('a', 'b')",
    "kind <> 'cc'",
    "NOT (kind = 'ab' OR amount < 5)",
    "region LIKE 'no%'",
    "region LIKE '_outh'",
    "region IS NOT NULL",
    "region IS NULL AND amount < 70",
    "score IS NULL",
    "score >= 3 OR flag",
    "NOT flag",
    "flag IS TRUE",
    "flag IS NOT FALSE",
    "amount BETWEEN 10 AND 60",
    "score NOT BETWEEN 0 AND 3",
    "region IS DISTINCT FROM 'north'",
    "amount % 3 = 1",
    "length(kind) > 1",
    "coalesce(score, 0) < 4",
    "amount / score > 4",
    "starts_with(kind, 'a')",
    "price IS NOT NULL",
    "score IN (1, 2)",
    "seen IS NULL",
    "at >= date_trunc('day', at)",
    "CASE kind WHEN 'a' THEN flag WHEN 'b' THEN NOT flag ELSE amount > 10 END",
];

/// What a thing is grouped by, and what makes sure that it is there.
const GROUPS: &[(&str, &str)] = &[
    ("kind", ""),
    ("coalesce(region, 'none')", ""),
    ("region", "region IS NOT NULL"),
    ("date_trunc('day', at)", ""),
    ("date_trunc('hour', at)", ""),
    ("CASE WHEN amount > 50 THEN 'big' WHEN amount > 10 THEN 'middle' ELSE 'small' END", ""),
    ("length(kind)", ""),
    ("flag IS TRUE", ""),
    ("coalesce(score, -1)", ""),
    ("upper(kind)", ""),
    ("date_part('hour', at)", ""),
    ("kind || '-' || region", "(kind || '-' || region) IS NOT NULL"),
];

const AGGREGATES: &[&str] = &[
    "count(*)",
    "sum(amount)",
    "count(score)",
    "sum(score)",
    "avg(score)",
    "avg(amount)",
    "sum(price)",
    "count(region)",
    "sum(amount * 2 - 1)",
    "sum(CASE WHEN flag THEN 1 ELSE 0 END)",
    "sum(coalesce(score, 0))",
    "sum(amount / score)",
    "count(nullif(kind, 'a'))",
    "bool_and(flag)",
    "bool_or(score > 3)",
    "var_pop(amount)",
    "var_pop(score)",
    "var_samp(amount - score)",
    "stddev_pop(amount)",
    "stddev_samp(score)",
];

const TAG_FILTERS: &[&str] = &["tag.qty > 2", "tag.note IS NULL", "tag.name <> kind", "tag.qty < amount"];
const TAG_AGGREGATES: &[&str] = &["sum(tag.qty)", "count(tag.note)", "sum(tag.qty * amount)", "avg(tag.qty)"];

/// A row as both engines say it.
type Row = Vec<Value>;

#[derive(Clone, Debug)]
struct ViewText {
    /// What stands in the app.
    toml: String,
    /// What SQLite is asked.
    sql: String,
}

// === random views ===

fn aggregate(pool: Vec<&'static str>) -> impl Strategy<Value = String> {
    let filter = prop::option::weighted(0.3, prop::sample::select(FILTERS));
    (prop::sample::select(pool), filter).prop_map(|(aggregate, filter)| match filter {
        Some(filter) => format!("{aggregate} FILTER (WHERE {filter})"),
        None => aggregate.to_owned(),
    })
}

fn rollup() -> impl Strategy<Value = ViewText> {
    any::<bool>().prop_flat_map(|tags| {
        let (mut filters, mut groups, mut aggregates) =
            (FILTERS.to_vec(), GROUPS.to_vec(), AGGREGATES.to_vec());
        if tags {
            filters.extend(TAG_FILTERS);
            groups.extend([("tag.name", ""), ("tag.qty % 3", "tag.qty % 3 IS NOT NULL")]);
            aggregates.extend(TAG_AGGREGATES);
        }
        let filters = subsequence(filters, 0..3);
        let groups = subsequence(groups, 1..3).prop_shuffle();
        let aggregates = prop::collection::vec(aggregate(aggregates), 1..4);
        (filters, groups, aggregates).prop_map(move |(mut filters, groups, aggregates)| {
            let mut outputs: Vec<_> =
                groups.iter().enumerate().map(|(i, g)| format!("{} AS g{i}", g.0)).collect();
            outputs.extend(aggregates.iter().enumerate().map(|(i, a)| format!("{a} AS a{i}")));
            filters.extend(groups.iter().map(|group| group.1).filter(|needed| !needed.is_empty()));
            let by: Vec<_> = (1..=groups.len()).map(|place| place.to_string()).collect();
            let names: Vec<_> = (1..groups.len()).map(|i| format!("\"g{i} DESC\"")).collect();
            let key = format!("partition_key = [\"g0\"]\nclustering = [{}]", names.join(", "));
            view(tags, &outputs, &filters, &format!(" GROUP BY {}", by.join(", ")), &key)
        })
    })
}

fn index() -> impl Strategy<Value = ViewText> {
    (any::<bool>(), subsequence(FILTERS, 0..3)).prop_map(|(tags, filters)| {
        let mut outputs: Vec<String> =
            ["kind", "at", "id", "amount + 1 AS more", "price", "score", "amount / score AS share", "region"]
                .map(str::to_owned)
                .into();
        let mut key = "partition_key = [\"kind\"]\nclustering = [\"at DESC\", \"id\"]";
        if tags {
            outputs.extend(["n", "tag.name AS name", "tag.note AS note"].map(str::to_owned));
            key = "partition_key = [\"kind\"]\nclustering = [\"at DESC\", \"id\", \"n DESC\"]";
        }
        view(tags, &outputs, &filters, "", key)
    })
}

fn view(tags: bool, outputs: &[String], filters: &[&str], tail: &str, key: &str) -> ViewText {
    let grouped = !tail.is_empty();
    let (ours, theirs) = match (tags, grouped) {
        (false, _) => ("things", "things"),
        (true, true) => ("things, UNNEST(tags) AS tag", "things JOIN tags AS tag ON tag.owner = things.id"),
        (true, false) => (
            "things, UNNEST(tags) WITH ORDINALITY AS t(tag, n)",
            "things JOIN tags AS tag ON tag.owner = things.id",
        ),
    };
    let filters: Vec<_> = filters.iter().map(|filter| format!("({filter})")).collect();
    let filter = if filters.is_empty() { String::new() } else { format!(" WHERE {}", filters.join(" AND ")) };
    let sql = |from: &str| format!("SELECT {} FROM {from}{filter}{tail}", outputs.join(", "));
    ViewText { toml: format!("sql = \"\"\"{}\"\"\"\n{key}\n", sql(ours)), sql: sql(theirs) }
}

// === what the fold says ===

fn value(datum: Datum<'_>) -> Value {
    match datum {
        Datum::Null => Value::Null,
        Datum::Boolean(yes) => Value::Integer(yes.into()),
        Datum::Long(number) => Value::Integer(number),
        Datum::Double(number) => Value::Real(number),
        Datum::Decimal(number) => Value::Integer(number.try_into().unwrap()),
        Datum::Text(text) => Value::Text(text.to_owned()),
        Datum::Bytes(_) | Datum::Encoded(_) => panic!("no view of these tests has such a column"),
    }
}

fn table(view: &View, slot: TableSlot, folds: &[WholeFold]) -> Vec<Row> {
    let rows: Vec<_> = folds.iter().flat_map(|fold| fold.rows(slot)).collect();
    match &view.kind {
        ViewKind::Index { .. } => rows.iter().map(|(key, value)| index_row(view, key, value)).collect(),
        ViewKind::Rollup { .. } => {
            let mut groups: BTreeMap<&[u8], Group> = BTreeMap::new();
            for (key, row) in &rows {
                let group = Group::decode(&view.layout, row).unwrap();
                let (key, _) = key.split_last_chunk::<4>().unwrap();
                groups.entry(key).and_modify(|found| found.merge(&group)).or_insert(group);
            }
            let there = groups.iter().filter(|(_, group)| group.count > 0);
            there.map(|(key, group)| group_row(view, key, group)).collect()
        }
    }
}

fn index_row(view: &View, key: &[u8], row: &[u8]) -> Row {
    let arena = Bump::new();
    let mut columns = vec![Value::Null; view.layout.columns.len()];
    let keys: Vec<_> = view.layout.key_columns().collect();
    let mut key = key;
    for (at, column) in &keys {
        let (datum, rest) = ordered::decode(column, key, &arena).unwrap();
        columns[*at] = value(datum);
        key = rest;
    }
    let others: Vec<_> = view.layout.value_columns().collect();
    let mut slots = vec![Datum::Null; others.len()];
    columns::decode(others.iter().map(|(_, column)| &column.column), &row[8..], &mut slots).unwrap();
    others.iter().zip(slots).for_each(|((at, _), datum)| columns[*at] = value(datum));
    columns
}

fn group_row(view: &View, key: &[u8], group: &Group) -> Row {
    let arena = Bump::new();
    let keys: Vec<_> = view.layout.key_columns().collect();
    let mut key = key;
    let mut datums = Vec::new();
    for (_, column) in &keys {
        let (datum, rest) = ordered::decode(column, key, &arena).unwrap();
        datums.push(datum);
        key = rest;
    }
    let row: Row = group.finish(&view.layout, &datums, &arena).into_iter().map(value).collect();
    for (at, column) in row.iter().enumerate() {
        let nullable = view.layout.columns[at].column.nullable;
        assert!(nullable || *column != Value::Null, "column {at} of {} is NULL", view.name);
    }
    row
}

// === what SQLite says ===

type Finish = fn(&[i64]) -> Value;

/// Aggregates that SQLite lacks, over all values at once: the numbers here are small enough for exact doubles.
struct Over(Finish);

impl Aggregate<Vec<i64>, Value> for Over {
    fn init(&self, _: &mut Context<'_>) -> rusqlite::Result<Vec<i64>> {
        Ok(Vec::new())
    }

    fn step(&self, call: &mut Context<'_>, values: &mut Vec<i64>) -> rusqlite::Result<()> {
        values.extend(call.get::<Option<i64>>(0)?);
        Ok(())
    }

    fn finalize(&self, _: &mut Context<'_>, values: Option<Vec<i64>>) -> rusqlite::Result<Value> {
        let values = values.unwrap_or_default();
        Ok(if values.is_empty() { Value::Null } else { self.0(&values) })
    }
}

/// By the definition: the mean square of what is left of the mean, all times n² so that it stays whole.
fn variance(values: &[i64], fewer: i64) -> Value {
    let n = values.len() as i64;
    if n <= fewer {
        return Value::Null;
    }
    let sum: i64 = values.iter().sum();
    let off: i64 = values.iter().map(|value| (n * value - sum).pow(2)).sum();
    Value::Real(off as f64 / (n * n * (n - fewer)) as f64)
}

fn root(value: Value) -> Value {
    if let Value::Real(value) = value { Value::Real(value.sqrt()) } else { value }
}

fn aggregates(db: &Connection) {
    let all: &[(&str, Finish)] = &[
        ("bool_and", |values| Value::Integer(values.iter().all(|value| *value == 1).into())),
        ("bool_or", |values| Value::Integer(values.contains(&1).into())),
        ("var_pop", |values| variance(values, 0)),
        ("var_samp", |values| variance(values, 1)),
        ("stddev_pop", |values| root(variance(values, 0))),
        ("stddev_samp", |values| root(variance(values, 1))),
    ];
    let pure = FunctionFlags::SQLITE_DETERMINISTIC | FunctionFlags::SQLITE_UTF8;
    for (name, of) in all {
        db.create_aggregate_function(*name, 1, pure, Over(*of)).unwrap();
    }
}

fn sqlite() -> Connection {
    let db = Connection::open_in_memory().unwrap();
    db.execute_batch(
        "PRAGMA case_sensitive_like = ON;
         CREATE TABLE things (id TEXT, kind TEXT, region TEXT, amount INTEGER, price INTEGER, score INTEGER,
                              flag INTEGER, at INTEGER, seen INTEGER);
         CREATE TABLE tags (owner TEXT, n INTEGER, name TEXT, qty INTEGER, note TEXT);",
    )
    .unwrap();
    let pure = FunctionFlags::SQLITE_DETERMINISTIC | FunctionFlags::SQLITE_UTF8;
    let unit = |name: &str| if name == "day" { 86_400_000 } else { 3_600_000 };
    db.create_scalar_function("date_trunc", 2, pure, move |call| {
        let (unit, at) = (unit(&call.get::<String>(0)?), call.get::<i64>(1)?);
        Ok(at.div_euclid(unit) * unit)
    })
    .unwrap();
    db.create_scalar_function("date_part", 2, pure, |call| {
        Ok(call.get::<i64>(1)?.rem_euclid(86_400_000) / 3_600_000)
    })
    .unwrap();
    db.create_scalar_function("starts_with", 2, pure, |call| {
        Ok(call.get::<String>(0)?.starts_with(&call.get::<String>(1)?))
    })
    .unwrap();
    aggregates(&db);
    db
}

/// Puts the final entity states into SQLite.
fn fill(db: &Connection, lab: &Lab, folds: &[WholeFold]) {
    db.execute_batch("DELETE FROM things; DELETE FROM tags;").unwrap();
    let entity = lab.app.projections[0].entity.as_ref().unwrap();
    let place = |name: &str| entity.columns.iter().position(|column| column.name == name).unwrap();
    let tidefold_codec::Type::Array(tag) = &entity.columns[place("tags")].column.ty else { panic!("tags") };
    let tidefold_codec::Type::Record(record) = &tag.ty else { panic!("tag") };
    for (_, blob) in folds.iter().flat_map(|fold| fold.rows(TableSlot::Entity)) {
        let state = StateRef::parse(&blob).unwrap();
        if state.deleted {
            continue;
        }
        let mut slots = vec![Datum::Null; entity.columns.len()];
        state.slots(&entity.columns, &mut slots).unwrap();
        let get = |name: &str| value(slots[place(name)]);
        let mut insert = db.prepare_cached("INSERT INTO things VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)").unwrap();
        insert
            .execute(params![
                get("id"),
                get("kind"),
                get("region"),
                get("amount"),
                get("price"),
                get("score"),
                get("flag"),
                get("at"),
                get("seen"),
            ])
            .unwrap();
        let Datum::Encoded(tags) = slots[place("tags")] else { panic!("tags") };
        for (n, element) in columns::elements(tag, tags).enumerate() {
            let Datum::Encoded(element) = element.unwrap() else { panic!("tag") };
            let field = |at| value(columns::field(record, element, at).unwrap());
            let mut insert = db.prepare_cached("INSERT INTO tags VALUES (?, ?, ?, ?, ?)").unwrap();
            insert.execute(params![get("id"), n as i64 + 1, field(0), field(1), field(2)]).unwrap();
        }
    }
}

fn ask(db: &Connection, sql: &str) -> Vec<Row> {
    let mut query = db.prepare_cached(sql).unwrap_or_else(|error| panic!("{error}: {sql}"));
    let width = query.column_count();
    let owned = |value: ValueRef<'_>| Value::try_from(value).unwrap();
    let rows = query.query_map([], |row| (0..width).map(|at| row.get_ref(at).map(owned)).collect()).unwrap();
    rows.collect::<Result<_, _>>().unwrap()
}

/// Rows in one order, each as text; numbers of either kind to nine places, since an average may be summed up otherwise.
fn settled(rows: Vec<Row>) -> Vec<String> {
    let text = |value: Value| match value {
        Value::Real(number) => format!("{number:.9}"),
        other => format!("{other:?}"),
    };
    let mut rows: Vec<_> =
        rows.into_iter().map(|row| row.into_iter().map(text).collect::<Vec<_>>().join(" | ")).collect();
    rows.sort();
    rows
}

fn folds(lab: &Lab, log: &[Message]) -> Vec<WholeFold> {
    let parts = lab.split(log).into_iter().enumerate();
    parts.map(|(partition, log)| lab.whole(&log, partition as u32, FoldSettings { window: 10 })).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: APPS, max_shrink_iters: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_view_is_what_sqlite_answers_over_the_final_states(
        views in prop::collection::vec(prop_oneof![4 => rollup(), 1 => index()], VIEWS),
        logs in prop::collection::vec(history(0..30), HISTORIES),
    ) {
        let named = views.iter().enumerate().map(|(i, view)| format!("[views.v{i}]\n{}\n", view.toml));
        let lab = Lab::with_partitions(&named.collect::<String>(), PARTITIONS);
        let db = sqlite();
        for log in &logs {
            let folds = folds(&lab, log);
            fill(&db, &lab, &folds);
            for (at, view) in views.iter().enumerate() {
                let ours = table(&lab.app.projections[0].views[at], TableSlot::View(at), &folds);
                let theirs = ask(&db, &view.sql);
                prop_assert_eq!(settled(ours), settled(theirs), "{}", view.sql);
            }
        }
    }
}

#[test]
fn there_are_ten_thousand_cases_and_every_piece_of_sql_is_accepted() {
    assert!(APPS as usize * VIEWS * HISTORIES >= 10_000);
    let mut views = BTreeSet::new();
    for (group, needed) in GROUPS {
        views.insert((group.to_string(), needed.to_string(), "count(*)".to_owned()));
    }
    for filter in FILTERS {
        views.insert(("kind".into(), filter.to_string(), "count(*)".into()));
    }
    for aggregate in AGGREGATES {
        views.insert(("kind".into(), String::new(), aggregate.to_string()));
    }
    let texts = views.iter().enumerate().map(|(i, (group, filter, aggregate))| {
        let filters: Vec<_> = [filter.as_str()].into_iter().filter(|filter| !filter.is_empty()).collect();
        let outputs = [format!("{group} AS g0"), format!("{aggregate} AS a0")];
        let text = view(false, &outputs, &filters, " GROUP BY 1", "partition_key = [\"g0\"]");
        format!("[views.v{i}]\n{}\n", text.toml)
    });
    let lab = Lab::new(&texts.collect::<String>());
    assert_eq!(lab.app.projections[0].views.len(), views.len());
}
