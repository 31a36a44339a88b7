//! What of a row's value a store with typed columns keeps once more, column by column, for whoever looks with a tool.
//!
//! Nothing of ours reads these columns: the value's bytes are the row. Of an index they are its columns that are not in the
//! key. Of a rollup's shard they are the hidden count, `_count`, and what each component shows
//! ([`crate::component::Keeps::columns`]): under the aggregate's own name where the shard's component is its value
//! ([`Shows::Itself`]), else under names of their own, `_sum_x` and `_count_x`. No column of an app starts with an
//! underscore. Whoever reads a rollup adds up its shards.

use tidefold_codec::{ColumnType, Datum, Type, columns};

use crate::aggregate::Shows;
use crate::component::{ComponentColumn, Holds, Keeps, Part};
use crate::damage::Broken;
use crate::exact::Exact;
use crate::index::IndexRef;
use crate::layout::{TableKind, TableLayout};
use crate::wire::{self, Reader};

/// The hidden count's column.
pub const COUNT_COLUMN: &str = "_count";

/// A rollup's row shows at most so many columns, those of its first aggregates: each costs a cell in every write.
pub const ROLLUP_COLUMNS: usize = 64;

/// The columns of a table that are shown, and how they come out of a value.
#[derive(Clone, Debug, PartialEq)]
pub struct ShownColumns {
    kind: TableKind,
    columns: Vec<ShownColumn>,
    /// The components up to the last that shows something.
    components: Vec<Component>,
}

/// A column that is shown.
#[derive(Clone, Debug, PartialEq)]
pub struct ShownColumn {
    /// Its name.
    pub name: String,
    /// What it holds.
    pub holds: Held,
}

/// What a shown column holds. Any of them may be NULL.
#[derive(Clone, Debug, PartialEq)]
pub enum Held {
    /// How many: 64 bits.
    Count,
    /// An exact sum of whole numbers, of any size.
    Sum,
    /// An exact sum of numbers with so many digits behind the point, of any size.
    Decimals(u8),
    /// A value of this type.
    Value(ColumnType),
}

/// A value of a shown column.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Shown<'v> {
    /// None.
    Null,
    /// How many.
    Count(i64),
    /// A sum; of decimals without its point.
    Sum(Exact),
    /// Any other value.
    Value(Datum<'v>),
}

/// A component of a rollup's row and what is shown of it.
#[derive(Clone, Debug, PartialEq)]
struct Component {
    keeps: Keeps,
    columns: &'static [ComponentColumn],
}

// === impl ShownColumns ===

impl ShownColumns {
    /// Those of a table; none of a table that is neither an index nor a rollup.
    #[must_use]
    pub fn of(layout: &TableLayout) -> ShownColumns {
        let mut shown = ShownColumns { kind: layout.kind, columns: Vec::new(), components: Vec::new() };
        match layout.kind {
            TableKind::Index => {
                shown.columns.extend(layout.value_columns().map(|(_, column)| ShownColumn {
                    name: column.name.clone(),
                    holds: Held::Value(column.column.clone()),
                }));
            }
            TableKind::Rollup => shown.of_rollup(layout),
            TableKind::Entity | TableKind::Verdicts | TableKind::Checkpoints | TableKind::ControlCopy => {}
        }
        shown
    }

    fn of_rollup(&mut self, layout: &TableLayout) {
        self.columns.push(ShownColumn { name: COUNT_COLUMN.to_owned(), holds: Held::Count });
        for ((_, column), aggregate) in layout.value_columns().zip(&layout.aggregates) {
            for keeps in aggregate.function.keeps {
                let all = keeps.columns();
                let columns = match aggregate.function.shows {
                    Shows::Itself => all.get(..1).unwrap_or_default(),
                    Shows::Components => all,
                };
                if self.columns.len() + columns.len() > ROLLUP_COLUMNS {
                    return;
                }
                self.columns.extend(columns.iter().map(|shown| ShownColumn {
                    name: match aggregate.function.shows {
                        Shows::Itself => column.name.clone(),
                        Shows::Components => format!("_{}_{}", shown.name, column.name),
                    },
                    holds: Held::of(shown.holds, aggregate.argument.as_ref()),
                }));
                self.components.push(Component { keeps: *keeps, columns });
            }
        }
    }

    /// The columns, in the order of their values.
    #[must_use]
    pub fn columns(&self) -> &[ShownColumn] {
        &self.columns
    }

    /// Gives each column's value of a row's value to `each`, in their order.
    ///
    /// # Errors
    /// When the bytes are no value of this table.
    pub fn read<'v>(
        &'v self,
        value: &'v [u8],
        mut each: impl FnMut(&'v ShownColumn, Shown<'v>),
    ) -> Result<(), Broken> {
        match self.kind {
            TableKind::Index => {
                let mut slots = vec![Datum::Null; self.columns.len()];
                let types = self.columns.iter().filter_map(|column| column.holds.ty());
                columns::decode(types, IndexRef::parse(value)?.columns, &mut slots)?;
                for (column, datum) in self.columns.iter().zip(slots) {
                    each(column, Shown::of(datum));
                }
                Ok(())
            }
            TableKind::Rollup => self.read_rollup(value, each),
            TableKind::Entity | TableKind::Verdicts | TableKind::Checkpoints | TableKind::ControlCopy => {
                Ok(())
            }
        }
    }

    fn read_rollup<'v>(
        &'v self,
        value: &'v [u8],
        mut each: impl FnMut(&'v ShownColumn, Shown<'v>),
    ) -> Result<(), Broken> {
        let mut columns = self.columns.iter();
        let (_, mut reader) = wire::head(value)?;
        let count = reader.part("hidden count", Reader::i64)?;
        if let Some(column) = columns.next() {
            each(column, Shown::Count(count));
        }
        for component in &self.components {
            let part = reader.part("component of an aggregate", |reader| component.keeps.read(reader))?;
            for (of, column) in component.columns.iter().zip(columns.by_ref()) {
                each(column, part.shown(of.holds, column));
            }
        }
        Ok(())
    }
}

// === impl Held ===

impl Held {
    fn of(holds: Holds, argument: Option<&Type>) -> Held {
        let scale = if let Some(Type::Decimal { scale, .. }) = argument { Some(*scale) } else { None };
        match holds {
            Holds::Count => Held::Count,
            Holds::Sum => scale.map_or(Held::Sum, Held::Decimals),
            Holds::Squares => scale.map_or(Held::Sum, |scale| Held::Decimals(2 * scale)),
            Holds::Extreme => Held::Value(argument.cloned().unwrap_or(Type::Long).required()),
        }
    }

    fn ty(&self) -> Option<&ColumnType> {
        match self {
            Held::Count | Held::Sum | Held::Decimals(_) => None,
            Held::Value(ty) => Some(ty),
        }
    }
}

// === impl Shown ===

impl<'v> Shown<'v> {
    fn of(datum: Datum<'v>) -> Shown<'v> {
        if datum.is_null() { Shown::Null } else { Shown::Value(datum) }
    }
}

// === impl Part ===

impl<'v> Part<'v> {
    /// What a column shows of a component. A sum or an extreme of no value is NULL, and so is an extreme that is no value of
    /// its type: what is said of such a row says whoever reads it.
    fn shown(&self, holds: Holds, column: &'v ShownColumn) -> Shown<'v> {
        match (*self, holds) {
            (Part::Count(count) | Part::Sum(_, count), Holds::Count) => Shown::Count(count),
            (Part::Sum(sum, count), Holds::Sum | Holds::Squares) if count != 0 => Shown::Sum(sum),
            (Part::Extreme(datum), Holds::Extreme) if !datum.is_empty() => {
                let mut slot = [Datum::Null];
                let read = columns::decode(column.holds.ty(), datum, &mut slot);
                if read.is_ok() { Shown::of(slot[0]) } else { Shown::Null }
            }
            (Part::Count(_) | Part::Sum(..) | Part::Extreme(_) | Part::Distinct(_), _) => Shown::Null,
        }
    }
}

#[cfg(test)]
#[path = "shown/tests.rs"]
mod tests;
