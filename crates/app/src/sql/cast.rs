//! CAST, and typed literals.

use sqlparser::ast::{DataType, ExactNumberInfo, Expr as Ast, TimezoneInfo, Value};
use tidefold_codec::Type;

use super::check::{Checker, is_null};
use super::names;
use super::scope::{Fields, Scope};
use super::types::{Misfit, bring, decimal, describe, is_number, made, same, short};
use crate::expr::{Constant, Expr, Node};

/// The types a CAST can name, as messages list them.
const TYPE_NAMES: [&str; 13] = [
    "boolean",
    "int",
    "long",
    "float",
    "double",
    "decimal(p,s)",
    "string",
    "uuid",
    "date",
    "time(3)",
    "time(6)",
    "timestamp(3)",
    "timestamp(6)",
];

// === impl Checker ===

impl Checker<'_> {
    /// `CAST(x AS type)`.
    pub(super) fn cast(&mut self, inner: &Ast, data_type: &DataType) -> Option<Expr> {
        let part = self.placed(inner);
        let ty = self.type_of(data_type);
        let ((expr, place), ty) = (part?, ty?);
        if is_null(&expr) {
            let null = Expr::constant(Constant::Null, ty.clone());
            return Some(made(Node::Cast(null.into()), &ty, true));
        }
        let from = expr.column.ty.clone();
        if same(&from, &ty) {
            return Some(cast_literal(expr));
        }
        // A literal is read now, so that a wrong one is a mistake here and not a failure later.
        if let (Node::Constant(Constant::Text(_)), Type::String) = (&expr.node, &from) {
            match bring(expr.clone(), &ty) {
                Ok(expr) => return Some(cast_literal(expr)),
                Err(Misfit::Literal(rule, message, help)) => {
                    self.problem(place, rule, message, help);
                    return None;
                }
                Err(Misfit::Types) => {}
            }
        }
        if !castable(&from, &ty) {
            let message = format!("{} cannot be cast to {}", describe(&from), describe(&ty));
            let help = match (&from, &ty) {
                (from, to) if is_number(from) && to.is_time() => "add an interval to a time instead",
                (from, to) if from.is_time() && is_number(to) => {
                    "its seconds since 1970 are extract(epoch FROM t)"
                }
                _ => "",
            };
            return self.here("bad-cast", message, help);
        }
        let nullable = expr.column.nullable;
        Some(made(Node::Cast(expr.into()), &ty, nullable))
    }

    /// `DATE '2026-01-31'`.
    pub(super) fn typed_literal(&mut self, data_type: &DataType, value: &Value) -> Option<Expr> {
        let ty = self.type_of(data_type)?;
        let Value::SingleQuotedString(text) = value else {
            return self.here("bad-literal", "a typed literal is a type and a 'string'", "");
        };
        let literal = Expr::constant(Constant::Text(text.as_str().into()), Type::String);
        if !ty.is_time() && ty != Type::Uuid {
            return self.here("unsupported-syntax", "this literal takes no type", "write CAST('…' AS type)");
        }
        let place = self.around.clone();
        self.fit((literal, place), &ty)
    }

    /// How a value of one type becomes one of the other, if a CAST does it.
    pub(super) fn cast_help(&self, from: &Type, to: &Type) -> Option<String> {
        castable(from, to).then(|| format!("write CAST(… AS {})", sql_name(to)))
    }

    fn type_of(&mut self, data_type: &DataType) -> Option<Type> {
        let found = match data_type {
            DataType::Boolean | DataType::Bool => Type::Boolean,
            DataType::Int(_) | DataType::Integer(_) | DataType::Int4(_) | DataType::Int32 => Type::Int,
            DataType::BigInt(_) | DataType::Int8(_) | DataType::Int64 => Type::Long,
            DataType::Real | DataType::Float(_) | DataType::Float4 | DataType::Float32 => Type::Float,
            DataType::Double(_) | DataType::DoublePrecision | DataType::Float8 | DataType::Float64 => {
                Type::Double
            }
            DataType::String(_) | DataType::Text | DataType::Varchar(None) => Type::String,
            DataType::Uuid => Type::Uuid,
            DataType::Date => Type::Date,
            DataType::Time(digits, _) => match digits {
                Some(3) => Type::TimeMillis,
                None | Some(6) => Type::TimeMicros,
                Some(_) => return self.wrong_precision("time"),
            },
            DataType::Timestamp(digits, zone) => match (digits, zone) {
                (Some(3), TimezoneInfo::WithoutTimeZone) => Type::LocalTimestampMillis,
                (None | Some(6), TimezoneInfo::WithoutTimeZone) => Type::LocalTimestampMicros,
                (Some(3), _) => Type::TimestampMillis,
                (None | Some(6), _) => Type::TimestampMicros,
                (Some(_), _) => return self.wrong_precision("timestamp"),
            },
            DataType::Decimal(info) | DataType::Numeric(info) | DataType::Dec(info) => {
                return self.decimal_of(info);
            }
            DataType::Custom(name, modifiers) if modifiers.is_empty() => {
                return self.named(&name.to_string());
            }
            other => return self.no_type(&other.to_string().to_ascii_lowercase()),
        };
        Some(found)
    }

    fn wrong_precision(&mut self, name: &str) -> Option<Type> {
        let help = format!("write {name}(3) for milliseconds or {name}(6) for microseconds");
        self.here("unknown-type", format!("a {name} has 3 or 6 digits of a second"), help)
    }

    fn decimal_of(&mut self, info: &ExactNumberInfo) -> Option<Type> {
        let found = match info {
            ExactNumberInfo::None => None,
            ExactNumberInfo::Precision(precision) => u32::try_from(*precision).ok().zip(Some(0)),
            ExactNumberInfo::PrecisionAndScale(precision, scale) => {
                u32::try_from(*precision).ok().zip(u32::try_from(*scale).ok())
            }
        };
        match found.and_then(|(precision, scale)| decimal(precision, scale)) {
            Some(ty) => Some(ty),
            None => {
                let help = "write decimal(p,s): p digits in all, 1 to 38, s of them after the point";
                self.here("unknown-type", "a decimal needs its digits", help)
            }
        }
    }

    /// A type by a name that is not a keyword: `long`, or an enum of what can be named here.
    fn named(&mut self, name: &str) -> Option<Type> {
        if name.eq_ignore_ascii_case("long") {
            return Some(Type::Long);
        }
        let mut enums = Vec::new();
        for ty in self.types_in_scope() {
            collect_enums(ty, &mut enums, 0);
        }
        enums.extend(self.enums);
        let found = enums.iter().find(|ty| match ty {
            Type::Enum(symbols) => symbols.full_name == name || short(&symbols.full_name) == name,
            _ => false,
        });
        match found {
            Some(ty) => Some((*ty).clone()),
            None => self.no_type(name),
        }
    }

    fn no_type(&mut self, name: &str) -> Option<Type> {
        let help = names::help(name, "types are", TYPE_NAMES.into_iter());
        self.here(
            "unknown-type",
            format!("a CAST has no type `{name}`"),
            format!("{help}, and the enums of the app"),
        )
    }

    fn types_in_scope(&self) -> Vec<&Type> {
        let mut types = Vec::new();
        match &self.scope {
            Scope::Clause(names) => {
                types.extend(names.state.iter().flat_map(|columns| columns.iter().map(|c| &c.column.ty)));
                types.extend(
                    names.message.iter().flat_map(|record| record.fields.iter().map(|f| &f.column.ty)),
                );
                types.extend(names.lets.iter().map(|(_, column)| &column.ty));
            }
            Scope::View(rows) => {
                match rows.fields {
                    Fields::Entity(columns) => types.extend(columns.iter().map(|c| &c.column.ty)),
                    Fields::Event(record) => types.extend(record.fields.iter().map(|f| &f.column.ty)),
                    Fields::Unknown => {}
                }
                types.extend(rows.elements.iter().map(|elements| &elements.column.ty));
            }
        }
        types
    }
}

/// A literal whose type was written: a constant alone would still take the type of what it stands beside.
fn cast_literal(expr: Expr) -> Expr {
    match &expr.node {
        Node::Constant(_) => {
            let (ty, nullable) = (expr.column.ty.clone(), expr.column.nullable);
            made(Node::Cast(expr.into()), &ty, nullable)
        }
        _ => expr,
    }
}

fn collect_enums<'t>(ty: &'t Type, found: &mut Vec<&'t Type>, depth: usize) {
    if depth > 16 {
        return;
    }
    match ty {
        Type::Enum(_) => found.push(ty),
        Type::Array(inner) | Type::Map(inner) => collect_enums(&inner.ty, found, depth + 1),
        Type::Record(record) => {
            record.fields.iter().for_each(|field| collect_enums(&field.column.ty, found, depth + 1));
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
        | Type::Uuid
        | Type::Date
        | Type::TimeMillis
        | Type::TimeMicros
        | Type::TimestampMillis
        | Type::TimestampMicros
        | Type::LocalTimestampMillis
        | Type::LocalTimestampMicros
        | Type::Union(_) => {}
    }
}

/// Whether a CAST converts between the types.
fn castable(from: &Type, to: &Type) -> bool {
    let has_text = |ty: &Type| {
        is_number(ty)
            || ty.is_time()
            || matches!(ty, Type::Boolean | Type::Uuid | Type::Enum(_) | Type::String)
    };
    match (from, to) {
        (Type::String, to) => has_text(to),
        (from, Type::String) => has_text(from),
        (Type::Boolean, Type::Int | Type::Long) => true,
        (Type::TimeMillis | Type::TimeMicros, Type::TimeMillis | Type::TimeMicros) => true,
        (Type::Fixed(_), Type::Bytes) => true,
        (from, to) if is_number(from) => is_number(to),
        (from, to) => {
            (from.is_timestamp() || *from == Type::Date) && (to.is_timestamp() || *to == Type::Date)
        }
    }
}

/// A type as a CAST names it.
fn sql_name(ty: &Type) -> String {
    match ty {
        Type::TimeMillis => "time(3)".into(),
        Type::TimeMicros => "time(6)".into(),
        Type::TimestampMillis => "timestamp(3)".into(),
        Type::TimestampMicros => "timestamp(6)".into(),
        Type::LocalTimestampMillis => "timestamp(3) without time zone".into(),
        Type::LocalTimestampMicros => "timestamp(6) without time zone".into(),
        other @ (Type::Boolean
        | Type::Int
        | Type::Long
        | Type::Float
        | Type::Double
        | Type::Bytes
        | Type::String
        | Type::Fixed(_)
        | Type::Enum(_)
        | Type::Decimal { .. }
        | Type::Uuid
        | Type::Date
        | Type::Array(_)
        | Type::Map(_)
        | Type::Record(_)
        | Type::Union(_)) => describe(other),
    }
}
