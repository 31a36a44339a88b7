//! Type texts: `long`, `timestamp-millis?`, `decimal(10,2)`, `array<OrderItem>`.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::problem::TypeProblem;
use crate::types::{ColumnType, FixedType, Type};

/// How deep `array<…>` and `map<…>` may nest in a text.
const DEPTH: usize = 32;

const SCALARS: [(&str, Type); 15] = [
    ("boolean", Type::Boolean),
    ("int", Type::Int),
    ("long", Type::Long),
    ("float", Type::Float),
    ("double", Type::Double),
    ("bytes", Type::Bytes),
    ("string", Type::String),
    ("uuid", Type::Uuid),
    ("date", Type::Date),
    ("time-millis", Type::TimeMillis),
    ("time-micros", Type::TimeMicros),
    ("timestamp-millis", Type::TimestampMillis),
    ("timestamp-micros", Type::TimestampMicros),
    ("local-timestamp-millis", Type::LocalTimestampMillis),
    ("local-timestamp-micros", Type::LocalTimestampMicros),
];

/// Names of other systems, and ours for them.
const FOREIGN: [(&str, &str); 14] = [
    ("bool", "boolean"),
    ("integer", "int"),
    ("smallint", "int"),
    ("bigint", "long"),
    ("int64", "long"),
    ("int32", "int"),
    ("real", "float"),
    ("text", "string"),
    ("varchar", "string"),
    ("numeric", "decimal(p,s)"),
    ("decimal", "decimal(p,s)"),
    ("timestamp", "timestamp-millis or timestamp-micros"),
    ("time", "time-millis or time-micros"),
    ("blob", "bytes"),
];

/// A column's type text: an Avro primitive or logical type name, `decimal(p,s)`, `array<T>`, `map<T>`, `union<A,B>` or
/// the name of a declared type, each with `?` behind it where null is a value.
///
/// # Errors
/// When the text is not a type; `UnknownName` when only the name is unknown.
pub fn parse_type(text: &str, named: &BTreeMap<String, Type>) -> Result<ColumnType, TypeProblem> {
    let mut parser = Parser { text, rest: text.trim_start(), named };
    let column = parser.column(DEPTH)?;
    if parser.rest.is_empty() {
        Ok(column)
    } else {
        Err(parser.refuse(format!("`{}` is left over", parser.rest)))
    }
}

/// The text [`parse_type`] reads back to the same type.
#[must_use]
pub fn type_text(column: &ColumnType) -> String {
    let text = match &column.ty {
        Type::Decimal { precision, scale, fixed: None } => format!("decimal({precision},{scale})"),
        Type::Decimal { fixed: Some(fixed), .. } | Type::Fixed(fixed) => fixed.full_name.clone(),
        Type::Enum(symbols) => symbols.full_name.clone(),
        Type::Record(record) => record.full_name.clone(),
        Type::Array(element) => format!("array<{}>", type_text(element)),
        Type::Map(value) => format!("map<{}>", type_text(value)),
        Type::Union(branches) => {
            format!("union<{}>", branches.iter().map(type_text).collect::<Vec<_>>().join(","))
        }
        scalar @ (Type::Boolean
        | Type::Int
        | Type::Long
        | Type::Float
        | Type::Double
        | Type::Bytes
        | Type::String
        | Type::Uuid
        | Type::Date
        | Type::TimeMillis
        | Type::TimeMicros
        | Type::TimestampMillis
        | Type::TimestampMicros
        | Type::LocalTimestampMillis
        | Type::LocalTimestampMicros) => kind(scalar).to_owned(),
    };
    if column.nullable { text + "?" } else { text }
}

/// What a type is, in one word.
pub(crate) fn kind(ty: &Type) -> &'static str {
    match ty {
        Type::Fixed(_) => "fixed",
        Type::Enum(_) => "enum",
        Type::Decimal { .. } => "decimal",
        Type::Array(_) => "array",
        Type::Map(_) => "map",
        Type::Record(_) => "record",
        Type::Union(_) => "union",
        scalar @ (Type::Boolean
        | Type::Int
        | Type::Long
        | Type::Float
        | Type::Double
        | Type::Bytes
        | Type::String
        | Type::Uuid
        | Type::Date
        | Type::TimeMillis
        | Type::TimeMicros
        | Type::TimestampMillis
        | Type::TimestampMicros
        | Type::LocalTimestampMillis
        | Type::LocalTimestampMicros) => {
            SCALARS.iter().find(|(_, known)| known == scalar).map_or("scalar", |(name, _)| name)
        }
    }
}

struct Parser<'t> {
    text: &'t str,
    rest: &'t str,
    named: &'t BTreeMap<String, Type>,
}

// === impl Parser ===

impl<'t> Parser<'t> {
    fn refuse(&self, detail: impl std::fmt::Display) -> TypeProblem {
        TypeProblem::Unsupported {
            path: Vec::new(),
            detail: format!("`{}` is not a type: {detail}", self.text.trim()),
        }
    }

    fn eat(&mut self, mark: char) -> bool {
        let eaten = self.rest.strip_prefix(mark);
        self.rest = eaten.unwrap_or(self.rest).trim_start();
        eaten.is_some()
    }

    fn expect(&mut self, mark: char) -> Result<(), TypeProblem> {
        if self.eat(mark) { Ok(()) } else { Err(self.refuse(format!("`{mark}` is missing"))) }
    }

    fn word(&mut self) -> &'t str {
        let end = self.rest.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.')));
        let (word, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = rest.trim_start();
        word
    }

    fn column(&mut self, depth: usize) -> Result<ColumnType, TypeProblem> {
        let Some(depth) = depth.checked_sub(1) else {
            return Err(self.refuse(format!("it nests deeper than {DEPTH}")));
        };
        let ty = match self.word() {
            "" => return Err(self.refuse("a type name is missing")),
            "array" if self.eat('<') => Type::Array(Arc::new(self.closed(depth)?)),
            "map" if self.eat('<') => Type::Map(Arc::new(self.closed(depth)?)),
            "union" if self.eat('<') => self.branches(depth)?,
            "decimal" if self.eat('(') => self.decimal()?,
            name => self.name(name)?,
        };
        Ok(ColumnType { ty, nullable: self.eat('?') })
    }

    fn closed(&mut self, depth: usize) -> Result<ColumnType, TypeProblem> {
        let column = self.column(depth)?;
        self.expect('>')?;
        Ok(column)
    }

    fn branches(&mut self, depth: usize) -> Result<Type, TypeProblem> {
        let mut branches = vec![self.column(depth)?];
        while self.eat(',') {
            branches.push(self.column(depth)?);
        }
        self.expect('>')?;
        if branches.iter().any(|branch| branch.nullable || matches!(branch.ty, Type::Union(_))) {
            return Err(self
                .refuse("a branch of a union is neither nullable nor a union; write `?` behind the union"));
        }
        Ok(Type::Union(branches.into()))
    }

    fn decimal(&mut self) -> Result<Type, TypeProblem> {
        let precision = self.digits()?;
        let scale = if self.eat(',') { self.digits()? } else { 0 };
        self.expect(')')?;
        decimal_type(precision, scale, None).map_err(|detail| self.refuse(detail))
    }

    fn digits(&mut self) -> Result<usize, TypeProblem> {
        let word = self.word();
        word.parse().map_err(|_| self.refuse("write decimal(precision,scale), such as decimal(10,2)"))
    }

    fn name(&mut self, name: &str) -> Result<Type, TypeProblem> {
        if let Some((_, ty)) = SCALARS.iter().find(|(known, _)| *known == name) {
            return Ok(ty.clone());
        }
        if let Some(ty) = self.named.get(name) {
            return Ok(ty.clone());
        }
        match name {
            "array" | "map" => Err(self.refuse(format!("write the type of its values: {name}<string>"))),
            "null" => Err(self.refuse("write `?` behind a type where null is a value")),
            _ => match FOREIGN.iter().find(|(foreign, _)| *foreign == name.to_ascii_lowercase()) {
                Some((_, ours)) => Err(self.refuse(format!("write {ours}"))),
                None => Err(TypeProblem::UnknownName { name: name.to_owned() }),
            },
        }
    }
}

/// A decimal type, if there is one that large.
pub(super) fn decimal_type(
    precision: usize,
    scale: usize,
    fixed: Option<Arc<FixedType>>,
) -> Result<Type, String> {
    let digits = |value: usize| u8::try_from(value).ok().filter(|value| *value <= 38);
    match (digits(precision), digits(scale)) {
        (Some(precision), Some(scale)) if precision >= 1 && scale <= precision => {
            Ok(Type::Decimal { precision, scale, fixed })
        }
        _ => Err(format!(
            "decimal({precision},{scale}) is not supported: precision goes from 1 to 38, scale from 0 to the precision"
        )),
    }
}
