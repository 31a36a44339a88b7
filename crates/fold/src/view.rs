//! The rows a state or an event makes in a view. A view is a pure function of one state or one event, and total: what
//! cannot be evaluated is NULL. A row whose key (or another column that is never NULL) cannot be evaluated is left out.

use bumpalo::Bump;
use tidefold_app::expr::{Expr, Unnest};
use tidefold_app::model::{Aggregate, Projection, RollupColumn, View, ViewKind};
use tidefold_codec::ordered::{self, KeyColumn};
use tidefold_codec::{ColumnType, Datum, columns};
use tidefold_record::Partition;
use tidefold_table::bucket::{BUCKET_BYTES, Bucketing};
use tidefold_table::component::{Delta, Keeps};
use tidefold_table::rollup::shard;
use tidefold_table::{Verdict, distinct, limits};

use crate::eval::{Env, eval, matches};
use crate::made::{IndexRows, Made, RollupRows};
use crate::transition::{Envelope, Message, Transition};

/// What is worked out once for a view.
#[derive(Debug)]
pub(crate) struct ViewPlan {
    /// The key's columns: place of the expression (of a rollup, among its groups), encoding.
    keys: Vec<(usize, KeyColumn)>,
    /// How many of them are the partition key, and how rows find their buckets behind it.
    partition_columns: usize,
    bucketing: Option<Bucketing>,
    /// Of an index: the places of the other columns.
    others: Vec<usize>,
    /// The longest key.
    key_bytes: usize,
    /// The largest value of one `min` or `max`.
    extreme_bytes: usize,
}

/// The rollup that a row is added to.
#[derive(Clone, Copy)]
struct Groups<'v> {
    view: &'v View,
    aggregates: &'v [Aggregate],
    partition: Partition,
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

/// What a row of a view is made of: the values of its key's columns, then of an index those of the other columns, of a rollup
/// for each aggregate what the row adds to it (TRUE where that has no argument, NULL where it is nothing).
type Values<'a> = [Datum<'a>];

/// The bytes of rows that a record may still make.
struct Room {
    left: usize,
    /// How many rows stay as they are and were not made, so that their bytes are not counted.
    unmade: usize,
    /// Whether such rows are made all the same.
    makes_all: bool,
}

/// Whether a row goes or comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    /// It was of a state that is stored, and judged when that was.
    Goes,
    Comes,
    /// It comes, under the key of the one before it, which went.
    Replaces,
}

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
    let mut room = Room { left: limits::RECORD_ROWS_BYTES, unmade: 0, makes_all: false };
    let derived = derive_within(&mut room, projection, plans, partition, transition, arena, made);
    if room.holds_unmade() {
        return derived;
    }
    // It may be that rows which stay as they are make it too much: all are made, and counted.
    let mut room = Room { left: limits::RECORD_ROWS_BYTES, unmade: 0, makes_all: true };
    derive_within(&mut room, projection, plans, partition, transition, arena, made)
}

#[inline]
fn derive_within<'a>(
    room: &mut Room,
    projection: &'a Projection,
    plans: &[ViewPlan],
    partition: Partition,
    transition: &Transition<'a>,
    arena: &'a Bump,
    made: &mut [Made],
) -> Result<(), TooLarge> {
    let has_entity = projection.entity.is_some();
    let (before, after) = if has_entity {
        let env = |state: &'a [Datum<'a>]| Env { state, ..Env::new(arena) };
        (transition.old.map(env), transition.new.map(env))
    } else {
        (None, transition.message.map(|message| of_event(&message, arena)))
    };
    let (before, after) = (before.as_ref(), after.as_ref());
    let event = transition.message.map(|message| message.index);
    for ((view, plan), made) in projection.views.iter().zip(plans).zip(made) {
        made.clear();
        if !has_entity && view.source.event != event {
            continue;
        }
        match (made, &view.kind) {
            (Made::Index(old, new), ViewKind::Index { .. }) => {
                plan.change(view, before, after, room, |turn, values, room| match turn {
                    Turn::Goes => plan.index_row(view, values, None, None, old),
                    Turn::Comes => plan.index_row(view, values, None, Some(room), new),
                    Turn::Replaces => plan.index_row(view, values, old.last_key(), Some(room), new),
                })?;
            }
            (Made::Rollup(rows), ViewKind::Rollup { aggregates, .. }) => {
                let to = Groups { view, aggregates, partition };
                plan.change(view, before, after, room, |turn, values, room| match turn {
                    Turn::Goes => plan.group_row(to, values, -1, None, rows),
                    Turn::Comes | Turn::Replaces => plan.group_row(to, values, 1, Some(room), rows),
                })?;
            }
            (Made::Index(..), ViewKind::Rollup { .. }) | (Made::Rollup(_), ViewKind::Index { .. }) => {}
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
        let place = |at: usize| match &view.kind {
            ViewKind::Index { .. } => at,
            // A rollup's key has no aggregate in it.
            ViewKind::Rollup { columns, .. } => match columns.get(at) {
                Some(RollupColumn::Group(group)) => *group,
                Some(RollupColumn::Aggregate(_)) | None => usize::MAX,
            },
        };
        let others = match &view.kind {
            ViewKind::Index { .. } => view.layout.value_columns().map(|(at, _)| at).collect(),
            ViewKind::Rollup { .. } => Vec::new(),
        };
        ViewPlan {
            keys: view.layout.key_columns().map(|(at, column)| (place(at), column)).collect(),
            partition_columns: view.layout.partition_key.len(),
            bucketing: view.layout.bucketing(),
            others,
            key_bytes: limits::row_key_bytes(&view.layout),
            extreme_bytes: limits::EXTREMES_BYTES / extremes(view).max(1),
        }
    }

    /// Tells which rows go and which come. The one row of a state that stays as it is does neither: that is seen before
    /// a byte of it is written.
    #[inline]
    fn change<'a>(
        &self,
        view: &'a View,
        before: Option<&Env<'a>>,
        after: Option<&Env<'a>>,
        room: &mut Room,
        mut row: impl FnMut(Turn, &Values<'a>, &mut Room) -> Result<(), TooLarge>,
    ) -> Result<(), TooLarge> {
        if let Some(unnest) = &view.source.unnest {
            for (turn, env) in [(Turn::Goes, before), (Turn::Comes, after)] {
                if let Some(env) = env {
                    self.unnested(view, unnest, env, |values| row(turn, values, room))?;
                }
            }
            return Ok(());
        }
        let only = |env: &Env<'a>| -> Option<&'a Values<'a>> {
            let values = self.room_for_values(view, env);
            self.values(view, env, values)?;
            Some(values)
        };
        let (old, new) = (before.and_then(only), after.and_then(only));
        if !room.makes_all && old.is_some() && old == new {
            room.unmade += 1;
            return Ok(());
        }
        if let Some(values) = old {
            row(Turn::Goes, values, room)?;
        }
        let Some(values) = new else { return Ok(()) };
        let key_of = |values: &'a Values<'a>| values.get(..self.keys.len());
        let replaces = old.is_some_and(|old| key_of(old) == key_of(values));
        row(if replaces { Turn::Replaces } else { Turn::Comes }, values, room)
    }

    /// The rows of each element of the array.
    fn unnested<'a>(
        &self,
        view: &'a View,
        unnest: &'a Unnest,
        env: &Env<'a>,
        mut row: impl FnMut(&Values<'a>) -> Result<(), TooLarge>,
    ) -> Result<(), TooLarge> {
        let Ok(Datum::Encoded(array)) = eval(&unnest.array, env) else { return Ok(()) };
        let values = self.room_for_values(view, env);
        let mut env = *env;
        for element in columns::elements(&unnest.element, array) {
            let Ok(element) = element else { return Ok(()) };
            env.element = element;
            env.ordinality += 1;
            if self.values(view, &env, values).is_some() {
                row(values)?;
            }
        }
        Ok(())
    }

    #[inline]
    fn room_for_values<'a>(&self, view: &View, env: &Env<'a>) -> &'a mut Values<'a> {
        let others = match &view.kind {
            ViewKind::Index { .. } => self.others.len(),
            ViewKind::Rollup { aggregates, .. } => aggregates.len(),
        };
        env.arena.alloc_slice_fill_copy(self.keys.len() + others, Datum::Null)
    }

    /// The values of the row that a source row makes; `None` where the filter is not TRUE, or a column that is never NULL
    /// has no value.
    #[inline]
    fn values<'a>(&self, view: &'a View, env: &Env<'a>, values: &mut Values<'a>) -> Option<()> {
        if let Some(filter) = &view.source.filter
            && !matches(filter, env).unwrap_or(false)
        {
            return None;
        }
        let (keys, others) = values.split_at_mut_checked(self.keys.len())?;
        let key_exprs = match &view.kind {
            ViewKind::Index { columns } => columns,
            ViewKind::Rollup { groups, .. } => groups,
        };
        for ((at, _), place) in self.keys.iter().zip(keys) {
            *place = value(key_exprs.get(*at)?, env)?;
        }
        match &view.kind {
            ViewKind::Index { columns } => {
                for (at, place) in self.others.iter().zip(others) {
                    let found = value(columns.get(*at)?, env);
                    if found.is_none() && !view.layout.columns.get(*at)?.column.nullable {
                        return None;
                    }
                    *place = found.unwrap_or(Datum::Null);
                }
            }
            ViewKind::Rollup { aggregates, .. } => {
                for (aggregate, place) in aggregates.iter().zip(others) {
                    *place = added(aggregate, env);
                }
            }
        }
        Some(())
    }

    fn judge_key(&self, view: &View, found: usize) -> Result<(), TooLarge> {
        let what = "the key of a row, as it is stored,";
        bound("key_too_large", view, what, found, self.key_bytes)
    }

    /// Appends the stored key of a row.
    fn key(&self, values: &Values<'_>, bytes: &mut Vec<u8>) {
        let mut bucket = 0;
        for (place, ((_, column), datum)) in self.keys.iter().zip(values).enumerate() {
            if place == self.partition_columns && self.bucketing.is_some() {
                bucket = bytes.len();
                bytes.extend_from_slice(&[0; BUCKET_BYTES]);
            }
            ordered::encode(column, *datum, bytes);
        }
        if let Some(bucketing) = &self.bucketing
            && let Some((place, clustering)) =
                bytes.get_mut(bucket..).and_then(|bytes| bytes.split_first_chunk_mut::<BUCKET_BYTES>())
        {
            *place = bucketing.of(clustering);
        }
    }

    /// Adds a row to those of an index, under its key where that is known. It is judged where there is a room for it.
    fn index_row(
        &self,
        view: &View,
        values: &Values<'_>,
        key: Option<&[u8]>,
        room: Option<&mut Room>,
        out: &mut IndexRows,
    ) -> Result<(), TooLarge> {
        let bytes = out.buffer();
        let start = bytes.len();
        match key {
            Some(key) => bytes.extend_from_slice(key),
            None => self.key(values, bytes),
        }
        let value = bytes.len();
        let types = self.others.iter().filter_map(|at| view.layout.columns.get(*at)).map(|c| &c.column);
        columns::encode(types, values.get(self.keys.len()..).unwrap_or_default(), bytes);
        let size = bytes.len() - start;
        out.end(start, value);
        let Some(room) = room else { return Ok(()) };
        self.judge_key(view, value - start)?;
        bound("row_too_large", view, "a row", size, limits::ROW_BYTES)?;
        room.take(view, size)
    }

    /// Adds a row to its group, `sign` times: 1 or -1. It is judged where there is a room for it.
    fn group_row(
        &self,
        to: Groups<'_>,
        values: &Values<'_>,
        sign: i64,
        room: Option<&mut Room>,
        out: &mut RollupRows,
    ) -> Result<(), TooLarge> {
        let Groups { view, aggregates, partition } = to;
        let key = out.key();
        self.key(values, key);
        key.extend_from_slice(&shard(partition));
        if room.is_some() {
            self.judge_key(view, key.len())?;
        }
        let before = out.size_bytes();
        out.add_row(sign);
        let mut at = 0;
        for (aggregate, datum) in aggregates.iter().zip(values.get(self.keys.len()..).unwrap_or_default()) {
            let extreme = add(aggregate, at, *datum, sign, out);
            at += aggregate.function.keeps.len();
            let what = "a value of `min` or `max`";
            bound("row_too_large", view, what, extreme, self.extreme_bytes)?;
        }
        match room {
            Some(room) => room.take(view, out.size_bytes() - before),
            None => Ok(()),
        }
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

/// A value that is there.
#[inline]
fn value<'a>(expr: &'a Expr, env: &Env<'a>) -> Option<Datum<'a>> {
    match eval(expr, env) {
        Ok(Datum::Null) | Err(_) => None,
        Ok(datum) => Some(datum),
    }
}

/// What a source row adds to an aggregate: its argument, TRUE where it has none; NULL where the row adds nothing.
fn added<'a>(aggregate: &'a Aggregate, env: &Env<'a>) -> Datum<'a> {
    if let Some(filter) = &aggregate.filter
        && !matches(filter, env).unwrap_or(false)
    {
        return Datum::Null;
    }
    match &aggregate.argument {
        Some(argument) => value(argument, env).unwrap_or(Datum::Null),
        None => Datum::Boolean(true),
    }
}

/// Adds it to the components of the aggregate, which start at this place; how many bytes a row keeps of it besides what it
/// has anyway.
fn add(aggregate: &Aggregate, at: usize, datum: Datum<'_>, sign: i64, rows: &mut RollupRows) -> usize {
    if datum.is_null() {
        return 0;
    }
    if aggregate.argument.is_none() {
        rows.add(at, Delta::Count(sign));
        return 0;
    }
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

// === impl Room ===

impl Room {
    /// Takes a row's bytes.
    fn take(&mut self, view: &View, size: usize) -> Result<(), TooLarge> {
        match self.left.checked_sub(size) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => {
                let found = limits::RECORD_ROWS_BYTES - self.left + size;
                let what = "the rows that the record makes in views up to this one";
                bound("rows_too_large", view, what, found, limits::RECORD_ROWS_BYTES)
            }
        }
    }

    /// Whether there is room for what was not made as well, however large it is: a row that stays was within its bound.
    fn holds_unmade(&self) -> bool {
        self.unmade == 0 || self.unmade * limits::ROW_BYTES <= self.left
    }
}

// === impl TooLarge ===

impl TooLarge {
    pub(crate) fn verdict(&self) -> Verdict {
        let TooLarge { code, table, what, found, bound } = self;
        Verdict::dead(code, format_args!("table {table}: {what} has {found} bytes, more than {bound}"))
    }
}
