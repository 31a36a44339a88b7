//! Values as CQL's types have them, and those that have no place there.

use super::*;

fn bytes(ty: &Type, datum: Datum<'_>) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    write(ty, datum, &mut out).map(|()| out)
}

/// Days since 1970-01-01.
const YEAR_1: i64 = -719_162;
const YEAR_9999: i64 = 2_932_896;

#[test]
fn the_first_and_last_values_of_our_types_have_a_place_in_cql() {
    let day_millis = 86_400_000;
    for (ty, values) in [
        (Type::Date, [YEAR_1, YEAR_9999]),
        (Type::TimestampMillis, [YEAR_1 * day_millis, (YEAR_9999 + 1) * day_millis - 1]),
        (Type::TimestampMicros, [YEAR_1 * day_millis * 1_000, (YEAR_9999 + 1) * day_millis * 1_000 - 1]),
        (Type::TimeMillis, [0, day_millis - 1]),
        (Type::TimeMicros, [0, day_millis * 1_000 - 1]),
        (Type::Int, [i64::from(i32::MIN), i64::from(i32::MAX)]),
        (Type::Long, [i64::MIN, i64::MAX]),
    ] {
        let arena = Bump::new();
        for value in values {
            let cell = bytes(&ty, Datum::Long(value)).unwrap();
            assert_eq!(read(&ty, &cell, &arena), Some(Datum::Long(value)), "{ty:?}");
        }
    }
}

#[test]
fn a_value_that_cql_has_not_is_null() {
    for (ty, values) in [
        (Type::Date, [-EPOCH - 1, i64::MAX]),
        (Type::TimeMillis, [-1, i64::MAX]),
        (Type::TimeMicros, [86_400_000_000, i64::MIN]),
        (Type::Int, [1 << 31, i64::MIN]),
    ] {
        for value in values {
            assert_eq!(bytes(&ty, Datum::Long(value)), None, "{ty:?} {value}");
        }
    }
    let mut cells = crate::cells::Cells::default();
    cells.put(b"before");
    cells.attempt(|out| {
        out.push(7);
        None
    });
    cells.put(b"behind");
    assert_eq!(cells.iter().collect::<Vec<_>>(), [Some(&b"before"[..]), None, Some(b"behind")]);
}

#[test]
fn numbers_are_in_the_fewest_bytes() {
    let sum = |low, high| {
        let mut out = Vec::new();
        put_sum(Exact::from_parts(low, high), &mut out);
        out
    };
    assert_eq!(sum(0, 0), [0]);
    assert_eq!(sum(127, 0), [127]);
    assert_eq!(sum(128, 0), [0, 128]);
    assert_eq!(sum(-1, -1), [255]);
    assert_eq!(sum(-129, -1), [0xFF, 0x7F]);
    assert_eq!(sum(0, i64::MIN), [&[0x80][..], &[0; 23]].concat());
    assert_eq!(sum(-1, 0), [&[0][..], &[0xFF; 16]].concat());
}

/// `docs/types.md` says which CQL type each of our types has.
#[test]
fn the_page_of_types_names_the_columns_types() {
    let page = include_str!("../../../../docs/types.md");
    let element = std::sync::Arc::new(Type::Int.required());
    for (name, ty) in [
        ("boolean", Type::Boolean),
        ("int", Type::Int),
        ("long", Type::Long),
        ("float", Type::Float),
        ("double", Type::Double),
        ("bytes", Type::Bytes),
        ("string", Type::String),
        ("decimal(p,s)", Type::Decimal { precision: 9, scale: 2, fixed: None }),
        ("uuid", Type::Uuid),
        ("date", Type::Date),
        ("time-millis", Type::TimeMillis),
        ("time-micros", Type::TimeMicros),
        ("timestamp-millis", Type::TimestampMillis),
        ("timestamp-micros", Type::TimestampMicros),
        ("local-timestamp-millis", Type::LocalTimestampMillis),
        ("local-timestamp-micros", Type::LocalTimestampMicros),
        ("array<T>", Type::Array(element.clone())),
        ("map<T>", Type::Map(element)),
    ] {
        let row = page.lines().find(|line| line.starts_with(&format!("| `{name}` |"))).unwrap();
        let column = row.split(" | ").nth(5).unwrap();
        assert_eq!(column.split(" (").next(), Some(cql_type(&ty)), "{name}: {row}");
    }
}
