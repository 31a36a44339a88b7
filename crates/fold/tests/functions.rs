//! Every function of the registry does what its row says: NULL where it says NULL, failure where it says failure, a
//! value of the type it says, for values at the ends of their types. Whoever adds a row is held to it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what went wrong by failing"
)]

use bumpalo::Bump;
use tidefold_app::functions::FUNCTIONS;
use tidefold_app::functions::row::{Form, Function, Nulls, Takes};
use tidefold_app::sql::{Names, expression};
use tidefold_codec::{ColumnType, Datum, Type};
use tidefold_fold::eval::{Env, eval};

type Sample = (&'static str, Type, Vec<Datum<'static>>);

fn decimal(precision: u8, scale: u8) -> Type {
    Type::Decimal { precision, scale, fixed: None }
}

/// Columns of many types, each with values at the ends of its type; the first is NULL.
fn samples() -> Vec<Sample> {
    let most = 10_i128.pow(38) - 1;
    let text: &'static str = "ab".repeat(300_000).leak();
    let longs = |list: &[i64]| list.iter().map(|value| Datum::Long(*value)).collect::<Vec<_>>();
    let decimals = |list: &[i128]| list.iter().map(|value| Datum::Decimal(*value)).collect::<Vec<_>>();
    let doubles = |list: &[f64]| list.iter().map(|value| Datum::Double(*value)).collect::<Vec<_>>();
    let (first, last) = (-62_135_596_800_i64, 253_402_300_799_i64);
    let list = ColumnType { ty: Type::Long, nullable: false };
    let map = ColumnType { ty: Type::String, nullable: true };
    let mut samples: Vec<Sample> = vec![
        ("s", Type::String, ["", " Zoë Ärger ", "k", text].map(Datum::Text).to_vec()),
        ("raw", Type::Bytes, vec![Datum::Bytes(&[]), Datum::Bytes(&[1, 2, 255])]),
        ("b", Type::Boolean, vec![Datum::Boolean(false), Datum::Boolean(true)]),
        ("i", Type::Int, longs(&[i64::from(i32::MIN), -1, 0, i64::from(i32::MAX)])),
        ("n", Type::Long, longs(&[i64::MIN, -1, 0, 2, i64::MAX])),
        ("d", decimal(10, 2), decimals(&[-9_999_999_999, -50, 0, 149, 9_999_999_999])),
        ("wide", decimal(38, 0), decimals(&[-most, 0, most])),
        ("deep", decimal(38, 38), decimals(&[-most, 1, most])),
        ("x", Type::Double, doubles(&[-1.7e308, -2.5, 0.0, 5e-324, 1.7e308])),
        ("f", Type::Float, doubles(&[-2.5, 0.0])),
        ("due", Type::Date, longs(&[first / 86_400, 0, last / 86_400])),
        ("opens", Type::TimeMillis, longs(&[0, 86_399_999])),
        ("closes", Type::TimeMicros, longs(&[0, 86_399_999_999])),
        ("at", Type::TimestampMillis, longs(&[first * 1_000, -1, last * 1_000 + 999])),
        ("precise", Type::TimestampMicros, longs(&[first * 1_000_000, -1, last * 1_000_000 + 999_999])),
        ("local", Type::LocalTimestampMicros, longs(&[first * 1_000_000, 0])),
        ("list", Type::Array(list.into()), vec![Datum::Encoded(&[0]), Datum::Encoded(&[4, 2, 4, 0])]),
        (
            "map",
            Type::Map(map.into()),
            vec![Datum::Encoded(&[0]), Datum::Encoded(&[2, 2, b'k', 2, 2, b'v', 0])],
        ),
    ];
    samples.iter_mut().for_each(|(_, _, values)| values.insert(0, Datum::Null));
    samples
}

/// What may stand at an argument's place.
fn candidates(takes: Takes) -> &'static [&'static str] {
    match takes {
        Takes::String => &["s"],
        Takes::StringOrBytes => &["s", "raw"],
        Takes::Long => &["n", "i"],
        Takes::Number => &["i", "n", "d", "wide", "deep", "x", "f"],
        Takes::Timestamp => &["at", "precise", "local"],
        Takes::Day => &["due", "at", "precise", "local"],
        Takes::Time => &["due", "opens", "closes", "at", "precise", "local"],
        Takes::Collection => &["list", "map"],
        Takes::Map => &["map"],
        Takes::Alike => &["s", "n", "list", "map", "x"],
        Takes::Comparable => {
            &["s", "raw", "b", "i", "n", "d", "wide", "deep", "x", "f", "due", "opens", "at", "precise"]
        }
        Takes::Digits => &["0", "1", "37"],
        Takes::Unit => &["'second'", "'hour'", "'day'", "'week'", "'month'", "'quarter'", "'year'"],
        Takes::Part => &["'year'", "'week'", "'dow'", "'doy'", "'hour'", "'second'", "'epoch'"],
    }
}

/// Every way to fill the arguments of a function.
fn calls(row: &Function) -> Vec<Vec<&'static str>> {
    let (least, most) = row.arguments();
    let mut calls = Vec::new();
    for count in (least..=most).take(3) {
        let takes: Vec<Takes> = (0..count).filter_map(|at| row.takes_at(at)).collect();
        if takes.iter().all(|takes| matches!(takes, Takes::Alike | Takes::Comparable)) {
            calls.extend(candidates(takes[0]).iter().map(|name| vec![*name; count]));
            continue;
        }
        let mut lists = vec![Vec::new()];
        for takes in takes {
            let more = |list: Vec<&'static str>| {
                candidates(takes).iter().map(move |name| [&list[..], &[*name]].concat())
            };
            lists = lists.into_iter().flat_map(more).collect();
        }
        calls.extend(lists);
    }
    calls
}

fn is_of(value: Datum<'_>, ty: &Type) -> bool {
    match value {
        Datum::Null => true,
        Datum::Boolean(_) => *ty == Type::Boolean,
        Datum::Long(number) => Datum::long(number, ty).is_some(),
        Datum::Double(number) => number.is_finite() && matches!(ty, Type::Double | Type::Float),
        Datum::Decimal(number) => Datum::decimal(number, ty).is_some(),
        Datum::Text(_) => *ty == Type::String,
        Datum::Bytes(_) => matches!(ty, Type::Bytes),
        Datum::Encoded(_) => matches!(ty, Type::Array(_) | Type::Map(_)),
    }
}

/// Judges a call with every combination of values; how many there were.
fn judge(row: &Function, call: &[&str], samples: &[Sample], wrong: &mut Vec<String>) -> usize {
    let is_column = |name: &&&str| samples.iter().any(|(known, ..)| *known == **name);
    let arguments: Vec<String> = call
        .iter()
        .enumerate()
        .map(|(at, name)| if is_column(&name) { format!("state.a{at}") } else { (*name).to_owned() })
        .collect();
    let text = format!("{}({})", row.name, arguments.join(", "));
    let filled: Vec<(usize, &Sample)> = call
        .iter()
        .enumerate()
        .filter_map(|(at, name)| Some((at, samples.iter().find(|(known, ..)| known == name)?)))
        .collect();
    let columns: Vec<_> = filled
        .iter()
        .map(|(at, (_, ty, _))| tidefold_table::Column {
            name: format!("a{at}"),
            column: ColumnType { ty: ty.clone(), nullable: true },
        })
        .collect();
    let names = Names { state: Some(&columns), message: None, lets: &[], context: true, enums: &[] };
    // A date has no hour; what a time has is the checker's test.
    let Ok(expr) = expression(&text, &names, None) else { return 0 };
    let mut places = vec![0; filled.len()];
    let mut count = 0;
    loop {
        let values: Vec<Datum<'_>> =
            places.iter().zip(&filled).map(|(at, (_, sample))| sample.2[*at]).collect();
        count += 1;
        let arena = Bump::new();
        let mut env = Env::new(&arena);
        env.state = &values;
        let found = eval(&expr, &env);
        let said = match found {
            Ok(value) => {
                let null = values.iter().any(Datum::is_null);
                is_of(value, &expr.column.ty) && (row.nulls != Nulls::Strict || value.is_null() == null)
            }
            Err(error) => row.fails.with(&expr.column.ty) == Some(error),
        };
        if !said {
            let short = |value: &Datum<'_>| format!("{value:?}").chars().take(60).collect::<String>();
            let values: Vec<String> = values.iter().map(short).collect();
            wrong.push(format!("{text} of {}: {:?}", values.join(", "), found.map(|value| short(&value))));
        }
        let Some(next) = (0..places.len()).find(|at| places[*at] + 1 < filled[*at].1.2.len()) else {
            return count;
        };
        places[next] += 1;
        places[..next].fill(0);
    }
}

#[test]
fn every_function_is_null_and_fails_as_its_row_says() {
    let samples = samples();
    let mut wrong = Vec::new();
    for row in FUNCTIONS {
        if !matches!(row.form, Form::Evaluated(_)) {
            continue;
        }
        let judged: usize = calls(row).iter().map(|call| judge(row, call, &samples, &mut wrong)).sum();
        assert!(judged > 1, "no call of {} was typed", row.name);
    }
    assert!(wrong.is_empty(), "{} calls:\n{}", wrong.len(), wrong.join("\n"));
}
