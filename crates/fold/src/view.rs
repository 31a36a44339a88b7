//! The rows a state or an event makes in a view. A view is a pure function of one state or one event, and total: what
//! cannot be evaluated is NULL. A row whose key (or another column that is never NULL) cannot be evaluated is left out.

use bumpalo::Bump;
use smallvec::SmallVec;
use tidefold_app::expr::{Expr, ViewSource};
use tidefold_app::model::{Aggregate, Projection, RollupColumn, View, ViewKind};
use tidefold_codec::ordered::{self, KeyColumn};
use tidefold_codec::{ColumnType, Datum, columns};
use tidefold_record::Partition;
use tidefold_table::bucket::{BUCKET_BYTES, Bucketing};
use tidefold_table::component::{Delta, Keeps};
use tidefold_table::{Verdict, distinct, limits};

use crate::eval::{Env, eval, matches};
use crate::made::{IndexRows, Made, RollupRows};
use crate::transition::{Envelope, Message, Transition};

/// What is worked out once for a view.
#[derive(Debug)]
pub(crate) struct ViewPlan {
    /// The key's columns: place in the layout, encoding.
    keys: Vec<(usize, KeyColumn)>,
    /// How many of them are the partition key, and how rows find their buckets behind it.
    partition_columns: usize,
    bucketing: Option<Bucketing>,
    /// The places of the other columns.
    values: Vec<usize>,
    /// The longest key.
    key_bytes: usize,
    /// The largest value of one `min` or `max`.
    extreme_bytes: usize,
}

/// A row beyond the bounds of rows.
#[derive(Debug)]
pub(crate) struct TooLarge {
    code: &'static str,
    table: String,
    what: &'static str,
    found: usize,
    bound: usize,
}

/// The bytes of rows that a record may still make. `None` where they are not judged: rows of a state that is stored were
/// judged when it was.
pub(crate) type Room<'r> = Option<&'r mut usize>;

/// Makes the rows that every view has of a record: of the entity's states before and after it, or, where there is no entity,
/// of what happened. A row beyond the bounds makes the record dead.
#[inline]
pub(crate) fn derive<'a>(
    projection: &'a Projection,
    plans: &[ViewPlan],
    partition: Partition,
    transition: &Transition<'a>,
    arena: &'a Bump,
    made: &mut [Made],
) -> Result<(), TooLarge> {
    let mut room = limits::RECORD_ROWS_BYTES;
    let has_entity = projection.entity.is_some();
    let (before, after) = if has_entity {
        let env = |state: &'a [Datum<'a>]| Env { state, ..Env::new(arena) };
        (transition.old.map(env), transition.new.map(env))
    } else {
        (None, transition.message.map(|message| of_event(&message, arena)))
    };
    let event = transition.message.map(|message| message.index);
    for ((view, plan), made) in projection.views.iter().zip(plans).zip(made) {
        made.clear();
        if !has_entity && view.source.event != event {
            continue;
        }
        match made {
            Made::Index(old, new) => {
                if let Some(env) = before {
                    plan.index(view, env, None, old)?;
                }
                if let Some(env) = after {
                    plan.index(view, env, Some(&mut room), new)?;
                }
            }
            Made::Rollup(rows) => {
                if let Some(env) = before {
                    plan.rollup(view, env, partition, -1, None, rows)?;
                }
                if let Some(env) = after {
                    plan.rollup(view, env, partition, 1, Some(&mut room), rows)?;
                }
            }
        }
    }
    Ok(())
}

fn of_event<'a>(message: &Message<'a>, arena: &'a Bump) -> Env<'a> {
    let Envelope { event_time_micros, append_time_micros, caller, .. } = message.envelope;
    Env { message: message.fields, event_time_micros, append_time_micros, caller, ..Env::new(arena) }
}

// === impl ViewPlan ===

impl ViewPlan {
    pub(crate) fn new(view: &View) -> ViewPlan {
        ViewPlan {
            keys: view.layout.key_columns().collect(),
            partition_columns: view.layout.partition_key.len(),
            bucketing: view.layout.bucketing(),
            values: view.layout.value_columns().map(|(at, _)| at).collect(),
            key_bytes: limits::row_key_bytes(&view.layout),
            extreme_bytes: limits::EXTREMES_BYTES / extremes(view).max(1),
        }
    }

    fn judge_key(&self, view: &View, found: usize) -> Result<(), TooLarge> {
        let what = "the key of a row, as it is stored,";
        bound("key_too_large", view, what, found, self.key_bytes)
    }

    /// Appends the stored key of a row; `None` where a column of it has no value.
    fn key<'a>(&self, datum: impl Fn(usize) -> Option<Datum<'a>>, bytes: &mut Vec<u8>) -> Option<()> {
        let mut bucket = 0;
        for (place, (at, column)) in self.keys.iter().enumerate() {
            if place == self.partition_columns && self.bucketing.is_some() {
                bucket = bytes.len();
                bytes.extend_from_slice(&[0; BUCKET_BYTES]);
            }
            ordered::encode(column, datum(*at)?, bytes);
        }
        if let Some(bucketing) = &self.bucketing {
            let behind = bucket + BUCKET_BYTES;
            let found = bucketing.of(bytes.get(behind..)?);
            bytes.get_mut(bucket..behind)?.copy_from_slice(&found);
        }
        Some(())
    }

    /// Adds the rows that a state or event makes in an index.
    fn index<'a>(
        &self,
        view: &'a View,
        env: Env<'a>,
        mut room: Room<'_>,
        out: &mut IndexRows,
    ) -> Result<(), TooLarge> {
        let ViewKind::Index { columns } = &view.kind else { return Ok(()) };
        source_rows(&view.source, env, |env| {
            let bytes = out.buffer();
            let start = bytes.len();
            let Some(value) = self.index_row(view, columns, env, bytes) else {
                bytes.truncate(start);
                return Ok(());
            };
            let size = bytes.len() - start;
            out.end(start, value);
            let Some(room) = room.as_deref_mut() else { return Ok(()) };
            self.judge_key(view, value - start)?;
            bound("row_too_large", view, "a row", size, limits::ROW_BYTES)?;
            take(view, room, size)
        })
    }

    /// Appends a row; where its value starts.
    fn index_row<'a>(
        &self,
        view: &'a View,
        columns: &'a [Expr],
        env: &Env<'a>,
        bytes: &mut Vec<u8>,
    ) -> Option<usize> {
        self.key(|at| value(columns.get(at)?, env), bytes)?;
        let start = bytes.len();
        let mut slots: SmallVec<[Datum<'a>; 12]> = SmallVec::new();
        for at in &self.values {
            let slot = value(columns.get(*at)?, env);
            if slot.is_none() && !view.layout.columns.get(*at)?.column.nullable {
                return None;
            }
            slots.push(slot.unwrap_or(Datum::Null));
        }
        let types = self.values.iter().filter_map(|at| view.layout.columns.get(*at)).map(|c| &c.column);
        columns::encode(types, &slots, bytes);
        Some(start)
    }

    /// Adds what a state or event adds to the groups of a rollup, `sign` times: 1 or -1.
    fn rollup<'a>(
        &self,
        view: &'a View,
        env: Env<'a>,
        partition: Partition,
        sign: i64,
        mut room: Room<'_>,
        out: &mut RollupRows,
    ) -> Result<(), TooLarge> {
        let ViewKind::Rollup { columns, groups, aggregates } = &view.kind else { return Ok(()) };
        source_rows(&view.source, env, |env| {
            let datum = |at: usize| match columns.get(at) {
                Some(RollupColumn::Group(group)) => value(groups.get(*group)?, env),
                _ => None,
            };
            let key = out.key();
            if self.key(datum, key).is_none() {
                return Ok(());
            }
            key.extend_from_slice(&partition.0.to_be_bytes());
            if room.is_some() {
                self.judge_key(view, key.len())?;
            }
            let before = out.size_bytes();
            out.add_row(sign);
            let mut at = 0;
            for aggregate in aggregates {
                let extreme = add(aggregate, at, env, sign, out);
                at += aggregate.function.keeps.len();
                let what = "a value of `min` or `max`";
                bound("row_too_large", view, what, extreme, self.extreme_bytes)?;
            }
            match room.as_deref_mut() {
                Some(room) => take(view, room, out.size_bytes() - before),
                None => Ok(()),
            }
        })
    }
}

/// How many values of a row may be as large as what the app is sent.
fn extremes(view: &View) -> usize {
    let ViewKind::Rollup { aggregates, .. } = &view.kind else { return 0 };
    let keeps = aggregates.iter().flat_map(|aggregate| aggregate.function.keeps);
    keeps.filter(|keeps| matches!(keeps, Keeps::Smallest | Keeps::Largest)).count()
}

fn bound(
    code: &'static str,
    view: &View,
    what: &'static str,
    found: usize,
    bound: usize,
) -> Result<(), TooLarge> {
    if found <= bound {
        return Ok(());
    }
    Err(TooLarge { code, table: view.name.clone(), what, found, bound })
}

/// Takes a row's bytes from what the record may still make.
fn take(view: &View, room: &mut usize, size: usize) -> Result<(), TooLarge> {
    match room.checked_sub(size) {
        Some(left) => {
            *room = left;
            Ok(())
        }
        None => {
            let found = limits::RECORD_ROWS_BYTES - *room + size;
            let what = "the rows that the record makes in views up to this one";
            bound("rows_too_large", view, what, found, limits::RECORD_ROWS_BYTES)
        }
    }
}

/// The rows that views take in: the state or event itself, or each element of its array, where the filter is TRUE.
fn source_rows<'a>(
    source: &'a ViewSource,
    env: Env<'a>,
    mut row: impl FnMut(&Env<'a>) -> Result<(), TooLarge>,
) -> Result<(), TooLarge> {
    let passes = |env: &Env<'a>| match &source.filter {
        Some(filter) => matches(filter, env).unwrap_or(false),
        None => true,
    };
    let Some(unnest) = &source.unnest else {
        return if passes(&env) { row(&env) } else { Ok(()) };
    };
    let Ok(Datum::Encoded(array)) = eval(&unnest.array, &env) else { return Ok(()) };
    let mut env = env;
    for element in columns::elements(&unnest.element, array) {
        let Ok(element) = element else { return Ok(()) };
        env.element = element;
        env.ordinality += 1;
        if passes(&env) {
            row(&env)?;
        }
    }
    Ok(())
}

/// A value that is there.
fn value<'a>(expr: &'a Expr, env: &Env<'a>) -> Option<Datum<'a>> {
    match eval(expr, env) {
        Ok(Datum::Null) | Err(_) => None,
        Ok(datum) => Some(datum),
    }
}

/// Adds what one source row does to the components of one aggregate, which start at this place; how many bytes a row keeps
/// of it besides what it has anyway.
fn add<'a>(aggregate: &'a Aggregate, at: usize, env: &Env<'a>, sign: i64, rows: &mut RollupRows) -> usize {
    if let Some(filter) = &aggregate.filter
        && !matches(filter, env).unwrap_or(false)
    {
        return 0;
    }
    let Some(argument) = &aggregate.argument else {
        rows.add(at, Delta::Count(sign));
        return 0;
    };
    let Some(datum) = value(argument, env) else { return 0 };
    let mut bytes = 0;
    for (at, keeps) in (at..).zip(aggregate.function.keeps) {
        match keeps {
            Keeps::Count => rows.add(at, Delta::Count(sign)),
            // A decimal has at most 127 bits, and so has the square of a number that the checker let be squared; a sign is
            // one of two, so the product is the number or its opposite.
            Keeps::Sum => {
                let number = number(datum).wrapping_mul(i128::from(sign));
                rows.add(at, Delta::Sum(number.into(), sign));
            }
            Keeps::Squares => {
                let number = number(datum);
                let square = number.wrapping_mul(number).wrapping_mul(i128::from(sign));
                rows.add(at, Delta::Sum(square.into(), sign));
            }
            Keeps::Smallest | Keeps::Largest => {
                with_bytes(aggregate, datum, |datum| {
                    rows.add(at, Delta::Extreme(datum));
                    bytes += datum.len();
                });
            }
            Keeps::Distinct => {
                with_bytes(aggregate, datum, |datum| rows.add(at, Delta::Distinct(distinct::hash(datum))));
            }
        }
    }
    bytes
}

/// What a sum adds of a value: the number without its point, or 1 of TRUE.
fn number(datum: Datum<'_>) -> i128 {
    match datum {
        Datum::Long(number) => i128::from(number),
        Datum::Decimal(number) => number,
        Datum::Boolean(yes) => i128::from(yes),
        Datum::Null | Datum::Double(_) | Datum::Text(_) | Datum::Bytes(_) | Datum::Encoded(_) => 0,
    }
}

/// The value's datum, of the argument's type without null.
fn with_bytes(aggregate: &Aggregate, datum: Datum<'_>, then: impl FnOnce(&[u8])) {
    let Some(column) = &aggregate.argument_type else { return };
    let column = ColumnType { ty: column.ty.clone(), nullable: false };
    let mut bytes = Vec::with_capacity(32);
    columns::encode([&column], &[datum], &mut bytes);
    then(&bytes);
}

// === impl TooLarge ===

impl TooLarge {
    pub(crate) fn verdict(&self) -> Verdict {
        let TooLarge { code, table, what, found, bound } = self;
        Verdict::dead(code, format_args!("table {table}: {what} has {found} bytes, more than {bound}"))
    }
}
