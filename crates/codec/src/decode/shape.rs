//! What a writer's bytes look like: its schema as a tree, with every branch order as it stands. Unlike
//! [`crate::types`] this has a place for all that a foreign writer may write; what the reader drops is only walked over.

use apache_avro::Schema;
use apache_avro::schema::{InnerDecimalSchema, UuidSchema};

use super::error::PlanError;
use crate::decode::DecodeError;
use crate::schema::scalar_type;
use crate::types::{ColumnType, RecordType, Type};
use crate::wire::{Cursor, check_scalar};

/// The form of one value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Shape {
    Null,
    Scalar(Type),
    Array(Box<Shape>),
    Map(Box<Shape>),
    Record(Vec<(String, Shape)>),
    Union(Vec<Shape>),
}

/// The shape of a writer's schema, and all that cannot be walked.
pub(super) struct ShapeBuilder<'s> {
    named: Vec<(String, &'s Schema)>,
    open: Vec<String>,
    path: Vec<String>,
    pub(super) errors: Vec<PlanError>,
}

// === impl ShapeBuilder ===

impl<'s> ShapeBuilder<'s> {
    pub(super) fn new(schema: &'s Schema) -> ShapeBuilder<'s> {
        let mut builder =
            ShapeBuilder { named: Vec::new(), open: Vec::new(), path: Vec::new(), errors: Vec::new() };
        builder.collect(schema);
        builder
    }

    fn collect(&mut self, schema: &'s Schema) {
        match schema {
            Schema::Array(array) => self.collect(&array.items),
            Schema::Map(map) => self.collect(&map.types),
            Schema::Union(union) => union.variants().iter().for_each(|branch| self.collect(branch)),
            Schema::Record(record) => record.fields.iter().for_each(|field| self.collect(&field.schema)),
            _ => {}
        }
        if let (Some(name), false) = (schema.name(), matches!(schema, Schema::Ref { .. })) {
            self.named.push((name.fullname(None), schema));
        }
    }

    pub(super) fn shape(&mut self, schema: &'s Schema) -> Shape {
        match schema {
            Schema::Null => Shape::Null,
            Schema::Array(array) => Shape::Array(Box::new(self.shape(&array.items))),
            Schema::Map(map) => Shape::Map(Box::new(self.shape(&map.types))),
            Schema::Union(union) => {
                Shape::Union(union.variants().iter().map(|branch| self.shape(branch)).collect())
            }
            Schema::Ref { name } => {
                let name = name.fullname(None);
                match self.named.iter().find(|(known, _)| *known == name) {
                    Some((_, schema)) => self.shape(schema),
                    None => self.refuse(format!("the writer's schema does not declare `{name}`")),
                }
            }
            Schema::Record(record) => {
                let name = record.name.fullname(None);
                if self.open.contains(&name) {
                    return self.refuse(format!("the writer's `{name}` contains itself"));
                }
                self.open.push(name);
                let fields = record.fields.iter().map(|field| {
                    self.path.push(field.name.clone());
                    let shape = self.shape(&field.schema);
                    self.path.pop();
                    (field.name.clone(), shape)
                });
                let fields = fields.collect();
                self.open.pop();
                Shape::Record(fields)
            }
            scalar => self.scalar(scalar),
        }
    }

    fn scalar(&mut self, schema: &Schema) -> Shape {
        let base = match schema {
            Schema::TimestampNanos | Schema::LocalTimestampNanos => &Schema::Long,
            Schema::BigDecimal | Schema::Uuid(UuidSchema::Bytes) => &Schema::Bytes,
            Schema::Uuid(UuidSchema::Fixed(fixed)) | Schema::Duration(fixed) => &Schema::Fixed(fixed.clone()),
            Schema::Decimal(decimal) if decimal.precision > 38 => match &decimal.inner {
                InnerDecimalSchema::Bytes => &Schema::Bytes,
                InnerDecimalSchema::Fixed(fixed) => &Schema::Fixed(fixed.clone()),
            },
            other => other,
        };
        match scalar_type(base) {
            Ok(ty) => Shape::Scalar(ty),
            Err(detail) => self.refuse(detail),
        }
    }

    fn refuse(&mut self, detail: String) -> Shape {
        self.errors.push(PlanError { path: self.path.clone(), detail });
        Shape::Null
    }
}

// === impl Shape ===

impl Shape {
    /// The form in which a reader's column is written.
    pub(crate) fn of_column(column: &ColumnType, null_first: bool) -> Shape {
        let null = column.nullable.then_some(Shape::Null);
        match (&column.ty, null) {
            (Type::Union(branches), null) => {
                Shape::Union(null.into_iter().chain(branches.iter().map(|b| Shape::of_type(&b.ty))).collect())
            }
            (ty, None) => Shape::of_type(ty),
            (ty, Some(null)) if null_first => Shape::Union(vec![null, Shape::of_type(ty)]),
            (ty, Some(null)) => Shape::Union(vec![Shape::of_type(ty), null]),
        }
    }

    pub(crate) fn of_type(ty: &Type) -> Shape {
        match ty {
            Type::Array(element) => Shape::Array(Box::new(Shape::of_column(element, true))),
            Type::Map(value) => Shape::Map(Box::new(Shape::of_column(value, true))),
            Type::Record(record) => Shape::of_record(record),
            Type::Union(branches) => Shape::Union(branches.iter().map(|b| Shape::of_type(&b.ty)).collect()),
            scalar @ (Type::Boolean
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
            | Type::TimeMillis
            | Type::TimeMicros
            | Type::TimestampMillis
            | Type::TimestampMicros
            | Type::LocalTimestampMillis
            | Type::LocalTimestampMicros) => Shape::Scalar(scalar.clone()),
        }
    }

    pub(super) fn of_record(record: &RecordType) -> Shape {
        let fields = record.fields.iter();
        Shape::Record(
            fields.map(|f| (f.name.to_string(), Shape::of_column(&f.column, f.null_first))).collect(),
        )
    }

    /// Moves over an array or a map and counts its elements.
    pub(crate) fn count<'a>(&'a self, cursor: &mut Cursor<'a>) -> Result<u64, DecodeError> {
        match self {
            Shape::Array(element) => cursor.blocks(|cursor| element.check(cursor)),
            Shape::Map(value) => cursor.entries(|cursor, _| value.check(cursor)),
            Shape::Null | Shape::Scalar(_) | Shape::Record(_) | Shape::Union(_) => Ok(0),
        }
    }

    /// Moves over a value, checking all of it.
    pub(crate) fn check<'a>(&'a self, cursor: &mut Cursor<'a>) -> Result<(), DecodeError> {
        match self {
            Shape::Null => Ok(()),
            Shape::Scalar(ty) => check_scalar(ty, cursor),
            Shape::Array(_) | Shape::Map(_) => self.count(cursor).map(drop),
            Shape::Record(fields) => fields.iter().try_for_each(|(_, field)| field.check(cursor)),
            Shape::Union(branches) => {
                let branch = cursor.choice(branches.len(), "a union has no such branch")?;
                branches.get(branch).map_or(Ok(()), |branch| branch.check(cursor))
            }
        }
    }
}
