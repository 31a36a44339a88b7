//! Arithmetic at the ends of its types: decimals against numbers without bounds, casts that are written, enums by name.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what went wrong by failing"
)]

use std::sync::Arc;

use bumpalo::Bump;
use num_bigint::BigInt;
use proptest::prelude::*;
use tidefold_app::expr::Expr;
use tidefold_app::sql::{Names, expression};
use tidefold_app::values::EvalError;
use tidefold_codec::{ColumnType, Datum, EnumType, Type};
use tidefold_fold::eval::{Env, eval};
use tidefold_table::Column;

fn decimal(precision: u8, scale: u8) -> Type {
    Type::Decimal { precision, scale, fixed: None }
}

fn symbols(name: &str, list: &[&str]) -> Type {
    let symbols = list.iter().map(|symbol| (*symbol).to_owned()).collect();
    Type::Enum(Arc::new(EnumType { full_name: format!("shop.{name}"), symbols, default: None }))
}

/// The value of an expression over columns, and its type; or the code of why it has none.
fn value<'a>(
    text: &str,
    columns: &[(&str, Type, Datum<'a>)],
    enums: &[Type],
    arena: &'a Bump,
) -> (Type, Result<Datum<'a>, EvalError>) {
    let named: Vec<Column> = columns
        .iter()
        .map(|(name, ty, _)| Column {
            name: (*name).to_owned(),
            column: ColumnType { ty: ty.clone(), nullable: false },
        })
        .collect();
    let names = Names { state: Some(&named), message: None, lets: &[], context: true, enums };
    let expr: Expr = expression(text, &names, None).unwrap_or_else(|wrong| panic!("{text}: {wrong:#?}"));
    let expr = arena.alloc(expr);
    let env = Env {
        state: arena.alloc_slice_fill_iter(columns.iter().map(|(.., value)| *value)),
        ..Env::new(arena)
    };
    (expr.column.ty.clone(), eval(expr, &env))
}

fn ten(power: u32) -> BigInt {
    BigInt::from(10).pow(power)
}

/// `a / b`, rounded half away from zero.
fn rounded(a: &BigInt, b: &BigInt) -> BigInt {
    let zero = BigInt::from(0);
    let negative = (*a < zero) != (*b < zero);
    let size = |x: &BigInt| if *x < zero { -x } else { x.clone() };
    let (a, b) = (size(a), size(b));
    let quotient: BigInt = (&a * 2 + &b) / (&b * 2);
    if negative { -quotient } else { quotient }
}

fn number(precision: u8) -> impl Strategy<Value = i128> {
    let most = 10_i128.pow(u32::from(precision)) - 1;
    prop_oneof![
        Just(most),
        Just(-most),
        Just(most - 1),
        Just(1),
        Just(-1),
        (-9..10_i128).prop_map(move |n| n.clamp(-most, most)),
        -most..=most,
        (0..127_u32, -1..2_i128).prop_map(move |(bit, near)| ((1_i128 << bit) + near).clamp(-most, most)),
    ]
}

fn operand() -> impl Strategy<Value = (u8, u8, i128)> {
    (prop_oneof![Just(38_u8), 1..39_u8])
        .prop_flat_map(|precision| (Just(precision), 0..=precision, number(precision)))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6_000, max_global_rejects: 60_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn decimals_are_computed_as_numbers_without_bounds_are(
        (p, s, a) in operand(),
        (q, z, b) in operand(),
        op in prop::sample::select(vec!["+", "-", "*", "/", "%"]),
    ) {
        let whole = u32::from((p - s).max(q - z)) + u32::from(s.max(z));
        prop_assume!(!matches!(op, "+" | "-" | "%") || whole <= 38);
        prop_assume!(op != "*" || s + z <= 38);
        let arena = Bump::new();
        let columns = [("a", decimal(p, s), Datum::Decimal(a)), ("b", decimal(q, z), Datum::Decimal(b))];
        let (ty, found) = value(&format!("state.a {op} state.b"), &columns, &[], &arena);
        let Type::Decimal { precision, scale, .. } = ty else { panic!("{ty:?}") };
        let finer = u32::from(s.max(z));
        let (x, y) = (BigInt::from(a), BigInt::from(b));
        let (left, right) = (&x * ten(finer - u32::from(s)), &y * ten(finer - u32::from(z)));
        let nothing = BigInt::from(0);
        let exact = match op {
            "+" => Some(left + right),
            "-" => Some(left - right),
            "*" => Some(&x * &y),
            _ if y == nothing => None,
            "%" => Some(left % right),
            _ => Some(rounded(&(left * ten(u32::from(scale))), &right)),
        };
        let wanted = match exact {
            None => Err(EvalError::DivisionByZero),
            Some(exact) if exact < ten(u32::from(precision)) && -&exact < ten(u32::from(precision)) => {
                Ok(Datum::Decimal(i128::try_from(exact).unwrap()))
            }
            Some(_) => Err(EvalError::Overflow),
        };
        prop_assert_eq!(found, wanted, "decimal({},{}) {} {} decimal({},{}) {}", p, s, a, op, q, z, b);
    }
}

#[test]
fn quotients_of_large_decimals_are_exact() {
    let most = 10_i128.pow(38) - 1;
    for (left, right, wanted) in [
        ((38, 0, most), (38, 0, most), Ok(1_000_000)),
        ((38, 0, most), (38, 0, 3), Err(EvalError::Overflow)),
        ((38, 38, most), (38, 38, most), Err(EvalError::Overflow)),
        ((38, 0, 2), (38, 0, most - 1), Ok(0)),
        ((38, 20, 1), (38, 0, 3), Ok(0)),
        ((38, 30, 2 * 10_i128.pow(30)), (38, 0, 3), Ok(666_666_666_666_666_666_666_666_666_667)),
        ((38, 18, -most), (38, 0, most), Ok(-1)),
        ((38, 6, most), (38, 6, 2_000_000), Ok(most / 2 + 1)),
        ((38, 6, -most), (38, 6, 2_000_000), Ok(-(most / 2 + 1))),
        ((38, 0, 1), (38, 38, 1), Err(EvalError::Overflow)),
    ] {
        let arena = Bump::new();
        let column = |(p, s, v): (u8, u8, i128)| (decimal(p, s), Datum::Decimal(v));
        let ((a, x), (b, y)) = (column(left), column(right));
        let (_, found) = value("state.a / state.b", &[("a", a, x), ("b", b, y)], &[], &arena);
        assert_eq!(found, wanted.map(Datum::Decimal), "{left:?} / {right:?}");
    }
}

#[test]
fn a_cast_that_is_written_is_done_also_of_a_literal_to_its_own_type() {
    let columns = [
        ("small", decimal(3, 2), Datum::Decimal(999)),
        ("tenth", decimal(3, 1), Datum::Decimal(984)),
        ("i", Type::Int, Datum::Long(i64::from(i32::MAX))),
        ("d", Type::Double, Datum::Double(0.5)),
    ];
    for (text, ty, wanted) in [
        ("state.small + CAST(5 AS int)", decimal(12, 2), "Ok(Decimal(1499))"),
        ("CAST(5 AS int) + state.small", decimal(12, 2), "Ok(Decimal(1499))"),
        ("state.small + 5::int", decimal(12, 2), "Ok(Decimal(1499))"),
        ("state.small + 5", decimal(3, 2), "Err(Overflow)"),
        ("CAST(1.50 AS decimal(3,2)) + state.tenth", decimal(4, 2), "Ok(Decimal(9990))"),
        ("CAST('1.50' AS decimal(3,2)) + state.tenth", decimal(4, 2), "Ok(Decimal(9990))"),
        ("state.i + CAST(1 AS long)", Type::Long, "Ok(Long(2147483648))"),
        ("state.i + 1", Type::Int, "Err(Overflow)"),
        ("least(state.small, CAST(100 AS int))", decimal(12, 2), "Ok(Decimal(999))"),
        ("coalesce(state.small, CAST(100 AS int))", decimal(12, 2), "Ok(Decimal(999))"),
        ("CASE WHEN TRUE THEN CAST(7 AS int) ELSE state.small END", decimal(12, 2), "Ok(Decimal(700))"),
        ("nullif(state.small, CAST(9 AS int))", decimal(12, 2), "Ok(Decimal(999))"),
        ("state.d + CAST(1e0 AS double)", Type::Double, "Ok(Double(1.5))"),
        ("state.small > CAST(10 AS int)", Type::Boolean, "Ok(Boolean(false))"),
        ("state.small IN (CAST(10 AS int), CAST(9.99 AS decimal(3,2)))", Type::Boolean, "Ok(Boolean(true))"),
    ] {
        let arena = Bump::new();
        let (found, result) = value(text, &columns, &[], &arena);
        assert_eq!(found, ty, "{text}");
        assert_eq!(format!("{result:?}"), wanted, "{text}");
    }
}

/// These texts are in states and keys: a library that writes them otherwise changes rows.
#[test]
fn a_float_has_the_shortest_text_that_reads_back() {
    let columns = [("one", Type::Double, Datum::Double(1.0))];
    for (number, double, float) in [
        ("0", "0.0", "0.0"),
        ("-1", "-1.0", "-1.0"),
        ("0.1", "0.1", "0.1"),
        ("1e15", "1000000000000000.0", "1e+15"),
        ("1e16", "1e+16", "1e+16"),
        ("1234567890123456", "1234567890123456.0", "1.234568e+15"),
        ("0.00001", "0.00001", "0.00001"),
        ("0.0000012", "1.2e-6", "0.0000012"),
        ("3.4028234663852886e38", "3.4028234663852886e+38", "3.4028235e+38"),
    ] {
        for (ty, wanted) in [("double", double), ("float", float)] {
            let arena = Bump::new();
            let (_, found) =
                value(&format!("CAST(CAST('{number}' AS {ty}) AS string)"), &columns, &[], &arena);
            assert_eq!(found, Ok(Datum::Text(wanted)), "{number} as {ty}");
        }
    }
}

#[test]
fn enums_are_compared_and_cast_by_the_names_of_their_symbols_everywhere() {
    let (one, other) = (symbols("Side", &["BUY", "SELL", "HOLD"]), symbols("Deal", &["SELL", "BUY"]));
    let columns = [
        ("a", one.clone(), Datum::Text("BUY")),
        ("b", other.clone(), Datum::Text("BUY")),
        ("c", other.clone(), Datum::Text("SELL")),
        ("s", Type::String, Datum::Text("SELL")),
        ("wrong", Type::String, Datum::Text("sell")),
    ];
    // An enum that no column has: a CAST can name it all the same.
    let far = symbols("Far", &["BUY", "x"]);
    let enums = [one, other.clone(), far.clone()];
    let text = |text: &'static str| Ok(Datum::Text(text));
    let boolean = |value| Ok(Datum::Boolean(value));
    for (sql, ty, wanted) in [
        ("state.a = state.b", Type::Boolean, boolean(true)),
        ("state.a = state.c", Type::Boolean, boolean(false)),
        ("state.a < state.c", Type::Boolean, boolean(true)),
        ("state.b = 'BUY'", Type::Boolean, boolean(true)),
        ("state.a IN (state.b, state.c)", Type::Boolean, boolean(true)),
        ("state.a IS DISTINCT FROM state.b", Type::Boolean, boolean(false)),
        ("state.a BETWEEN state.b AND state.c", Type::Boolean, boolean(true)),
        ("CASE state.a WHEN state.b THEN 1 ELSE 2 END = 1", Type::Boolean, boolean(true)),
        ("greatest(state.a, state.c)", Type::String, text("SELL")),
        ("coalesce(state.a, state.c)", Type::String, text("BUY")),
        ("CAST(state.s AS Deal)", other.clone(), text("SELL")),
        ("CAST(state.wrong AS Deal)", other.clone(), Err(EvalError::BadCast)),
        ("CAST(upper(state.wrong) AS Deal)", other, text("SELL")),
        ("CAST(CAST(state.a AS string) AS shop.Far)", far.clone(), text("BUY")),
        ("CAST('x' AS Far)", far.clone(), text("x")),
        ("CAST(state.s AS Far)", far, Err(EvalError::BadCast)),
        ("CAST(CAST(state.a AS string) AS Deal) = state.b", Type::Boolean, boolean(true)),
    ] {
        let arena = Bump::new();
        let (found, result) = value(sql, &columns, &enums, &arena);
        assert_eq!((found, result), (ty, wanted), "{sql}");
    }
}

/// Two bytes hold four digits of any kind: a fifth would be cut off without a word.
#[test]
fn a_decimal_on_fewer_bytes_than_its_digits_need_is_its_bytes() {
    let toml = "app = \"small\"\n[topics.t]\nkey = [\"k\"]\npartitions = 1\ncommands = [\"Put\"]\n[entities.e]\ntopic = \"t\"\n\
                [entities.e.columns]\nd = \"Tiny\"\n[entities.e.on.Put]\nwhen = \"any\"\nset = \"d = msg.d\"\n";
    for (size, precision, is_decimal) in [
        (2, 4, true),
        (2, 5, false),
        (4, 9, true),
        (4, 10, false),
        (16, 38, true),
        (15, 38, false),
        (20, 38, true),
    ] {
        let schemas = format!(
            r#"[{{"type": "fixed", "name": "Tiny", "size": {size}, "logicalType": "decimal", "precision": {precision}}},
                {{"type": "record", "name": "Put", "fields": [{{"name": "k", "type": "string"}}, {{"name": "d", "type": "Tiny"}}]}}]"#
        );
        let file = |path: &str, text: &str| tidefold_app::SourceFile { path: path.into(), text: text.into() };
        let app = tidefold_app::load(vec![file("app.toml", toml), file("a.avsc", &schemas)]);
        let app = app.unwrap_or_else(|mistakes| panic!("{mistakes}"));
        let column = &app.projections[0].entity.as_ref().unwrap().columns[1].column.ty;
        assert_eq!(
            matches!(column, Type::Decimal { .. }),
            is_decimal,
            "{precision} digits on {size} bytes: {column:?}"
        );
    }
}
