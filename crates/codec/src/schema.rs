//! Avro schemas to types, and the type texts of `app.toml`.

use std::collections::BTreeMap;
use std::sync::Arc;

use apache_avro::Schema;
use apache_avro::schema::{InnerDecimalSchema, RecordSchema, UuidSchema};

use crate::defaults;
use crate::types::{ColumnType, EnumType, Field, FixedType, RecordType, Type};

mod problem;
mod type_text;

pub use problem::TypeProblem;
use type_text::decimal_type;
pub(crate) use type_text::kind;
pub use type_text::{parse_type, type_text};

/// The record type of a message schema. Types that it names but another schema declares must have been put in before
/// ([`Schema::denormalize`]).
///
/// # Errors
/// All that has no place here, each with its path.
pub fn record_type(schema: &Schema) -> Result<Arc<RecordType>, Vec<TypeProblem>> {
    let mut builder = Builder::default();
    let ty = builder.ty(schema);
    match ty {
        Some(Type::Record(record)) if builder.problems.is_empty() => Ok(record),
        Some(other) if builder.problems.is_empty() => {
            let detail = format!("a message is a record, this is {}", kind(&other));
            Err(vec![TypeProblem::Unsupported { path: Vec::new(), detail }])
        }
        _ => Err(builder.problems),
    }
}

/// Every named type (record, enum, fixed) that a schema declares, by its full name and, where that is unambiguous, by
/// its short name.
///
/// # Errors
/// As [`record_type`].
pub fn named_types(schema: &Schema) -> Result<BTreeMap<String, Type>, Vec<TypeProblem>> {
    let mut builder = Builder::default();
    builder.column(schema, true);
    if !builder.problems.is_empty() {
        return Err(builder.problems);
    }
    let mut short: BTreeMap<String, Vec<Type>> = BTreeMap::new();
    for (name, ty) in &builder.named {
        let name = name.rsplit('.').next().unwrap_or(name);
        short.entry(name.to_owned()).or_default().push(ty.clone());
    }
    let mut named = builder.named;
    for (name, types) in short {
        if let [ty] = types.as_slice() {
            named.entry(name).or_insert_with(|| ty.clone());
        }
    }
    Ok(named)
}

/// The type of a schema without parts.
pub(crate) fn scalar_type(schema: &Schema) -> Result<Type, String> {
    Ok(match schema {
        Schema::Boolean => Type::Boolean,
        Schema::Int => Type::Int,
        Schema::Long => Type::Long,
        Schema::Float => Type::Float,
        Schema::Double => Type::Double,
        Schema::Bytes => Type::Bytes,
        Schema::String => Type::String,
        Schema::Date => Type::Date,
        Schema::TimeMillis => Type::TimeMillis,
        Schema::TimeMicros => Type::TimeMicros,
        Schema::TimestampMillis => Type::TimestampMillis,
        Schema::TimestampMicros => Type::TimestampMicros,
        Schema::LocalTimestampMillis => Type::LocalTimestampMillis,
        Schema::LocalTimestampMicros => Type::LocalTimestampMicros,
        Schema::Uuid(UuidSchema::String) => Type::Uuid,
        Schema::Fixed(fixed) => Type::Fixed(fixed_type(fixed)),
        Schema::Enum(symbols) => Type::Enum(Arc::new(EnumType {
            full_name: symbols.name.fullname(None),
            symbols: symbols.symbols.clone(),
            default: symbols.default.clone(),
        })),
        Schema::Decimal(decimal) => {
            let fixed = match &decimal.inner {
                InnerDecimalSchema::Bytes => None,
                // As Avro says: a logical type that is invalid is ignored. A value would be cut to its lower bytes.
                InnerDecimalSchema::Fixed(fixed) if decimal.precision > digits_of(fixed.size) => {
                    return Ok(Type::Fixed(fixed_type(fixed)));
                }
                InnerDecimalSchema::Fixed(fixed) => Some(fixed_type(fixed)),
            };
            return decimal_type(decimal.precision, decimal.scale, fixed);
        }
        other => return Err(refused(other)),
    })
}

fn fixed_type(fixed: &apache_avro::schema::FixedSchema) -> Arc<FixedType> {
    Arc::new(FixedType { full_name: fixed.name.fullname(None), size: fixed.size })
}

/// How many digits every number has that so many bytes hold in two's complement; of seventeen and more at least 38.
fn digits_of(bytes: usize) -> usize {
    match u32::try_from(bytes) {
        Ok(0) => 0,
        Ok(bytes @ 1..=16) => (i128::MAX >> (128 - 8 * bytes)).ilog10() as usize,
        _ => usize::MAX,
    }
}

/// Why a logical type has no place, and what to write instead.
fn refused(schema: &Schema) -> String {
    match schema {
        Schema::Null => "`null` alone has no value: use a union of null and a type",
        Schema::Uuid(_) => "`uuid` stands on string only: write {\"type\": \"string\", \"logicalType\": \"uuid\"}",
        Schema::Duration(_) => {
            "`duration` is not supported: months and days have no fixed length; use a long in a unit of your choice"
        }
        Schema::TimestampNanos | Schema::LocalTimestampNanos => {
            "nanosecond timestamps are not supported: they end in the year 2262; use timestamp-micros"
        }
        Schema::BigDecimal => {
            "`big-decimal` is not supported: every value has a scale of its own, so sums have no type; use decimal"
        }
        _ => "this type is not supported",
    }
    .to_owned()
}

/// Builds types and collects what is wrong.
#[derive(Default)]
struct Builder {
    named: BTreeMap<String, Type>,
    open: Vec<String>,
    path: Vec<String>,
    problems: Vec<TypeProblem>,
}

// === impl Builder ===

impl Builder {
    fn refuse<T>(&mut self, detail: impl Into<String>) -> Option<T> {
        self.problems.push(TypeProblem::Unsupported { path: self.path.clone(), detail: detail.into() });
        None
    }

    /// A column, and whether null stands first in it. `free`: null may stand second as well.
    fn column(&mut self, schema: &Schema, free: bool) -> Option<(ColumnType, bool)> {
        let Schema::Union(union) = schema else {
            return Some((self.ty(schema)?.required(), true));
        };
        let branches = union.variants();
        let null = branches.iter().position(|branch| *branch == Schema::Null);
        let values: Vec<_> = branches.iter().filter(|branch| **branch != Schema::Null).collect();
        let types: Vec<_> = values.iter().map(|branch| self.ty(branch)).collect();
        let mut types: Vec<ColumnType> =
            types.into_iter().collect::<Option<Vec<_>>>()?.into_iter().map(Type::required).collect();
        match (null, types.len()) {
            (_, 0) => self.refuse(refused(&Schema::Null)),
            (Some(1), 1) if free => Some((ColumnType { nullable: true, ..types.pop()? }, false)),
            (Some(0), 1) => Some((ColumnType { nullable: true, ..types.pop()? }, true)),
            (Some(1..), _) => self.refuse("null has to stand first in this union"),
            (null, _) => Some((ColumnType { ty: Type::Union(types.into()), nullable: null.is_some() }, true)),
        }
    }

    fn ty(&mut self, schema: &Schema) -> Option<Type> {
        match schema {
            Schema::Record(record) => self.record(record),
            Schema::Array(array) => Some(Type::Array(Arc::new(self.column(&array.items, false)?.0))),
            Schema::Map(map) => Some(Type::Map(Arc::new(self.column(&map.types, false)?.0))),
            Schema::Union(_) => self.refuse("a union has no place here"),
            Schema::Ref { name } => {
                let name = name.fullname(None);
                if self.open.contains(&name) {
                    self.problems.push(TypeProblem::Recursive { name });
                    return None;
                }
                let known = self.named.get(&name).cloned();
                // A name whose declaration was refused has been reported there.
                if known.is_none() && self.problems.is_empty() {
                    self.problems.push(TypeProblem::UnknownName { name });
                }
                known
            }
            scalar => {
                let ty = scalar_type(scalar).or_else(|detail| self.refuse(detail).ok_or(())).ok()?;
                if let Some(name) = scalar.name() {
                    self.named.insert(name.fullname(None), ty.clone());
                }
                Some(ty)
            }
        }
    }

    fn record(&mut self, schema: &RecordSchema) -> Option<Type> {
        let full_name = schema.name.fullname(None);
        self.open.push(full_name.clone());
        let fields: Vec<_> = schema.fields.iter().map(|field| self.field(field)).collect();
        self.open.pop();
        let fields = fields.into_iter().collect::<Option<Vec<_>>>()?;
        let ty = Type::Record(Arc::new(RecordType { full_name: full_name.clone(), fields }));
        self.named.insert(full_name, ty.clone());
        Some(ty)
    }

    fn field(&mut self, schema: &apache_avro::schema::RecordField) -> Option<Field> {
        self.path.push(schema.name.clone());
        let field = self.column(&schema.schema, true).and_then(|(column, null_first)| {
            let field = Field {
                name: schema.name.as_str().into(),
                column,
                null_first,
                default: schema.default.clone(),
                aliases: schema.aliases.iter().map(|alias| alias.as_str().into()).collect(),
            };
            match defaults::of_field(&field) {
                Some(Err(detail)) => self.refuse(format!("the default does not fit: {detail}")),
                _ => Some(field),
            }
        });
        self.path.pop();
        field
    }
}
