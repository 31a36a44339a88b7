//! The rows a state or an event makes in a view. A view is a pure function of one state or one event, and total: what
//! cannot be evaluated is NULL. A row whose key (or another column that is never NULL) cannot be evaluated is left out.

use bumpalo::Bump;
use tidefold_app::expr::{Expr, Unnest};
use tidefold_app::model::{Aggregate, Projection, RollupColumn, View, ViewKind};
use tidefold_codec::ordered::{self, KeyColumn};
use tidefold_codec::{Datum, columns};
use tidefold_record::Partition;
use tidefold_table::bucket::{BUCKET_BYTES, Bucketing};
use tidefold_table::component::Keeps;
use tidefold_table::limits;
use tidefold_table::rollup::shard;

use crate::adds::{add, added};
use crate::eval::{Env, eval, matches, value};
use crate::made::{IndexRows, Made, RollupRows};
use crate::reads::{ColumnSet, Reads};
use crate::room::{Room, TooLarge, bound};
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
    /// The most that a row takes of what a record may make.
    row_bytes: usize,
    reads: Reads,
}

/// The rollup that a row is added to.
#[derive(Clone, Copy)]
struct Groups<'v> {
    view: &'v View,
    aggregates: &'v [Aggregate],
    partition: Partition,
}

/// What rows are made by.
#[derive(Clone, Copy)]
pub(crate) struct Deriving<'a> {
    pub(crate) projection: &'a Projection,
    pub(crate) plans: &'a [ViewPlan],
    pub(crate) partition: Partition,
    /// Where the entity was there before and is after it: the columns that may be others.
    pub(crate) set: ColumnSet,
    pub(crate) arena: &'a Bump,
}

/// What views see of an entity before and after a record; of what happened, only the latter.
#[derive(Clone, Copy)]
struct Sides<'e, 'a> {
    before: Option<&'e Env<'a>>,
    after: Option<&'e Env<'a>>,
    /// Of an entity that stays: the columns that may be others.
    set: ColumnSet,
}

/// What a row of a view is made of: the values of its key's columns, then of an index those of the other columns, of a rollup
/// for each aggregate what the row adds to it (TRUE where that has no argument, NULL where it is nothing).
type Values<'a> = [Datum<'a>];

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
    by: Deriving<'a>,
    transition: &Transition<'a>,
    made: &mut [Made],
) -> Result<(), TooLarge> {
    let mut room = Room::new(false);
    let derived = by.derive(transition, &mut room, made);
    if room.holds_unmade() {
        return derived;
    }
    // It may be that rows which stay as they are make it too much: all are made, and counted.
    by.derive(transition, &mut Room::new(true), made)
}

fn of_event<'a>(message: &Message<'a>, arena: &'a Bump) -> Env<'a> {
    let Envelope { event_time_micros, append_time_micros, caller, .. } = message.envelope;
    Env { message: message.fields, event_time_micros, append_time_micros, caller, ..Env::new(arena) }
}

// === impl Deriving ===

impl<'a> Deriving<'a> {
    #[inline]
    fn derive(
        &self,
        transition: &Transition<'a>,
        room: &mut Room,
        made: &mut [Made],
    ) -> Result<(), TooLarge> {
        let Deriving { projection, plans, partition, set, arena } = *self;
        let has_entity = projection.entity.is_some();
        let (before, after) = if has_entity {
            let env = |state: &'a [Datum<'a>]| Env { state, ..Env::new(arena) };
            (transition.old.map(env), transition.new.map(env))
        } else {
            (None, transition.message.map(|message| of_event(&message, arena)))
        };
        let sides = Sides { before: before.as_ref(), after: after.as_ref(), set };
        let event = transition.message.map(|message| message.index);
        for ((view, plan), made) in projection.views.iter().zip(plans).zip(made) {
            made.clear();
            if !has_entity && view.source.event != event {
                continue;
            }
            match (made, &view.kind) {
                (Made::Index(old, new), ViewKind::Index { .. }) => {
                    plan.change(view, sides, room, |turn, values, room| match turn {
                        Turn::Goes => plan.index_row(view, values, None, None, old),
                        Turn::Comes => plan.index_row(view, values, None, Some(room), new),
                        Turn::Replaces => plan.index_row(view, values, old.last_key(), Some(room), new),
                    })?;
                }
                (Made::Rollup(rows), ViewKind::Rollup { aggregates, .. }) => {
                    let to = Groups { view, aggregates, partition };
                    plan.change(view, sides, room, |turn, values, room| match turn {
                        Turn::Goes => plan.group_row(to, values, -1, None, rows),
                        Turn::Comes | Turn::Replaces => plan.group_row(to, values, 1, Some(room), rows),
                    })?;
                }
                (Made::Index(..), ViewKind::Rollup { .. }) | (Made::Rollup(_), ViewKind::Index { .. }) => {}
            }
        }
        Ok(())
    }
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
        let others: Vec<usize> = match &view.kind {
            ViewKind::Index { .. } => view.layout.value_columns().map(|(at, _)| at).collect(),
            ViewKind::Rollup { .. } => Vec::new(),
        };
        let keys: Vec<_> = view.layout.key_columns().map(|(at, column)| (place(at), column)).collect();
        let key_bytes = limits::row_key_bytes(&view.layout);
        ViewPlan {
            reads: Reads::of(view, keys.iter().map(|(at, _)| *at), &others),
            keys,
            partition_columns: view.layout.partition_key.len(),
            bucketing: view.layout.bucketing(),
            others,
            key_bytes,
            extreme_bytes: limits::EXTREMES_BYTES / extremes(view).max(1),
            row_bytes: match &view.kind {
                ViewKind::Rollup { .. } if extremes(view) == 0 => {
                    RollupRows::row_bytes(key_bytes, view.layout.components())
                }
                ViewKind::Rollup { .. } | ViewKind::Index { .. } => limits::ROW_BYTES,
            },
        }
    }

    /// Tells which rows go and which come. Rows that stay as they are do neither, and where nothing is set that they depend
    /// on they are not even evaluated.
    #[inline]
    fn change<'a>(
        &self,
        view: &'a View,
        sides: Sides<'_, 'a>,
        room: &mut Room,
        mut row: impl FnMut(Turn, &Values<'a>, &mut Room) -> Result<(), TooLarge>,
    ) -> Result<(), TooLarge> {
        let Sides { before, after, set } = sides;
        let skips = !room.makes_all && self.filter_stays(view, sides);
        if skips && !self.reads.rows.meets(set) {
            room.leave(self.most_rows(view, after), self.row_bytes);
            return Ok(());
        }
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
        let new = after.and_then(only);
        if let (true, Some(before), Some(values), ViewKind::Index { columns }) =
            (skips && !self.reads.keys.meets(set), before, new, &view.kind)
        {
            // Whether there was a row under its key before or not, there is this one now.
            if self.others_stay(columns, before, set, values) {
                room.leave(1, self.row_bytes);
                return Ok(());
            }
            return row(Turn::Replaces, values, room);
        }
        let old = before.and_then(only);
        if !room.makes_all && old.is_some() && old == new {
            room.leave(1, self.row_bytes);
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

    /// Whether there is an entity before and after, and the filter says the same of both.
    #[inline]
    fn filter_stays<'a>(&self, view: &'a View, sides: Sides<'_, 'a>) -> bool {
        let (Some(before), Some(after)) = (sides.before, sides.after) else { return false };
        let Some(filter) = &view.source.filter else { return true };
        let holds = |env| matches(filter, env).unwrap_or(false);
        !self.reads.filter.meets(sides.set)
            || (self.reads.filter_is_of_state && holds(before) == holds(after))
    }

    /// How many rows a state makes at most.
    fn most_rows<'a>(&self, view: &'a View, env: Option<&Env<'a>>) -> usize {
        let (Some(unnest), Some(env)) = (&view.source.unnest, env) else { return 1 };
        match eval(&unnest.array, env) {
            Ok(Datum::Encoded(array)) => columns::count(&unnest.element, false, array)
                .map_or(usize::MAX, |count| usize::try_from(count).unwrap_or(usize::MAX)),
            Ok(_) | Err(_) => 0,
        }
    }

    /// Whether the columns beside the key are what they were.
    #[inline]
    fn others_stay<'a>(
        &self,
        columns: &'a [Expr],
        before: &Env<'a>,
        set: ColumnSet,
        values: &Values<'a>,
    ) -> bool {
        let values = values.get(self.keys.len()..).unwrap_or_default();
        let mut others = self.others.iter().zip(&self.reads.others).zip(values);
        others.all(|((at, reads), now)| {
            !reads.meets(set)
                || columns.get(*at).is_some_and(|expr| value(expr, before).unwrap_or(Datum::Null) == *now)
        })
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
