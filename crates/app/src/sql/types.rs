//! What types have in common, and how a value is brought to one without a CAST.

use bumpalo::Bump;
use tidefold_codec::nearest::nearest;
use tidefold_codec::{Datum, Type, text};

use super::names::listed;
use crate::expr::{Constant, Expr, Node};
use crate::functions::times::DATE_TRUNC;
use crate::values::number::ArithmeticOp;

/// Why a value cannot be brought to a type.
pub(super) enum Misfit {
    /// The types have nothing to do with each other, or a value could be lost.
    Types,
    /// The literal is no value of the type: rule, message, help.
    Literal(&'static str, String, Option<String>),
}

/// A type as messages print it.
pub(super) fn describe(ty: &Type) -> String {
    match ty {
        Type::Boolean => "boolean".into(),
        Type::Int => "int".into(),
        Type::Long => "long".into(),
        Type::Float => "float".into(),
        Type::Double => "double".into(),
        Type::Bytes => "bytes".into(),
        Type::String => "string".into(),
        Type::Fixed(fixed) => short(&fixed.full_name).to_owned(),
        Type::Enum(symbols) => short(&symbols.full_name).to_owned(),
        Type::Decimal { precision, scale, .. } => format!("decimal({precision},{scale})"),
        Type::Uuid => "uuid".into(),
        Type::Date => "date".into(),
        Type::TimeMillis => "time-millis".into(),
        Type::TimeMicros => "time-micros".into(),
        Type::TimestampMillis => "timestamp-millis".into(),
        Type::TimestampMicros => "timestamp-micros".into(),
        Type::LocalTimestampMillis => "local-timestamp-millis".into(),
        Type::LocalTimestampMicros => "local-timestamp-micros".into(),
        Type::Array(element) => {
            format!("array<{}{}>", describe(&element.ty), if element.nullable { "?" } else { "" })
        }
        Type::Map(value) => format!("map<{}{}>", describe(&value.ty), if value.nullable { "?" } else { "" }),
        Type::Record(record) => short(&record.full_name).to_owned(),
        Type::Union(_) => "union".into(),
    }
}

/// A name without its namespace.
pub(super) fn short(full_name: &str) -> &str {
    full_name.rsplit_once('.').map_or(full_name, |(_, name)| name)
}

/// Whether slots of the two types hold the same values.
pub(super) fn same(a: &Type, b: &Type) -> bool {
    match (a, b) {
        (Type::Decimal { precision: p, scale: s, .. }, Type::Decimal { precision, scale, .. }) => {
            p == precision && s == scale
        }
        _ => a == b,
    }
}

/// Whether it is a number.
pub(super) fn is_number(ty: &Type) -> bool {
    matches!(ty, Type::Int | Type::Long | Type::Float | Type::Double | Type::Decimal { .. })
}

/// Whether values of the type can be compared.
pub(super) fn is_comparable(ty: &Type) -> bool {
    !matches!(ty, Type::Array(_) | Type::Map(_) | Type::Record(_) | Type::Union(_))
}

/// Precision and scale of an exact number.
pub(super) fn digits(ty: &Type) -> Option<(u8, u8)> {
    match ty {
        Type::Int => Some((10, 0)),
        Type::Long => Some((19, 0)),
        Type::Decimal { precision, scale, .. } => Some((*precision, *scale)),
        Type::Boolean
        | Type::Float
        | Type::Double
        | Type::Bytes
        | Type::String
        | Type::Fixed(_)
        | Type::Enum(_)
        | Type::Uuid
        | Type::Date
        | Type::TimeMillis
        | Type::TimeMicros
        | Type::TimestampMillis
        | Type::TimestampMicros
        | Type::LocalTimestampMillis
        | Type::LocalTimestampMicros
        | Type::Array(_)
        | Type::Map(_)
        | Type::Record(_)
        | Type::Union(_) => None,
    }
}

/// A decimal type, if there is one that large.
pub(super) fn decimal(precision: u32, scale: u32) -> Option<Type> {
    let fits = (1..=38).contains(&precision) && scale <= precision;
    let (precision, scale) = (u8::try_from(precision).ok()?, u8::try_from(scale).ok()?);
    fits.then_some(Type::Decimal { precision, scale, fixed: None })
}

/// The smallest type that both can be brought to without losing a value.
pub(super) fn unified(a: &Type, b: &Type) -> Option<Type> {
    use Type::*;
    if same(a, b) {
        return Some(a.clone());
    }
    Some(match (a, b) {
        (Int, Long) | (Long, Int) => Long,
        (Float | Double, other) | (other, Float | Double) if is_number(other) => Double,
        (TimestampMillis | TimestampMicros, TimestampMillis | TimestampMicros) => TimestampMicros,
        (LocalTimestampMillis | LocalTimestampMicros, LocalTimestampMillis | LocalTimestampMicros) => {
            LocalTimestampMicros
        }
        (TimeMillis | TimeMicros, TimeMillis | TimeMicros) => TimeMicros,
        (Enum(_) | Uuid, String) | (String, Enum(_) | Uuid) | (Enum(_), Enum(_)) => String,
        (Bytes | Fixed(_), Bytes | Fixed(_)) => Bytes,
        _ => {
            let ((p, s), (precision, scale)) = (digits(a)?, digits(b)?);
            let whole = (p - s).max(precision - scale);
            let scale = s.max(scale);
            decimal(u32::from(whole) + u32::from(scale), u32::from(scale))?
        }
    })
}

/// Whether every value of `from` is a value of `to`, as decimals widen to doubles.
fn widens(from: &Type, to: &Type) -> bool {
    match (from, to) {
        (Type::Decimal { .. }, Type::Decimal { .. }) | (Type::Int | Type::Long, Type::Decimal { .. }) => {
            unified(from, to).is_some_and(|ty| same(&ty, to))
        }
        _ => unified(from, to).is_some_and(|ty| same(&ty, to)),
    }
}

/// Brings an expression to a type without a CAST: by reading a literal as one of that type, or by widening.
pub(super) fn bring(expr: Expr, to: &Type) -> Result<Expr, Misfit> {
    if let Node::Constant(constant) = &expr.node {
        let constant = constant_as(constant, &expr.column.ty, to)?;
        return Ok(Expr::constant(constant, to.clone()));
    }
    if same(&expr.column.ty, to) {
        return Ok(retyped(expr, to));
    }
    bring_node(expr, to)
}

/// [`bring`], of what is no literal and of another type: into what it is made of, where that keeps its values.
fn bring_node(expr: Expr, to: &Type) -> Result<Expr, Misfit> {
    let narrows_time = matches!((&expr.column.ty, to), (Type::TimestampMicros, Type::TimestampMillis));
    let nullable = expr.column.nullable;
    match expr.node {
        Node::Case(arms, otherwise) => {
            let (arms, otherwise) = bring_arms(arms, otherwise, to)?;
            Ok(made(Node::Case(arms, otherwise), to, nullable))
        }
        Node::Switch(inner, arms, otherwise) => {
            let (arms, otherwise) = bring_arms(arms, otherwise, to)?;
            Ok(made(Node::Switch(inner, arms, otherwise), to, nullable))
        }
        Node::Coalesce(list) => {
            let list = list.into_iter().map(|expr| bring(expr, to)).collect::<Result<Vec<_>, _>>()?;
            Ok(made(Node::Coalesce(list), to, nullable))
        }
        Node::EventTime | Node::AppendTime if narrows_time => Ok(retyped(expr, to)),
        Node::Cast(inner) if narrows_time && same(&inner.column.ty, to) => Ok(*inner),
        Node::Arithmetic(op @ (ArithmeticOp::Add | ArithmeticOp::Subtract), left, right) if narrows_time => {
            let (left, right) = (bring(*left, to)?, bring(*right, to)?);
            Ok(made(Node::Arithmetic(op, left.into(), right.into()), to, nullable))
        }
        Node::Call(function, list) if narrows_time && *function == DATE_TRUNC => {
            let narrow =
                |part: Expr| if same(&part.column.ty, &expr.column.ty) { bring(part, to) } else { Ok(part) };
            let list = list.into_iter().map(narrow).collect::<Result<Vec<_>, _>>()?;
            Ok(made(Node::Call(function, list), to, nullable))
        }
        // Of a literal with a written type: where its type does not go, its value may.
        Node::Cast(inner)
            if matches!(inner.node, Node::Constant(_))
                && same(&inner.column.ty, &expr.column.ty)
                && !widens(&expr.column.ty, to) =>
        {
            bring(*inner, to)
        }
        _ if !widens(&expr.column.ty, to) => Err(Misfit::Types),
        Node::State(_) | Node::Message(_) | Node::Let(_) if relabels(&expr.column.ty, to) => {
            Ok(retyped(expr, to))
        }
        Node::Constant(_)
        | Node::State(_)
        | Node::Message(_)
        | Node::Let(_)
        | Node::Element
        | Node::Ordinality
        | Node::EventTime
        | Node::AppendTime
        | Node::Caller
        | Node::Field(..)
        | Node::Not(_)
        | Node::Negate(_)
        | Node::And(_)
        | Node::Or(_)
        | Node::Compare(..)
        | Node::Arithmetic(..)
        | Node::Concat(..)
        | Node::IsNull(_)
        | Node::IsTrue(_)
        | Node::IsFalse(_)
        | Node::IsDistinct(..)
        | Node::Between(..)
        | Node::In(..)
        | Node::Like(..)
        | Node::Call(..)
        | Node::Cast(_) => Ok(made(Node::Cast(Box::new(expr)), to, nullable)),
    }
}

type Arms = (Vec<(Expr, Expr)>, Option<Box<Expr>>);

fn bring_arms(arms: Vec<(Expr, Expr)>, otherwise: Option<Box<Expr>>, to: &Type) -> Result<Arms, Misfit> {
    let arms = arms.into_iter().map(|(when, then)| Ok((when, bring(then, to)?)));
    let arms = arms.collect::<Result<Vec<_>, Misfit>>()?;
    let otherwise = otherwise.map(|expr| bring(*expr, to).map(Box::new)).transpose()?;
    Ok((arms, otherwise))
}

/// Whether the slot of one type is the slot of the other as it stands.
fn relabels(from: &Type, to: &Type) -> bool {
    matches!((from, to), (Type::Int, Type::Long) | (Type::Enum(_) | Type::Uuid, Type::String))
}

fn retyped(mut expr: Expr, to: &Type) -> Expr {
    expr.column.ty = to.clone();
    expr
}

/// An expression of this type.
pub(super) fn made(node: Node, ty: &Type, nullable: bool) -> Expr {
    Expr { node, column: tidefold_codec::ColumnType { ty: ty.clone(), nullable } }
}

/// A literal as a constant of another type.
fn constant_as(constant: &Constant, from: &Type, to: &Type) -> Result<Constant, Misfit> {
    match constant {
        Constant::Null => return Ok(Constant::Null),
        _ if same(from, to) => return Ok(constant.clone()),
        _ => {}
    }
    match (constant, from) {
        (Constant::Text(text), Type::String) => text_as(text, to),
        (Constant::Text(_), Type::Enum(_) | Type::Uuid) if *to == Type::String => Ok(constant.clone()),
        (Constant::Long(value), Type::Int | Type::Long) => exact_as(i128::from(*value), 0, to),
        (Constant::Decimal(value), Type::Decimal { scale, .. }) => exact_as(*value, *scale, to),
        (Constant::Double(value), Type::Double) if *to == Type::Float => float(*value),
        (Constant::Long(value), _) => match (from, to) {
            (Type::TimestampMillis, Type::TimestampMicros)
            | (Type::LocalTimestampMillis, Type::LocalTimestampMicros)
            | (Type::TimeMillis, Type::TimeMicros) => {
                value.checked_mul(1_000).map(Constant::Long).ok_or(Misfit::Types)
            }
            (Type::TimestampMicros, Type::TimestampMillis)
            | (Type::LocalTimestampMicros, Type::LocalTimestampMillis)
            | (Type::TimeMicros, Type::TimeMillis)
                if value % 1_000 == 0 =>
            {
                Ok(Constant::Long(value / 1_000))
            }
            _ => Err(Misfit::Types),
        },
        _ => Err(Misfit::Types),
    }
}

fn float(value: f64) -> Result<Constant, Misfit> {
    let value = f64::from(value as f32);
    if value.is_finite() { Ok(Constant::Double(value)) } else { Err(Misfit::Types) }
}

/// The number `value / 10^scale`.
fn exact_as(value: i128, scale: u8, to: &Type) -> Result<Constant, Misfit> {
    let out_of_range = || {
        Misfit::Literal("literal-range", format!("the number is out of the range of {}", describe(to)), None)
    };
    match to {
        Type::Int | Type::Long if scale == 0 => {
            let value = i64::try_from(value).map_err(|_| out_of_range())?;
            if *to == Type::Int && i32::try_from(value).is_err() {
                return Err(out_of_range());
            }
            Ok(Constant::Long(value))
        }
        Type::Decimal { precision, scale: wanted, .. } => {
            let up = 10_i128.checked_pow(u32::from(wanted.saturating_sub(scale))).ok_or(Misfit::Types)?;
            let down = 10_i128.checked_pow(u32::from(scale.saturating_sub(*wanted))).ok_or(Misfit::Types)?;
            if value % down != 0 {
                let message = format!("the number has more than {wanted} digits after the point");
                return Err(Misfit::Literal("literal-range", message, None));
            }
            let value = (value / down).checked_mul(up).ok_or_else(out_of_range)?;
            let limit = 10_u128.checked_pow(u32::from(*precision)).ok_or(Misfit::Types)?;
            if value.unsigned_abs() < limit { Ok(Constant::Decimal(value)) } else { Err(out_of_range()) }
        }
        Type::Double | Type::Float => {
            let value: f64 = format!("{value}e-{scale}").parse().map_err(|_| Misfit::Types)?;
            if *to == Type::Float { float(value) } else { Ok(Constant::Double(value)) }
        }
        Type::Boolean
        | Type::Int
        | Type::Long
        | Type::Bytes
        | Type::String
        | Type::Fixed(_)
        | Type::Enum(_)
        | Type::Uuid
        | Type::Date
        | Type::TimeMillis
        | Type::TimeMicros
        | Type::TimestampMillis
        | Type::TimestampMicros
        | Type::LocalTimestampMillis
        | Type::LocalTimestampMicros
        | Type::Array(_)
        | Type::Map(_)
        | Type::Record(_)
        | Type::Union(_) => Err(Misfit::Types),
    }
}

/// A string literal as a constant of the type it is compared with or assigned to.
fn text_as(literal: &str, to: &Type) -> Result<Constant, Misfit> {
    match to {
        Type::Enum(symbols) => {
            if symbols.symbols.iter().any(|symbol| symbol == literal) {
                return Ok(Constant::Text(literal.into()));
            }
            let names = || symbols.symbols.iter().map(String::as_str);
            let help = nearest(literal, names())
                .map(|symbol| format!("did you mean '{symbol}'?"))
                .or_else(|| Some(format!("its symbols are {}", listed(names()))));
            let message = format!("'{literal}' is not a symbol of {}", describe(to));
            Err(Misfit::Literal("unknown-symbol", message, help))
        }
        Type::Uuid
        | Type::Date
        | Type::TimeMillis
        | Type::TimeMicros
        | Type::TimestampMillis
        | Type::TimestampMicros
        | Type::LocalTimestampMillis
        | Type::LocalTimestampMicros => {
            let arena = Bump::new();
            let parsed = text::parse(to, literal, &arena).map_err(|error| {
                let message = format!("'{literal}' is not a {}", describe(to));
                Misfit::Literal("bad-literal", message, Some(format!("write a {}", error.expected)))
            })?;
            match parsed {
                Datum::Long(value) => Ok(Constant::Long(value)),
                Datum::Text(value) => Ok(Constant::Text(value.into())),
                Datum::Null
                | Datum::Boolean(_)
                | Datum::Double(_)
                | Datum::Decimal(_)
                | Datum::Bytes(_)
                | Datum::Encoded(_) => Err(Misfit::Types),
            }
        }
        Type::Boolean
        | Type::Int
        | Type::Long
        | Type::Float
        | Type::Double
        | Type::Bytes
        | Type::String
        | Type::Fixed(_)
        | Type::Decimal { .. }
        | Type::Array(_)
        | Type::Map(_)
        | Type::Record(_)
        | Type::Union(_) => Err(Misfit::Types),
    }
}
