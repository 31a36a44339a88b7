//! A query string, judged against a table's key.
//!
//! The key allows: equality on all of the partition key, equality on some of the clustering columns from the front, then
//! one range on the next. Everything else is refused, with every mistake named and what the key allows said.

use bumpalo::Bump;
use bytes::Bytes;
use tidefold_codec::json_out::Longs;
use tidefold_codec::ordered::{self, KeyColumn};
use tidefold_codec::{Datum, text};
use tidefold_http::{FieldError, Problem, ProblemKind};
use tidefold_table::bucket::BUCKET_BYTES;
use tidefold_table::{TableKind, TableLayout};

use crate::advice;
use crate::allowed::{BUCKETS_MAX, allowed, by_time};
use crate::cursor;

/// A range scan of a table, ready for the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// The bytes every row's key starts with.
    pub prefix: Bytes,
    /// The first key.
    pub from: Option<Bytes>,
    /// The key before which to stop.
    pub until: Option<Bytes>,
    /// At most this many rows are returned.
    pub limit: usize,
    /// What a cursor of this query carries.
    pub filter_hash: u64,
    /// The buckets that its rows may lie in; `None` of a table without. `prefix`, `from` and `until` have no bucket in
    /// them.
    pub buckets: Option<Buckets>,
    /// How longs are written.
    pub longs: Longs,
}

/// The buckets that rows of a query may lie in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Buckets {
    /// How many bytes of a key are in front of the bucket: the partition key.
    pub at: usize,
    /// The buckets, in key order.
    pub each: Vec<[u8; BUCKET_BYTES]>,
    /// Whether all rows of one come before those of the next.
    pub in_order: bool,
}

/// How many rows a page may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageLimits {
    /// Where the caller says nothing.
    pub default: usize,
    /// At most.
    pub max: usize,
}

/// A comparison of a parameter: `column=` (or `column.eq=`), `column.gte=` and its kin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// A condition as the query string has it.
struct Condition<'q> {
    parameter: &'q str,
    column: usize,
    comparison: Comparison,
    text: &'q str,
}

/// A reading of one query string.
struct Reading<'a> {
    layout: &'a TableLayout,
    errors: Vec<FieldError>,
    arena: Bump,
}

/// Reads a query string.
///
/// # Errors
/// A problem with every mistake and what the key allows.
pub fn read(layout: &TableLayout, pairs: &[(String, String)], limits: PageLimits) -> Result<Query, Problem> {
    let mut reading = Reading { layout, errors: Vec::new(), arena: Bump::new() };
    let (mut limit, mut cursor_text) = (limits.default, None);
    let mut conditions = Vec::new();
    for (place, (name, value)) in pairs.iter().enumerate() {
        if pairs.iter().take(place).any(|(before, _)| before == name) {
            reading.errors.push(given_twice(name));
            continue;
        }
        match name.as_str() {
            "limit" => limit = reading.limit(value, limits),
            "cursor" => cursor_text = Some(value.as_str()),
            _ => conditions.extend(reading.condition(name, value)),
        }
    }
    let bounds = reading.bounds(&conditions);
    let buckets = reading.buckets(&conditions, &bounds);
    if !reading.errors.is_empty() {
        return Err(Problem::new(ProblemKind::InvalidQuery, allowed(layout)).with_errors(reading.errors));
    }
    let Bounds { prefix, mut from, until, .. } = bounds;
    let filter_hash = filter_hash(layout, pairs);
    if let Some(text) = cursor_text {
        let key =
            cursor::read(text, filter_hash).filter(|key| key.starts_with(&prefix)).ok_or_else(|| {
                Problem::new(
                    ProblemKind::InvalidCursor,
                    "use next_cursor of the page before, with the same parameters",
                )
            })?;
        // A cursor that was made up may lie before the range; it never widens it.
        from = from.max(Some(following(layout, &key)));
    }
    Ok(Query { prefix: prefix.into(), from, until, limit, filter_hash, buckets, longs: Longs::Number })
}

/// The first key behind a row (of a rollup: behind all shards of a group).
fn following(layout: &TableLayout, key: &[u8]) -> Bytes {
    if layout.kind == TableKind::Rollup {
        return after(key);
    }
    let mut next = key.to_vec();
    next.push(0);
    next.into()
}

/// The smallest byte string above every one that starts with `prefix`; `None` where there is none.
#[must_use]
pub fn successor(prefix: &[u8]) -> Option<Vec<u8>> {
    let end = prefix.iter().rposition(|byte| *byte != 0xff)?;
    let mut next = prefix[..=end].to_vec();
    next[end] += 1;
    Some(next)
}

/// The first key above every one that starts with `prefix`, or one above every key of at most a kilobyte more.
fn after(prefix: &[u8]) -> Bytes {
    let beyond = || [prefix, &[0xff; 1_024]].concat();
    successor(prefix).unwrap_or_else(beyond).into()
}

/// A parameter that stands in the query again.
pub(crate) fn given_twice(parameter: &str) -> FieldError {
    FieldError::in_parameter(parameter, "given_twice", format!("{parameter} is given more than once"))
}

/// Reads `limit`.
pub(crate) fn read_limit(text: &str, limits: PageLimits) -> Result<usize, FieldError> {
    let limit = text.parse::<usize>().ok().filter(|limit| (1..=limits.max).contains(limit));
    let detail = || format!("limit is a number from 1 to {}", limits.max);
    limit.ok_or_else(|| FieldError::in_parameter("limit", "out_of_range", detail()))
}

/// What a cursor carries besides its key. The key's form is part of it: a deploy that changes it ends old cursors.
fn filter_hash(layout: &TableLayout, pairs: &[(String, String)]) -> u64 {
    let mut filters: Vec<_> = pairs.iter().filter(|(name, _)| name != "cursor" && name != "limit").collect();
    filters.sort();
    let mut text = layout.name.clone();
    for (at, column) in layout.key_columns() {
        text.push_str(&format!("\0{at}{}{:?}", column.descending, column.ty));
    }
    if let Some(bucket) = layout.bucket {
        text.push_str(&format!("\0{bucket}"));
    }
    for (name, value) in filters {
        text.push('\0');
        text.push_str(name);
        text.push('\0');
        text.push_str(value);
    }
    twox_hash::XxHash3_64::oneshot(text.as_bytes())
}

/// What the conditions come to, in bytes.
struct Bounds {
    prefix: Vec<u8>,
    from: Option<Bytes>,
    until: Option<Bytes>,
    /// How many key columns are fixed.
    fixed: usize,
    /// How many bytes of the prefix are the partition key.
    partition: usize,
}

// === impl Reading ===

impl<'a> Reading<'a> {
    fn refuse(&mut self, parameter: &str, code: &'static str, detail: String) {
        self.errors.push(FieldError::in_parameter(parameter, code, detail));
    }

    fn limit(&mut self, text: &str, limits: PageLimits) -> usize {
        read_limit(text, limits).unwrap_or_else(|error| {
            self.errors.push(error);
            limits.default
        })
    }

    fn condition<'q>(&mut self, parameter: &'q str, text: &'q str) -> Option<Condition<'q>> {
        let (column, comparison) = match parameter.rsplit_once('.') {
            None => (parameter, Comparison::Equal),
            Some((column, "eq")) => (column, Comparison::Equal),
            Some((column, "gt")) => (column, Comparison::Greater),
            Some((column, "gte")) => (column, Comparison::GreaterOrEqual),
            Some((column, "lt")) => (column, Comparison::Less),
            Some((column, "lte")) => (column, Comparison::LessOrEqual),
            Some((_, other)) => {
                let detail = format!("there is no comparison `{other}`; there are eq, gt, gte, lt and lte");
                self.refuse(parameter, "unknown_comparison", detail);
                return None;
            }
        };
        let in_key = |at: &usize| self.layout.key_columns().any(|(key, _)| key == *at);
        match self.layout.column(column) {
            Some(at) if in_key(&at) => Some(Condition { parameter, column: at, comparison, text }),
            Some(_) => {
                self.refuse(
                    parameter,
                    "not_in_key",
                    format!("{column} is not in the key of {}", self.layout.name),
                );
                None
            }
            None => {
                let detail = advice::unknown(self.layout, column);
                self.refuse(parameter, "unknown_column", detail);
                None
            }
        }
    }

    /// Equality on a prefix of the key, then one range.
    fn bounds(&mut self, conditions: &[Condition<'_>]) -> Bounds {
        let key: Vec<(usize, KeyColumn)> = self.layout.key_columns().collect();
        let mut prefix = Vec::new();
        let mut used = vec![false; conditions.len()];
        let mut fixed = 0;
        let mut partition = 0;
        for (at, column) in &key {
            let equal = |c: &Condition<'_>| c.column == *at && c.comparison == Comparison::Equal;
            let Some(place) = conditions.iter().position(equal) else { break };
            used[place] = true;
            self.encode(column, &conditions[place], &mut prefix);
            fixed += 1;
            if fixed == self.layout.partition_key.len() {
                partition = prefix.len();
            }
        }
        for (at, _) in key.iter().take(self.layout.partition_key.len()).skip(fixed) {
            let name = self.layout.columns[*at].name.clone();
            self.refuse(&name, "missing", format!("{name} is in the partition key and has to be given"));
        }
        let (mut from, mut until) = (None, None);
        if let Some((at, column)) = key.get(fixed).filter(|_| fixed >= self.layout.partition_key.len()) {
            for (place, condition) in conditions.iter().enumerate().filter(|(_, c)| c.column == *at) {
                used[place] = true;
                self.range(column, condition, &prefix, &mut from, &mut until);
            }
        }
        for (condition, _) in conditions.iter().zip(&used).filter(|(_, used)| !**used) {
            let detail = format!("{} cannot be used here", condition.parameter);
            self.refuse(condition.parameter, "not_allowed_by_key", detail);
        }
        Bounds { prefix, from, until, fixed, partition }
    }

    /// The buckets to be read. A mistake that was found before leaves some that nobody reads.
    fn buckets(&mut self, conditions: &[Condition<'_>], bounds: &Bounds) -> Option<Buckets> {
        let bucketing = self.layout.bucketing()?;
        let at = bounds.partition;
        let clustering = bounds.prefix.get(at..).unwrap_or_default();
        let Some(unit) = by_time(self.layout) else {
            let whole = bounds.fixed == self.layout.partition_key.len() + self.layout.clustering.len();
            let each = if whole { vec![bucketing.of(clustering)] } else { bucketing.all() };
            return Some(Buckets { at, each, in_order: whole });
        };
        if bounds.fixed < self.layout.partition_key.len() {
            return None;
        }
        if bounds.fixed > self.layout.partition_key.len() {
            return Some(Buckets { at, each: vec![bucketing.of(clustering)], in_order: true });
        }
        let first = self.layout.clustering.first()?.column;
        let name = self.layout.columns.get(first)?.name.clone();
        let (low, high) = self.ends(conditions, first)?;
        let (Some(low), Some(high)) = (low, high) else {
            let missing = if low.is_none() { format!("{name}.gte") } else { format!("{name}.lt") };
            let parameter = if low.or(high).is_none() { &name } else { &missing };
            let detail = format!(
                "{} is split by the {unit} of {name}: give {name}, or both ends of a range ({name}.gte=…&{name}.lt=…)",
                self.layout.name
            );
            self.refuse(parameter, "missing", detail);
            return None;
        };
        let each = bucketing.between(low, high, BUCKETS_MAX);
        if each.is_none() {
            let detail =
                format!("the range of {name} spans more than {BUCKETS_MAX} {unit}s: ask for it in parts");
            self.refuse(&name, "out_of_range", detail);
        }
        Some(Buckets { at, each: each?, in_order: true })
    }

    /// The smallest and largest value that a range on a column lets through, each where the range says it; `None` where
    /// one cannot be read, which was reported.
    fn ends(&self, conditions: &[Condition<'_>], at: usize) -> Option<(Option<i64>, Option<i64>)> {
        let ty = &self.layout.columns.get(at)?.column.ty;
        let (mut low, mut high) = (None, None);
        for condition in conditions.iter().filter(|condition| condition.column == at) {
            let Ok(Datum::Long(value)) = text::parse(ty, condition.text, &self.arena) else { return None };
            match condition.comparison {
                Comparison::Equal => (low, high) = (Some(value), Some(value)),
                Comparison::Greater => low = Some(value.saturating_add(1)),
                Comparison::GreaterOrEqual => low = Some(value),
                Comparison::Less => high = Some(value.saturating_sub(1)),
                Comparison::LessOrEqual => high = Some(value),
            }
        }
        Some((low, high))
    }

    fn encode(&mut self, column: &KeyColumn, condition: &Condition<'_>, out: &mut Vec<u8>) {
        match text::parse(&column.ty, condition.text, &self.arena) {
            Ok(datum) => ordered::encode(column, datum, out),
            Err(error) => {
                let error = FieldError::in_parameter(condition.parameter, "wrong_type", error.to_string());
                self.errors.push(error);
            }
        }
    }

    /// Narrows the bounds by one comparison. In a descending column larger values have smaller bytes.
    fn range(
        &mut self,
        column: &KeyColumn,
        condition: &Condition<'_>,
        prefix: &[u8],
        from: &mut Option<Bytes>,
        until: &mut Option<Bytes>,
    ) {
        let mut here = prefix.to_vec();
        self.encode(column, condition, &mut here);
        let (lower, inclusive) = match condition.comparison {
            Comparison::Greater => (true, false),
            Comparison::GreaterOrEqual => (true, true),
            Comparison::Less => (false, false),
            Comparison::LessOrEqual => (false, true),
            Comparison::Equal => return,
        };
        let starts = lower != column.descending;
        let bound: Bytes = if starts == inclusive { here.into() } else { after(&here) };
        let slot = if starts { from } else { until };
        if slot.is_some() {
            self.refuse(
                condition.parameter,
                "given_twice",
                format!("{} has this bound already", condition.parameter),
            );
        }
        *slot = Some(bound);
    }
}

#[cfg(test)]
mod tests;
