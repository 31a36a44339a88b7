//! What is shown of a rollup's row, against the row itself.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use proptest::prelude::*;
use tidefold_record::Offset;

use super::*;
use crate::aggregate::{AGGREGATES, Aggregate, Over};
use crate::component::{Delta, compare};
use crate::layout::Column;
use crate::rollup::Group;

/// A rollup of every aggregate.
fn layout(copies: usize) -> TableLayout {
    let argument = |over| match over {
        Over::Anything | Over::Ordered | Over::Key => Type::Long,
        Over::Number => Type::Decimal { precision: 38, scale: 3, fixed: None },
        Over::Squarable => Type::Int,
        Over::Boolean => Type::Boolean,
    };
    let mut layout = TableLayout::untyped("all".to_owned(), TableKind::Rollup);
    layout.columns.push(Column { name: "day".to_owned(), column: Type::Date.required() });
    layout.partition_key.push(0);
    for (at, function) in AGGREGATES.iter().cycle().take(copies * AGGREGATES.len()).enumerate() {
        let name = format!("{}_{at}", function.name);
        layout.columns.push(Column { name, column: Type::Long.nullable() });
        layout.aggregates.push(Aggregate { function, argument: Some(argument(function.over)) });
    }
    layout
}

fn datum(value: i64) -> Vec<u8> {
    let mut datum = Vec::new();
    columns::encode([&Type::Long.required()], &[Datum::Long(value)], &mut datum);
    datum
}

/// A shard that these values were added to.
fn shard(layout: &TableLayout, values: &[i64]) -> Group {
    let mut group = Group { offset: Offset(9), ..Group::empty(layout) };
    let keeps = layout.aggregates.iter().flat_map(|aggregate| aggregate.function.keeps);
    for (state, keeps) in group.aggregates.iter_mut().zip(keeps) {
        for value in values {
            let (wide, datum) = (i128::from(*value) << 60, datum(*value));
            state.apply(match keeps {
                Keeps::Count => Delta::Count(1),
                Keeps::Sum | Keeps::Squares => Delta::Sum(wide.into(), 1),
                Keeps::Smallest | Keeps::Largest => Delta::Extreme(&datum),
                Keeps::Distinct => Delta::Distinct(1),
            });
        }
    }
    group.count = i64::try_from(values.len()).unwrap();
    group
}

fn shown(columns: &ShownColumns, group: &Group) -> Vec<(String, Shown<'static>)> {
    let mut value = Vec::new();
    group.encode(&mut value);
    let mut shown = Vec::new();
    let each = |column: &ShownColumn, value: Shown<'_>| {
        let kept = match value {
            Shown::Null => Shown::Null,
            Shown::Count(count) => Shown::Count(count),
            Shown::Sum(sum) => Shown::Sum(sum),
            Shown::Value(Datum::Long(value)) => Shown::Value(Datum::Long(value)),
            other => panic!("{other:?}"),
        };
        shown.push((column.name.clone(), kept));
    };
    columns.read(&value, each).unwrap();
    shown
}

/// As CQL's SUM, MIN and MAX take two: a null is passed over.
fn together(name: &str, a: Shown<'static>, b: Shown<'static>) -> Shown<'static> {
    match (a, b) {
        (Shown::Null, other) | (other, Shown::Null) => other,
        (Shown::Count(a), Shown::Count(b)) => Shown::Count(a + b),
        (Shown::Sum(a), Shown::Sum(b)) => Shown::Sum(a.plus(b)),
        (Shown::Value(a), Shown::Value(b)) => {
            let wanted = if name.starts_with("max") { Ordering::Greater } else { Ordering::Less };
            Shown::Value(if compare(a, b) == wanted { a } else { b })
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_aggregate_shows_columns_of_names_of_their_own() {
    let layout = layout(1);
    let columns = ShownColumns::of(&layout);
    let names: BTreeSet<&str> = columns.columns().iter().map(|column| &*column.name).collect();
    assert_eq!(names.len(), columns.columns().len(), "{names:?}");
    for own in
        ["_count", "count_0", "sum_1", "_sum_avg_2", "_count_avg_2", "min_3", "max_4", "_squares_var_pop_8"]
    {
        assert!(names.contains(own), "{own} of {names:?}");
    }
    let sum = columns.columns().iter().find(|column| column.name == "sum_1").unwrap();
    assert_eq!(sum.holds, Held::Decimals(3));
    assert!(!names.iter().any(|name| name.contains("distinct")), "a sketch shows nothing: {names:?}");
}

#[test]
fn a_row_shows_a_bounded_number_of_columns_of_whole_components() {
    let layout = layout(20);
    let columns = ShownColumns::of(&layout);
    assert!((ROLLUP_COLUMNS - 2..=ROLLUP_COLUMNS).contains(&columns.columns().len()));
    assert_eq!(shown(&columns, &shard(&layout, &[4])).len(), columns.columns().len());
}

#[test]
fn what_has_no_value_is_null_and_a_count_is_not() {
    let layout = layout(1);
    for (name, value) in shown(&ShownColumns::of(&layout), &Group::empty(&layout)) {
        let is_count = name == "_count" || name.starts_with("_count_") || name == "count_0";
        assert_eq!(value, if is_count { Shown::Count(0) } else { Shown::Null }, "{name}");
    }
}

#[test]
fn bytes_that_are_no_row_show_nothing() {
    let layout = layout(1);
    let columns = ShownColumns::of(&layout);
    let mut value = Vec::new();
    shard(&layout, &[1, 2]).encode(&mut value);
    // The last aggregates' components stand behind all that is cut here.
    for end in 0..60 {
        assert!(columns.read(&value[..end], |_, _| {}).is_err(), "{end} bytes");
    }
    value[0] = 1;
    assert!(matches!(columns.read(&value, |_, _| {}), Err(Broken::Newer { .. })));
}

proptest! {
    #[test]
    fn shards_that_a_tool_adds_up_are_the_shards_added_up(
        a in prop::collection::vec(any::<i64>(), 0..5),
        b in prop::collection::vec(any::<i64>(), 0..5),
    ) {
        let layout = layout(1);
        let columns = ShownColumns::of(&layout);
        let (a, b) = (shard(&layout, &a), shard(&layout, &b));
        let by_tool: Vec<_> = shown(&columns, &a)
            .into_iter()
            .zip(shown(&columns, &b))
            .map(|((name, a), (_, b))| (name.clone(), together(&name, a, b)))
            .collect();
        let mut both = a;
        both.merge(&b);
        prop_assert_eq!(by_tool, shown(&columns, &both));
    }
}
