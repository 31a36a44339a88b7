//! What a query string may ask of a key, and the bounds it comes to.

use tidefold_codec::Type;
use tidefold_table::{Clustering, Column};

use super::*;

fn layout() -> TableLayout {
    let column = |name: &str, ty: Type| Column { name: name.into(), column: ty.required() };
    TableLayout {
        name: "orders_by_customer".into(),
        kind: TableKind::Index,
        columns: vec![
            column("customer_id", Type::String),
            column("placed_at", Type::TimestampMillis),
            column("order_id", Type::String),
            column("status", Type::String),
        ],
        partition_key: vec![0],
        clustering: vec![
            Clustering { column: 1, descending: true },
            Clustering { column: 2, descending: false },
        ],
        bucket: None,
        aggregates: vec![],
    }
}

fn ask(pairs: &[(&str, &str)]) -> Result<Query, Vec<String>> {
    let pairs: Vec<_> = pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
    let limits = PageLimits { default: 50, max: 1_000 };
    read(&layout(), &pairs, limits)
        .map_err(|problem| problem.errors().iter().map(|e| format!("{:?} {}", e.parameter, e.code)).collect())
}

#[test]
fn everything_that_the_key_does_not_allow_is_named() {
    let errors =
        ask(&[("status", "paid"), ("colour", "red"), ("placed_at.near", "x"), ("limit", "0")]).unwrap_err();
    assert_eq!(
        errors,
        [
            "Some(\"status\") not_in_key",
            "Some(\"colour\") unknown_column",
            "Some(\"placed_at.near\") unknown_comparison",
            "Some(\"limit\") out_of_range",
            "Some(\"customer_id\") missing",
        ]
    );
    assert_eq!(
        ask(&[("customer_id", "c"), ("order_id", "o")]).unwrap_err(),
        ["Some(\"order_id\") not_allowed_by_key"]
    );
    assert_eq!(
        ask(&[("customer_id", "c"), ("placed_at", "today")]).unwrap_err(),
        ["Some(\"placed_at\") wrong_type"]
    );
    let twice = [
        ("customer_id", "c"),
        ("placed_at.gt", "2026-01-01T00:00:00Z"),
        ("placed_at.gte", "2026-01-01T00:00:00Z"),
    ];
    assert_eq!(ask(&twice).unwrap_err(), ["Some(\"placed_at.gte\") given_twice"]);
}

#[test]
fn bounds_of_a_descending_column_are_mirrored() {
    let time = "2026-01-01T00:00:00Z";
    let equal = ask(&[("customer_id", "c"), ("placed_at", time)]).unwrap();
    let gte = ask(&[("customer_id", "c"), ("placed_at.gte", time)]).unwrap();
    let gt = ask(&[("customer_id", "c"), ("placed_at.gt", time)]).unwrap();
    let lt = ask(&[("customer_id", "c"), ("placed_at.lt", time)]).unwrap();
    let here = equal.prefix;
    let behind = Bytes::from(successor(&here).unwrap());
    assert_eq!((gte.from, gte.until), (None, Some(behind.clone())));
    assert_eq!((gt.from, gt.until), (None, Some(here)));
    assert_eq!((lt.from, lt.until), (Some(behind), None));
}

#[test]
fn a_cursor_of_another_query_is_refused() {
    let first = ask(&[("customer_id", "c")]).unwrap();
    let mut key = first.prefix.to_vec();
    key.extend_from_slice(b"row");
    let text = cursor::write(first.filter_hash, &key);
    let next = ask(&[("customer_id", "c"), ("cursor", &text)]).unwrap();
    assert_eq!(next.from.unwrap()[..], [&key[..], &[0]].concat()[..]);
    assert!(ask(&[("customer_id", "d"), ("cursor", &text)]).is_err());
}
