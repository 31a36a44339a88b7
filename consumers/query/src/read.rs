//! Reading rows: one under its key, or a page of a range.

use std::hash::Hasher;

use bumpalo::Bump;
use bytes::Bytes;
use tidefold_codec::json_out::Longs;
use tidefold_codec::{Type, ordered, text};
use tidefold_http::{FieldError, Problem, ProblemKind};
use tidefold_record::partition_of;
use tidefold_store::{Scan, SharedStore};
use tidefold_table::limits::RECORD_KEY_BYTES;
use tidefold_table::rollup::{self, Group};
use tidefold_table::{GenerationTable, Row, TableKind, TableLayout};

use crate::allowed::allowed;
use crate::cursor;
use crate::request::{PageLimits, Query, given_twice, read_limit, successor};
use crate::rows;
use crate::scan::Scanner;
use crate::table::{ReadTable, store_problem};

/// A row's key.
pub(crate) struct Key {
    /// As the store has it; of a rollup: without the shard.
    pub(crate) bytes: Bytes,
    /// As the caller wrote it.
    pub(crate) text: String,
    /// The partition its rows come from, where the key says so.
    pub(crate) partition: Option<u32>,
}

/// A row, as JSON.
pub(crate) struct Found {
    /// The object.
    pub(crate) json: Vec<u8>,
    /// The entity's version, or what changes whenever the row does.
    pub(crate) version: u64,
}

/// Rows of a range.
pub(crate) struct Page {
    /// Objects, separated by commas.
    pub(crate) json: Vec<u8>,
    /// How many.
    pub(crate) rows: usize,
    /// Where the next page goes on, if there is one.
    pub(crate) next: Option<String>,
}

// === impl Page ===

impl Page {
    /// The one row that was asked for, or none.
    pub(crate) fn of(found: Option<Found>) -> Page {
        let rows = usize::from(found.is_some());
        Page { json: found.map(|found| found.json).unwrap_or_default(), rows, next: None }
    }
}

/// The most bytes of rows in a page, unless one row alone has more: what a caller may leave unread.
pub(crate) const PAGE_BYTES: usize = 1 << 20;

/// The rows that a page reads before it knows how large they are.
const FIRST_ROWS: usize = 101;

/// The most rows one store scan returns: a page of a rollup with many shards takes several scans.
const SCAN_ROWS: usize = 4_096;

/// The key in a path, for tables whose whole key is one column.
///
/// # Errors
/// When the key has several columns, or the text is no value of the column.
pub(crate) fn single_key(table: &ReadTable, key: &str) -> Result<Key, Problem> {
    let layout = &table.table.layout;
    let mut columns = layout.key_columns();
    let (Some((at, column)), None) = (columns.next(), columns.next()) else {
        let detail = format!("the key of {} has several columns; {}", layout.name, allowed(layout));
        return Err(Problem::new(ProblemKind::InvalidQuery, detail));
    };
    let name = layout.columns.get(at).map_or("key", |column| column.name.as_str());
    let arena = Bump::new();
    let datum = text::parse(&column.ty, key, &arena).map_err(|error| {
        let errors = vec![FieldError::in_parameter(name, "wrong_type", error.to_string())];
        Problem::new(ProblemKind::InvalidQuery, allowed(layout)).with_errors(errors)
    })?;
    if layout.kind == TableKind::Entity {
        return whole(entity_key_of(table, &[&column.ty], &[datum]), layout);
    }
    let mut bytes = Vec::new();
    ordered::encode(&column, datum, &mut bytes);
    Ok(Key { bytes: bytes.into(), text: key.to_owned(), partition: None })
}

/// An entity's key in a query string: equality on every key column and nothing else.
///
/// # Errors
/// Every parameter that is wrong or missing.
pub(crate) fn entity_key(
    table: &ReadTable,
    pairs: &[(String, String)],
    limits: PageLimits,
) -> Result<Key, Problem> {
    let layout = &table.table.layout;
    let arena = Bump::new();
    let keys: Vec<_> = layout.key_columns().collect();
    let (mut datums, mut errors) = (Vec::new(), Vec::new());
    for (at, column) in &keys {
        let name = layout.columns.get(*at).map_or("", |column| column.name.as_str());
        let is_it = |parameter: &str| parameter.strip_suffix(".eq").unwrap_or(parameter) == name;
        match pairs.iter().find(|(parameter, _)| is_it(parameter)) {
            None => errors.push(FieldError::in_parameter(name, "missing", format!("{name} has to be given"))),
            Some((_, value)) => match text::parse(&column.ty, value, &arena) {
                Ok(datum) => datums.push(datum),
                Err(error) => errors.push(FieldError::in_parameter(name, "wrong_type", error.to_string())),
            },
        }
    }
    for (place, (parameter, value)) in pairs.iter().enumerate() {
        if pairs.iter().take(place).any(|(before, _)| before == parameter) {
            errors.push(given_twice(parameter));
            continue;
        }
        let column = parameter.strip_suffix(".eq").unwrap_or(parameter);
        let known = keys.iter().any(|(at, _)| layout.columns.get(*at).is_some_and(|c| c.name == column));
        if known
            && pairs
                .iter()
                .take(place)
                .any(|(before, _)| before.strip_suffix(".eq").unwrap_or(before) == column)
        {
            errors.push(given_twice(parameter));
            continue;
        }
        if parameter == "limit" {
            errors.extend(read_limit(value, limits).err());
        } else if !known {
            let detail = match layout.columns.iter().any(|known| known.name == column) {
                true => {
                    format!("{} can be asked by its whole key only; declare an index for more", layout.name)
                }
                false => crate::advice::unknown(layout, parameter),
            };
            errors.push(FieldError::in_parameter(parameter.as_str(), "not_allowed_by_key", detail));
        }
    }
    if !errors.is_empty() {
        return Err(Problem::new(ProblemKind::InvalidQuery, allowed(layout)).with_errors(errors));
    }
    let types: Vec<&Type> = keys.iter().map(|(_, column)| &column.ty).collect();
    whole(entity_key_of(table, &types, &datums), layout)
}

/// An entity's key that an entity can have: others have no row for ever.
fn whole(key: Key, layout: &TableLayout) -> Result<Key, Problem> {
    if (1..=RECORD_KEY_BYTES).contains(&key.bytes.len()) {
        return Ok(key);
    }
    let detail = format!("a key has 1 to {RECORD_KEY_BYTES} bytes; this one has {}", key.bytes.len());
    let names = layout.key_columns().filter_map(|(at, _)| Some(layout.columns.get(at)?.name.clone()));
    let errors =
        names.take(1).map(|name| FieldError::in_parameter(name, "out_of_range", detail.clone())).collect();
    Err(Problem::new(ProblemKind::InvalidQuery, allowed(layout)).with_errors(errors))
}

fn entity_key_of(table: &ReadTable, types: &[&Type], datums: &[tidefold_codec::Datum<'_>]) -> Key {
    let mut key = Vec::new();
    text::write_key(types, datums, &mut key);
    let partition = partition_of(&key, table.topic().partitions).0;
    Key { text: String::from_utf8_lossy(&key).into_owned(), bytes: key.into(), partition: Some(partition) }
}

/// The row under a key.
///
/// # Errors
/// The store's trouble, or a damaged row.
pub(crate) async fn row(
    store: &SharedStore,
    table: &ReadTable,
    key: &Bytes,
    longs: Longs,
) -> Result<Option<Found>, Problem> {
    let mut json = Vec::with_capacity(256);
    if let Some(view) = table.view().filter(|view| view.layout.kind == TableKind::Rollup) {
        // A key of one column has no bucket in it: a view with buckets has clustering columns.
        let prefix = table.prefix(key)?;
        let scan = Scan::Range { prefix, from: None, until: None, limit: SCAN_ROWS };
        let shards = store.scan(&table.table.id, &scan).await.map_err(store_problem)?;
        let groups = add_up(table, &shards, true)?;
        let Some((group_key, group)) = groups.into_iter().find(|(_, group)| group.count > 0) else {
            return Ok(None);
        };
        rows::write_group(&view.layout, group_key, &group, longs, &mut json)
            .map_err(table.broken(group_key))?;
        return Ok(Some(Found { json, version: stamp_of(&shards) }));
    }
    let loaded = store.load(&table.table.id, std::slice::from_ref(key)).await.map_err(store_problem)?;
    let Some(value) = loaded.into_iter().next().flatten() else { return Ok(None) };
    let version = match table.entity() {
        Some(entity) => rows::write_entity(entity, &value, longs, &mut json),
        None => rows::write_index(&table.table.layout, key, &value, longs, &mut json).map(|at| Some(at.0)),
    };
    let version = version.map_err(table.broken(key))?;
    Ok(version.map(|version| Found { json, version }))
}

/// A page of a range.
///
/// # Errors
/// The store's trouble, or a damaged row.
pub(crate) async fn page(store: &SharedStore, table: &ReadTable, query: &Query) -> Result<Page, Problem> {
    match table.view().filter(|view| view.layout.kind == TableKind::Rollup) {
        Some(_) => rollup_page(store, table, query).await,
        None => index_page(store, table, query).await,
    }
}

async fn index_page(store: &SharedStore, table: &ReadTable, query: &Query) -> Result<Page, Problem> {
    let scanner = Scanner { store, table, query };
    let (mut json, mut rows, mut last, mut from) = (Vec::new(), 0, None::<Bytes>, query.from.clone());
    let mut bite = FIRST_ROWS.min(query.limit + 1);
    loop {
        let found = scanner.rows(from, bite).await?;
        let at_end = found.len() < bite;
        for row in found {
            let before = json.len();
            if rows > 0 {
                json.push(b',');
            }
            rows::write_index(&table.table.layout, &row.key, &row.value, query.longs, &mut json)
                .map_err(table.broken(&row.key))?;
            if rows == query.limit || (rows > 0 && json.len() > PAGE_BYTES) {
                json.truncate(before);
                return Ok(Page { json, rows, next: last.map(|key| cursor::write(query.filter_hash, &key)) });
            }
            rows += 1;
            last = Some(row.key);
        }
        if at_end {
            return Ok(Page { json, rows, next: None });
        }
        from = last.as_ref().map(|key| [&key[..], &[0]].concat().into());
        // No more rows are read than are likely to find room.
        let room = PAGE_BYTES.saturating_sub(json.len()) / (json.len() / rows.max(1)).max(1);
        bite = (query.limit + 1 - rows).min(room + 1);
    }
}

async fn rollup_page(store: &SharedStore, table: &ReadTable, query: &Query) -> Result<Page, Problem> {
    let wanted = (query.limit + 1) * table.topic().partitions as usize;
    let mut from = query.from.clone();
    let scanner = Scanner { store, table, query };
    let (mut json, mut written, mut last_key) = (Vec::new(), 0, Vec::new());
    loop {
        let limit = wanted.clamp(
            table.topic().partitions as usize + 1,
            SCAN_ROWS.max(table.topic().partitions as usize + 1),
        );
        let shards = scanner.rows(from, limit).await?;
        let at_end = shards.len() < limit;
        let groups = add_up(table, &shards, at_end)?;
        let resume = groups.last().and_then(|(key, _)| successor(key));
        for (key, group) in groups {
            if group.count <= 0 {
                continue;
            }
            if written == query.limit {
                return Ok(Page {
                    json,
                    rows: written,
                    next: Some(cursor::write(query.filter_hash, &last_key)),
                });
            }
            let before = json.len();
            if written > 0 {
                json.push(b',');
            }
            rows::write_group(&table.table.layout, key, &group, query.longs, &mut json)
                .map_err(table.broken(key))?;
            if written > 0 && json.len() > PAGE_BYTES {
                json.truncate(before);
                let next = Some(cursor::write(query.filter_hash, &last_key));
                return Ok(Page { json, rows: written, next });
            }
            written += 1;
            last_key = key.to_vec();
        }
        match resume {
            Some(resume) if !at_end => from = Some(resume.into()),
            _ => return Ok(Page { json, rows: written, next: None }),
        }
    }
}

/// Shards of groups, added up.
///
/// # Errors
/// A damaged row.
pub(crate) fn add_up<'r>(
    table: &ReadTable,
    shards: &'r [Row],
    whole: bool,
) -> Result<Vec<(&'r [u8], Group)>, Problem> {
    let GenerationTable { id, layout } = &table.table;
    rollup::add_up(layout, id, shards, whole).map_err(|damaged| store_problem(damaged.into()))
}

/// What changes with any shard of a group: the largest offset alone would stay when another partition's shard moves on.
fn stamp_of(shards: &[Row]) -> u64 {
    let mut hash = twox_hash::XxHash3_64::default();
    for row in shards {
        hash.write(&row.key);
        hash.write(&row.value);
    }
    hash.finish()
}
