//! Expressions against a table of cases, written as SQL and typed by the checker.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what went wrong by failing"
)]

use bumpalo::Bump;
use tidefold_app::expr::Expr;
use tidefold_app::sql::{Names, expression};
use tidefold_app::values::EvalError;
use tidefold_codec::{ColumnType, Datum, Type};
use tidefold_fold::eval::{Env, eval, matches};
use tidefold_table::Column;

fn decimal(precision: u8, scale: u8) -> Type {
    Type::Decimal { precision, scale, fixed: None }
}

/// 2026-02-28T23:59:59.123Z, a Saturday.
const MOMENT: i64 = 1_772_323_199_123;

fn columns() -> Vec<(&'static str, Type, Datum<'static>)> {
    vec![
        ("status", Type::String, Datum::Text("placed")),
        ("name", Type::String, Datum::Text("  Zoë Ärger ")),
        ("none", Type::String, Datum::Null),
        ("count", Type::Int, Datum::Long(7)),
        ("top", Type::Int, Datum::Long(i32::MAX as i64)),
        ("total", Type::Long, Datum::Long(-17)),
        ("low", Type::Long, Datum::Long(i64::MIN)),
        ("missing", Type::Long, Datum::Null),
        ("price", decimal(10, 2), Datum::Decimal(1_995)),
        ("debt", decimal(10, 2), Datum::Decimal(-250)),
        ("large", decimal(38, 0), Datum::Decimal(99_999_999_999_999_999_999_999_999_999_999_999_999)),
        ("weight", Type::Double, Datum::Double(2.5)),
        ("huge", Type::Double, Datum::Double(1e308)),
        ("open", Type::Boolean, Datum::Boolean(true)),
        ("maybe", Type::Boolean, Datum::Null),
        ("due", Type::Date, Datum::Long(20_512)),
        ("at", Type::TimestampMillis, Datum::Long(MOMENT)),
        ("fine", Type::TimestampMicros, Datum::Long(MOMENT * 1_000 + 456)),
        ("old", Type::TimestampMillis, Datum::Long(-1)),
        ("first", Type::TimestampMicros, Datum::Long(-62_135_596_800_000_000)),
        ("last", Type::TimestampMicros, Datum::Long(253_402_300_799_999_999)),
        ("opens", Type::TimeMillis, Datum::Long(45_296_789)),
        ("raw", Type::Bytes, Datum::Bytes(&[1, 2, 3])),
    ]
}

/// The value as text, or the error's code.
fn value_of(text: &str) -> String {
    let list = columns();
    let columns: Vec<Column> = list
        .iter()
        .map(|(name, ty, value)| Column {
            name: (*name).to_owned(),
            column: ColumnType { ty: ty.clone(), nullable: value.is_null() },
        })
        .collect();
    let slots: Vec<Datum<'_>> = list.iter().map(|(_, _, value)| *value).collect();
    let names = Names { state: Some(&columns), message: None, lets: &[], context: true, enums: &[] };
    let expr: Expr =
        expression(text, &names, None).unwrap_or_else(|problems| panic!("{text}: {problems:#?}"));
    let arena = Bump::new();
    let mut env = Env::new(&arena);
    env.state = &slots;
    env.event_time_micros = Some(MOMENT * 1_000 + 456);
    env.caller = Some("kim");
    match eval(&expr, &env) {
        Err(error) => error.code().to_owned(),
        Ok(Datum::Null) => "NULL".to_owned(),
        Ok(Datum::Boolean(value)) => value.to_string(),
        Ok(Datum::Long(value)) => value.to_string(),
        Ok(Datum::Double(value)) => format!("{value:?}"),
        Ok(Datum::Decimal(value)) => format!("d{value}"),
        Ok(Datum::Text(value)) => format!("'{value}'"),
        Ok(other) => format!("{other:?}"),
    }
}

fn compare(table: &[(&str, &str)]) {
    let wrong: Vec<String> = table
        .iter()
        .map(|(text, expected)| (text, expected, value_of(text)))
        .filter(|(_, expected, found)| found != *expected)
        .map(|(text, expected, found)| format!("{text}\n  expected {expected}\n  found    {found}"))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn integers_are_exact_or_an_error() {
    compare(&[
        ("state.count + 1", "8"),
        ("state.top + 1", "overflow"),
        ("state.top + 5000000000", "7147483647"),
        ("state.top * state.top", "overflow"),
        ("state.total / 5", "-3"),
        ("state.total % 5", "-2"),
        ("mod(state.total, 5)", "-2"),
        ("state.count / 0", "division_by_zero"),
        ("state.count % 0", "division_by_zero"),
        ("state.low / -1", "overflow"),
        ("state.low % -1", "0"),
        ("-state.low", "overflow"),
        ("abs(state.low)", "overflow"),
        ("abs(state.total)", "17"),
        ("-state.total", "17"),
        ("state.missing + 1", "NULL"),
        ("state.missing / 0", "NULL"),
        ("least(3, state.count, 5)", "3"),
        ("greatest(3, state.count, 5)", "7"),
        ("greatest(3, state.missing)", "NULL"),
        ("floor(state.count)", "7"),
    ]);
}

#[test]
fn decimals_are_exact_and_round_half_away_from_zero() {
    compare(&[
        ("state.price + 1", "d2095"),
        ("state.price - state.debt", "d2245"),
        ("state.price * 3", "d5985"),
        ("state.price * state.debt", "d-498750"),
        ("state.price / 3", "d6650000"),
        ("2.00 / 3", "d666667"),
        ("-2.00 / 3", "d-666667"),
        ("state.price / 0", "division_by_zero"),
        ("state.price % 7", "d595"),
        ("state.large + 1", "overflow"),
        ("state.large * 10", "overflow"),
        ("round(state.price)", "d20"),
        ("round(state.debt)", "d-3"),
        ("round(state.price, 1)", "d200"),
        ("round(2.445, 2)", "d245"),
        ("floor(state.debt)", "d-3"),
        ("ceil(state.debt)", "d-2"),
        ("ceil(state.price)", "d20"),
        ("floor(-state.debt)", "d2"),
        ("-state.debt", "d250"),
        ("abs(state.debt)", "d250"),
        ("state.price > 19.9", "true"),
        ("state.price = 19.950", "true"),
        ("state.price < state.count", "false"),
        ("state.price > state.weight", "true"),
    ]);
}

#[test]
fn doubles_are_finite_and_have_no_negative_zero() {
    compare(&[
        ("state.weight * 2", "5.0"),
        ("state.weight / 0", "division_by_zero"),
        ("state.huge * 10", "overflow"),
        ("-(state.weight - 2.5)", "0.0"),
        ("state.weight % 2", "0.5"),
        ("round(state.weight)", "3.0"),
        ("round(-state.weight)", "-3.0"),
        ("round(state.huge, 30)", "1e308"),
        ("floor(-state.weight)", "-3.0"),
        ("ceil(-state.weight)", "-2.0"),
        ("state.weight = 2.5", "true"),
    ]);
}

#[test]
fn logic_has_three_values_and_stops_when_it_is_decided() {
    compare(&[
        ("state.open AND state.maybe", "NULL"),
        ("state.maybe AND FALSE", "false"),
        ("state.maybe OR state.open", "true"),
        ("state.maybe OR FALSE", "NULL"),
        ("NOT state.maybe", "NULL"),
        ("state.maybe IS NULL", "true"),
        ("state.maybe IS UNKNOWN", "true"),
        ("state.maybe IS NOT TRUE", "true"),
        ("state.open IS TRUE", "true"),
        ("state.maybe IS FALSE", "false"),
        ("FALSE AND 1 / 0 = 1", "false"),
        ("TRUE OR 1 / 0 = 1", "true"),
        ("state.maybe AND 1 / 0 = 1", "division_by_zero"),
        ("1 / 0 = 1 AND FALSE", "division_by_zero"),
        ("state.missing IN (1, 2)", "NULL"),
        ("state.count IN (1, 7, 1 / 0)", "true"),
        ("state.count IN (1, state.missing)", "NULL"),
        ("state.count NOT IN (1, 2)", "true"),
        ("state.count BETWEEN 1 AND 7", "true"),
        ("state.count BETWEEN state.missing AND 3", "false"),
        ("state.count BETWEEN state.missing AND 9", "NULL"),
        ("state.missing IS DISTINCT FROM NULL", "false"),
        ("state.missing IS DISTINCT FROM 1", "true"),
        ("state.count IS NOT DISTINCT FROM 7", "true"),
        ("CASE WHEN state.maybe THEN 1 WHEN state.open THEN 2 ELSE 1 / 0 END", "2"),
        ("CASE state.count WHEN 1 THEN 'a' WHEN 7 THEN 'b' END", "'b'"),
        ("CASE state.missing WHEN 1 THEN 'a' END", "NULL"),
        ("coalesce(state.missing, 5, 1 / 0)", "5"),
        ("coalesce(state.missing, NULL)", "NULL"),
        ("nullif(state.count, 7)", "NULL"),
        ("nullif(state.count, state.missing)", "7"),
    ]);
}

#[test]
fn texts_count_characters_and_compare_bytes() {
    compare(&[
        ("state.status = 'placed'", "true"),
        ("state.status < 'q'", "true"),
        ("'Z' < 'a'", "true"),
        ("'ä' > 'z'", "true"),
        ("upper(state.name)", "'  ZOë ÄRGER '"),
        ("lower('ABCÄ')", "'abcÄ'"),
        ("trim(state.name)", "'Zoë Ärger'"),
        ("length(trim(state.name))", "9"),
        ("length(state.raw)", "3"),
        ("substr(trim(state.name), 3, 3)", "'ë Ä'"),
        ("substr('abc', 2)", "'bc'"),
        ("substr('abc', 0, 2)", "'a'"),
        ("substr('abc', -5)", "'abc'"),
        ("substr('abc', 2, -1)", "''"),
        ("substr('abc', 9)", "''"),
        ("substr('abc', 9223372036854775807, 9223372036854775807)", "''"),
        ("starts_with(state.status, 'pla')", "true"),
        ("replace('banana', 'an', 'o')", "'booa'"),
        ("replace('banana', '', 'o')", "'banana'"),
        ("state.status || '-' || state.status", "'placed-placed'"),
        ("state.status || state.none", "NULL"),
        (
            "replace(replace(replace(replace(replace(replace(replace('aaaaaaaaaa', 'a', 'aaaaaaaaaa'), 'a', 'aaaaaaaaaa'), 'a', 'aaaaaaaaaa'), 'a', 'aaaaaaaaaa'), 'a', 'aaaaaaaaaa'), 'a', 'aaaaaaaaaa'), 'a', 'aaaaaaaaaa')",
            "text_too_long",
        ),
        ("state.status LIKE 'pl%d'", "true"),
        ("state.status LIKE 'p_aced'", "true"),
        ("state.status LIKE 'P%'", "false"),
        ("state.status LIKE '%a%e%'", "true"),
        ("state.status LIKE '%x%'", "false"),
        ("'ö' LIKE '_'", "true"),
        ("'50%' LIKE '50!%' ESCAPE '!'", "true"),
        ("'' LIKE '%'", "true"),
        ("'' LIKE ''", "true"),
        ("'aab' LIKE '%ab'", "true"),
        ("state.none LIKE '%'", "NULL"),
    ]);
}

#[test]
fn times_are_cut_and_taken_apart_in_utc() {
    compare(&[
        ("date_trunc('second', state.at)", "1772323199000"),
        ("date_trunc('minute', state.at)", "1772323140000"),
        ("date_trunc('hour', state.at)", "1772319600000"),
        ("date_trunc('day', state.at)", "1772236800000"),
        ("date_trunc('week', state.at)", "1771804800000"),
        ("date_trunc('month', state.at)", "1769904000000"),
        ("date_trunc('quarter', state.at)", "1767225600000"),
        ("date_trunc('year', state.at)", "1767225600000"),
        ("date_trunc('day', state.old)", "-86400000"),
        ("date_trunc('year', state.first)", "-62135596800000000"),
        ("date_trunc('week', state.first)", "-62135596800000000"),
        ("state.last + INTERVAL '1 microsecond'", "overflow"),
        ("state.first - INTERVAL '1 microsecond'", "overflow"),
        ("extract(year FROM state.last)", "9999"),
        ("CAST(state.last + INTERVAL '1 day' AS string)", "overflow"),
        ("CAST(state.last AS date) + INTERVAL '1 day'", "overflow"),
        ("CAST(state.first AS timestamp(3)) - INTERVAL '1 millisecond'", "overflow"),
        ("date_trunc('month', state.due)", "20485"),
        ("extract(year FROM state.at)", "2026"),
        ("extract(quarter FROM state.at)", "1"),
        ("extract(month FROM state.at)", "2"),
        ("extract(week FROM state.at)", "9"),
        ("extract(day FROM state.at)", "28"),
        ("extract(dow FROM state.at)", "6"),
        ("extract(doy FROM state.at)", "59"),
        ("extract(hour FROM state.fine)", "23"),
        ("extract(minute FROM state.at)", "59"),
        ("extract(second FROM state.at)", "59"),
        ("extract(epoch FROM state.at)", "1772323199"),
        ("extract(epoch FROM state.old)", "-1"),
        ("date_part('hour', state.opens)", "12"),
        ("extract(second FROM state.opens)", "56"),
        ("to_date(state.at)", "20512"),
        ("to_date(state.old)", "-1"),
        ("state.due = to_date(state.at)", "true"),
        ("state.at < state.fine", "true"),
        ("state.at + INTERVAL '1 second'", "1772323200123"),
        ("state.fine - INTERVAL '1' DAY", "1772236799123456"),
        ("state.due + INTERVAL '1 day'", "20513"),
        ("event_time() = state.fine", "true"),
        ("append_time()", "NULL"),
        ("caller()", "'kim'"),
        ("DATE '2026-02-28' = state.due", "true"),
        ("TIMESTAMP '2026-02-28T23:59:59.123Z' = state.at", "true"),
        ("extract(week FROM DATE '2027-01-01')", "53"),
        ("extract(week FROM DATE '2024-12-30')", "1"),
        ("extract(doy FROM DATE '2024-12-31')", "366"),
        ("extract(dow FROM DATE '1970-01-01')", "4"),
        ("extract(day FROM DATE '2000-02-29')", "29"),
    ]);
}

#[test]
fn casts_convert_or_fail() {
    compare(&[
        ("CAST(state.weight AS int)", "3"),
        ("CAST(-state.weight AS long)", "-3"),
        ("CAST(state.huge AS long)", "overflow"),
        ("CAST(5000000000 AS int)", "overflow"),
        ("CAST(state.price AS int)", "20"),
        ("CAST(state.price AS double)", "19.95"),
        ("CAST(state.price AS decimal(3,1))", "d200"),
        ("CAST(state.price AS decimal(2,1))", "overflow"),
        ("CAST(state.count AS decimal(5,2))", "d700"),
        ("CAST(state.weight AS decimal(5,2))", "d250"),
        ("CAST(state.huge AS decimal(38,0))", "overflow"),
        ("CAST(0.1 AS float)", "0.10000000149011612"),
        ("CAST(state.large AS double)", "1e38"),
        // The double nearest to 10^38 has 38 digits, the next one 39.
        ("CAST(CAST('1e38' AS double) AS decimal(38,0))", "d99999999999999997748809823456034029568"),
        ("CAST(CAST('1.0000000000000002e38' AS double) AS decimal(38,0))", "overflow"),
        ("CAST(CAST('-1e38' AS double) AS decimal(38,1))", "overflow"),
        // To the nearest float, not to the nearest double and from there.
        ("CAST(CAST(4611686293305294849 AS long) AS float)", "4.611686568183202e18"),
        ("CAST(CAST('4611686293305294849' AS decimal(38,0)) AS float)", "4.611686568183202e18"),
        ("CAST(state.count AS string)", "'7'"),
        ("CAST(state.price AS string)", "'19.95'"),
        ("CAST(state.open AS int)", "1"),
        ("CAST(state.due AS string)", "'2026-02-28'"),
        ("CAST(state.at AS string)", "'2026-02-28T23:59:59.123Z'"),
        ("CAST(state.status AS long)", "bad_cast"),
        ("CAST(state.none AS long)", "NULL"),
        ("CAST('12' || '3' AS long)", "123"),
        ("CAST('2026-02-' || '28' AS date)", "20512"),
        ("CAST(state.due AS timestamp(3))", "1772236800000"),
        ("CAST(state.at AS date)", "20512"),
        ("CAST(state.fine AS timestamp(3))", "1772323199123"),
        ("CAST(state.at AS timestamp(6))", "1772323199123000"),
        ("CAST(state.first AS date)", "-719162"),
        ("CAST(state.last AS date)", "2932896"),
        ("CAST(NULL AS long)", "NULL"),
    ]);
}

#[test]
fn a_condition_holds_only_on_true() {
    let list = [Datum::Null];
    let columns = [Column { name: "maybe".to_owned(), column: Type::Boolean.nullable() }];
    let names = Names { state: Some(&columns), message: None, lets: &[], context: false, enums: &[] };
    let arena = Bump::new();
    let mut env = Env::new(&arena);
    env.state = &list;
    for (text, expected) in [
        ("state.maybe", Ok(false)),
        ("state.maybe IS NULL", Ok(true)),
        ("FALSE", Ok(false)),
        ("1 / 0 = 1", Err(EvalError::DivisionByZero)),
    ] {
        let expr = expression(text, &names, Some(&Type::Boolean.nullable())).expect("a condition");
        assert_eq!(matches(&expr, &env), expected, "{text}");
    }
}

#[test]
fn a_slot_of_another_form_is_damaged_and_no_panic() {
    let columns = [Column { name: "x".to_owned(), column: Type::Long.required() }];
    let names = Names { state: Some(&columns), message: None, lets: &[], context: false, enums: &[] };
    let arena = Bump::new();
    let mut env = Env::new(&arena);
    for slots in [&[][..], &[Datum::Text("x")][..], &[Datum::Encoded(&[1])][..]] {
        env.state = slots;
        for text in
            ["state.x + 1", "state.x = 1", "-state.x", "state.x IN (1)", "CAST(state.x AS decimal(20,0)) > 1"]
        {
            let expr = expression(text, &names, None).expect("an expression");
            assert!(eval(&expr, &env).is_err(), "{text}");
        }
    }
}
