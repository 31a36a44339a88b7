//! Key texts, key bytes, times as text: each holds its law.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what went wrong by failing"
)]

use std::cmp::Ordering;
use std::sync::Arc;

use bumpalo::Bump;
use proptest::prelude::*;
use tidefold_codec::ordered::{self, KeyColumn};
use tidefold_codec::{Datum, EnumType, Type, text};

#[derive(Clone, Debug)]
enum Owned {
    Boolean(bool),
    Long(i64),
    Decimal(i128),
    Text(String),
}

impl Owned {
    fn datum(&self) -> Datum<'_> {
        match self {
            Owned::Boolean(v) => Datum::Boolean(*v),
            Owned::Long(v) => Datum::Long(*v),
            Owned::Decimal(v) => Datum::Decimal(*v),
            Owned::Text(v) => Datum::Text(v),
        }
    }
}

fn order(a: &Owned, b: &Owned) -> Ordering {
    match (a, b) {
        (Owned::Boolean(a), Owned::Boolean(b)) => a.cmp(b),
        (Owned::Long(a), Owned::Long(b)) => a.cmp(b),
        (Owned::Decimal(a), Owned::Decimal(b)) => a.cmp(b),
        (Owned::Text(a), Owned::Text(b)) => a.as_bytes().cmp(b.as_bytes()),
        _ => unreachable!("one type a column"),
    }
}

fn key_types() -> Vec<Type> {
    let symbols = vec!["RED".to_owned(), "GREEN".to_owned()];
    vec![
        Type::Boolean,
        Type::Int,
        Type::Long,
        Type::String,
        Type::Uuid,
        Type::Date,
        Type::TimeMillis,
        Type::TimeMicros,
        Type::TimestampMillis,
        Type::TimestampMicros,
        Type::LocalTimestampMillis,
        Type::LocalTimestampMicros,
        Type::Decimal { precision: 38, scale: 3, fixed: None },
        Type::Decimal { precision: 5, scale: 5, fixed: None },
        Type::Enum(Arc::new(EnumType { full_name: "Color".into(), symbols, default: None })),
    ]
}

fn longs(low: i64, high: i64) -> BoxedStrategy<Owned> {
    prop_oneof![Just(low), Just(high), low..=high, -3i64..3]
        .prop_map(move |v| Owned::Long(v.clamp(low, high)))
        .boxed()
}

const DAY: i64 = 86_400_000_000;
const FIRST: i64 = -719_162 * DAY;
const LAST: i64 = 2_932_897 * DAY - 1;

fn value(ty: &Type) -> BoxedStrategy<Owned> {
    match ty {
        Type::Boolean => any::<bool>().prop_map(Owned::Boolean).boxed(),
        Type::Int => longs(i64::from(i32::MIN), i64::from(i32::MAX)),
        Type::Long => longs(i64::MIN, i64::MAX),
        Type::Date => longs(-719_162, 2_932_896),
        Type::TimeMillis => longs(0, 86_399_999),
        Type::TimeMicros => longs(0, DAY - 1),
        Type::TimestampMillis | Type::LocalTimestampMillis => longs(FIRST / 1000, LAST / 1000),
        Type::TimestampMicros | Type::LocalTimestampMicros => longs(FIRST, LAST),
        Type::Decimal { precision, .. } => {
            let limit = 10i128.pow(u32::from(*precision));
            any::<i128>().prop_map(move |v| Owned::Decimal(v % limit)).boxed()
        }
        Type::Enum(_) => prop_oneof![Just("RED"), Just("GREEN")].prop_map(|v| Owned::Text(v.into())).boxed(),
        Type::Uuid => any::<u128>().prop_map(|v| Owned::Text(uuid::Uuid::from_u128(v).to_string())).boxed(),
        _ => "[\u{0}\u{1}a/%é\u{10ffff}]{0,5}".prop_map(Owned::Text).boxed(),
    }
}

/// Some columns, and two rows of values for them.
fn rows() -> impl Strategy<Value = (Vec<KeyColumn>, Vec<Owned>, Vec<Owned>)> {
    let column = (prop::sample::select(key_types()), any::<bool>());
    prop::collection::vec(column, 1..4).prop_flat_map(|columns| {
        let columns: Vec<_> =
            columns.into_iter().map(|(ty, descending)| KeyColumn { ty, descending }).collect();
        let row: Vec<_> = columns.iter().map(|column| value(&column.ty)).collect();
        (Just(columns), row.clone(), row)
    })
}

fn encode(columns: &[KeyColumn], row: &[Owned]) -> Vec<u8> {
    let mut out = Vec::new();
    for (column, value) in columns.iter().zip(row) {
        ordered::encode(column, value.datum(), &mut out);
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn key_bytes_sort_as_their_columns((columns, a, b) in rows()) {
        let expected = columns.iter().zip(a.iter().zip(&b)).map(|(column, (a, b))| {
            if column.descending { order(b, a) } else { order(a, b) }
        });
        let expected = expected.fold(Ordering::Equal, Ordering::then);
        prop_assert_eq!(encode(&columns, &a).cmp(&encode(&columns, &b)), expected);
    }

    #[test]
    fn key_bytes_give_back_their_columns_and_prefixes_are_prefixes((columns, row, _) in rows()) {
        let bytes = encode(&columns, &row);
        let arena = Bump::new();
        let mut rest = bytes.as_slice();
        for (at, (column, value)) in columns.iter().zip(&row).enumerate() {
            prop_assert!(bytes.starts_with(&encode(&columns[..at], &row[..at])));
            let (datum, after) = ordered::decode(column, rest, &arena).unwrap();
            prop_assert_eq!(datum, value.datum());
            rest = after;
        }
        prop_assert!(rest.is_empty());
    }

    #[test]
    fn arbitrary_key_bytes_never_panic(
        ty in prop::sample::select(key_types()), descending in any::<bool>(), bytes in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let column = KeyColumn { ty, descending };
        let arena = Bump::new();
        if let Ok((datum, rest)) = ordered::decode(&column, &bytes, &arena) {
            let mut again = Vec::new();
            ordered::encode(&column, datum, &mut again);
            prop_assert_eq!(again.as_slice(), &bytes[..bytes.len() - rest.len()]);
        }
    }

    #[test]
    fn key_texts_give_back_their_columns((columns, row, other) in rows()) {
        let types: Vec<_> = columns.iter().map(|column| &column.ty).collect();
        let write = |row: &[Owned]| {
            let datums: Vec<_> = row.iter().map(Owned::datum).collect();
            let mut key = Vec::new();
            text::write_key(&types, &datums, &mut key);
            String::from_utf8(key).unwrap()
        };
        let arena = Bump::new();
        let read = text::parse_key(&types, &write(&row), &arena).unwrap();
        prop_assert_eq!(read, row.iter().map(Owned::datum).collect::<Vec<_>>());
        let equal = row.iter().zip(&other).all(|(a, b)| order(a, b).is_eq());
        prop_assert_eq!(write(&row) == write(&other), equal);
    }

    #[test]
    fn times_are_written_as_another_library_reads_them(micros in FIRST..=LAST) {
        let mut out = Vec::new();
        text::write_rfc3339_micros(micros, &mut out);
        let theirs: jiff::Timestamp = std::str::from_utf8(&out).unwrap().parse().unwrap();
        prop_assert_eq!(theirs.as_microsecond(), micros);
        prop_assert_eq!(text::parse_rfc3339_micros(&out), Some(micros));
    }

    #[test]
    fn offsets_are_taken_off(seconds in FIRST / 1_000_000 + 86_400..LAST / 1_000_000 - 86_400, hours in 0i8..24, minutes in 0i8..60, west in any::<bool>()) {
        let theirs = jiff::Timestamp::from_second(seconds).unwrap();
        let shift = (i64::from(hours) * 60 + i64::from(minutes)) * 60 * if west { -1 } else { 1 };
        let local = jiff::Timestamp::from_second(seconds + shift).unwrap().to_string();
        let text = format!("{}{}{hours:02}:{minutes:02}", &local[..19], if west { '-' } else { '+' });
        prop_assert_eq!(text::parse_rfc3339_micros(text.as_bytes()), Some(theirs.as_microsecond()), "{}", text);
    }

    #[test]
    fn arbitrary_texts_never_panic_and_read_the_same_again(ty in prop::sample::select(key_types()), given in "\\PC{0,40}|[0-9:TZ.+-]{0,30}") {
        let arena = Bump::new();
        if let Ok(datum) = text::parse(&ty, &given, &arena) {
            let mut out = Vec::new();
            text::write(&ty, datum, &mut out);
            prop_assert_eq!(text::parse(&ty, std::str::from_utf8(&out).unwrap(), &arena), Ok(datum));
        }
    }
}

#[test]
fn times_outside_the_calendar_are_refused() {
    let wrong = [
        "2026-02-30T00:00:00Z",
        "0000-01-01T00:00:00Z",
        "2026-01-31T24:00:00Z",
        "2026-01-31T12:00:60Z",
        "2026-01-31T12:00:00",
        "2026-01-31",
        "2026-1-31T12:00:00Z",
        "2026-01-31T12:00:00.Z",
        "2026-01-31T12:00:00+24:00",
        "0001-01-01T00:00:00+00:01",
        "",
        "2026-13-01T00:00:00Z",
        "12026-01-01T00:00:00Z",
    ];
    for text in wrong {
        assert_eq!(text::parse_rfc3339_micros(text.as_bytes()), None, "{text}");
    }
    assert_eq!(text::parse_rfc3339_micros(b"1970-01-01t00:00:00.0000019z"), Some(1));
}

#[test]
fn a_key_of_several_columns_is_joined_and_escaped() {
    let types = [&Type::String, &Type::Long];
    let mut key = Vec::new();
    text::write_key(&types, &[Datum::Text("a/b%"), Datum::Long(7)], &mut key);
    assert_eq!(key, b"a%2Fb%25/7");
    let arena = Bump::new();
    for wrong in ["a", "a/7/8", "a%/7", "a%2f/7", "a%41/7", "a/x"] {
        assert!(text::parse_key(&types, wrong, &arena).is_err(), "{wrong}");
    }
    let mut single = Vec::new();
    text::write_key(&[&Type::String], &[Datum::Text("a/b%")], &mut single);
    assert_eq!(single, b"a/b%");
}

#[test]
fn a_wrong_text_is_told_with_an_example() {
    let arena = Bump::new();
    let error = text::parse(&Type::TimestampMillis, "yesterday", &arena).unwrap_err();
    assert_eq!(error.to_string(), "`yesterday` is not a timestamp-millis such as 2026-01-31T12:00:00Z");
}
