//! Schema resolution, done once: how each value of the writer becomes a value of the reader.

use std::sync::Arc;

use super::error::PlanError;
use super::shape::Shape;
use crate::defaults;
use crate::schema::{kind, type_text};
use crate::types::{ColumnType, EnumType, Field, RecordType, Type};

/// How one value is read.
#[derive(Debug)]
pub(super) enum Resolve {
    /// A scalar that both sides write alike.
    Scalar(Type),
    /// A scalar of another type.
    Convert { from: Type, to: Type },
    /// An enum whose symbols differ: the reader's symbol for each of the writer's.
    Enum { symbols: Box<[Option<usize>]>, to: Arc<EnumType> },
    /// A complex value that both sides write alike: taken as it is if it is canonical, else rewritten.
    Alike { shape: Shape, rewrite: Box<Resolve> },
    /// An array of this shape.
    Array { shape: Shape, element: Box<Resolve> },
    /// A map.
    Map { value: Box<Resolve> },
    /// A record.
    Record(Box<RecordResolve>),
    /// The writer chose one of these.
    Union(Box<[Resolve]>),
    /// The reader's null, as this branch.
    Null { branch: i64 },
    /// A branch of the reader's union; `optional`: of null and one other type.
    Branch { branch: i64, value: Box<Resolve>, optional: bool },
    /// A branch of the writer's union without a place in the reader's type.
    Never,
}

/// How a record is read.
#[derive(Debug)]
pub(super) struct RecordResolve {
    /// The writer's fields.
    pub(super) fields: Box<[Shape]>,
    /// Where each of the reader's fields comes from.
    pub(super) sources: Box<[Source]>,
}

/// Where a field of the reader comes from.
#[derive(Debug)]
pub(super) enum Source {
    /// The writer's field at this place.
    Writer(usize, Resolve),
    /// The reader's default, as its datum.
    Default(Vec<u8>),
}

/// Finds the way for each value, and collects what has none.
pub(super) struct Resolver {
    pub(super) path: Vec<String>,
    pub(super) errors: Vec<PlanError>,
}

// === impl Resolver ===

impl Resolver {
    pub(super) fn refuse(&mut self, detail: String) {
        self.errors.push(PlanError { path: self.path.clone(), detail });
    }

    /// Where a field comes from: the writer's field of its name, else of one of its aliases, else its default.
    pub(super) fn source(&mut self, writer: &[(String, Shape)], field: &Field) -> Option<Source> {
        self.path.push(field.name.to_string());
        let place = std::iter::once(&field.name)
            .chain(&field.aliases)
            .find_map(|name| writer.iter().position(|(written, _)| **written == **name));
        let source = match place.and_then(|place| Some((place, writer.get(place)?))) {
            Some((place, (_, shape))) => {
                let resolve = self.column(shape, &field.column, field.null_first);
                resolve.map(|resolve| Source::Writer(place, resolve))
            }
            None => match defaults::of_field(field) {
                Some(Ok(datum)) => Some(Source::Default(datum)),
                Some(Err(detail)) => {
                    self.refuse(format!("the default does not fit: {detail}"));
                    None
                }
                None => {
                    self.refuse("the writer's schema has no such field, and it has no default".to_owned());
                    None
                }
            },
        };
        self.path.pop();
        source
    }

    fn column(&mut self, shape: &Shape, column: &ColumnType, null_first: bool) -> Option<Resolve> {
        if let (Shape::Union(written), Type::Union(branches)) = (shape, &column.ty)
            && Shape::of_column(column, null_first) == *shape
        {
            let rewrite = self.same_union(written, branches, column.nullable)?;
            return Some(match column.nullable {
                true => rewrite,
                false => Resolve::Alike { shape: shape.clone(), rewrite: Box::new(rewrite) },
            });
        }
        self.structure(shape, column, null_first)
    }

    /// A union that both sides write alike: each branch is itself, also where two have the same form.
    fn same_union(&mut self, written: &[Shape], branches: &[ColumnType], nullable: bool) -> Option<Resolve> {
        let resolved = written.iter().enumerate().map(|(at, shape)| {
            let branch = at as i64;
            if *shape == Shape::Null {
                return Some(Resolve::Null { branch });
            }
            let reader = branches.get(at.checked_sub(usize::from(nullable))?)?;
            let value = Box::new(self.value(shape, &reader.ty)?);
            Some(Resolve::Branch { branch, value, optional: false })
        });
        Some(Resolve::Union(resolved.collect::<Option<_>>()?))
    }

    fn structure(&mut self, shape: &Shape, column: &ColumnType, null_first: bool) -> Option<Resolve> {
        if let Shape::Union(branches) = shape {
            return self.writer_union(branches, column, null_first);
        }
        match (shape, &column.ty) {
            (Shape::Null, ty) if column.nullable => {
                let first = null_first || matches!(ty, Type::Union(_));
                Some(Resolve::Null { branch: i64::from(!first) })
            }
            (_, Type::Union(branches)) => self.reader_union(shape, branches, column.nullable),
            (_, ty) if column.nullable => {
                let value = Box::new(self.value(shape, ty)?);
                Some(Resolve::Branch { branch: i64::from(null_first), value, optional: true })
            }
            (_, ty) => self.value(shape, ty),
        }
    }

    /// Each branch is resolved for itself; one without a place only matters to a record that uses it.
    fn writer_union(&mut self, branches: &[Shape], column: &ColumnType, null_first: bool) -> Option<Resolve> {
        let mut resolved = Vec::new();
        let mut problems = Vec::new();
        let mut values = 0;
        for branch in branches {
            let before = self.errors.len();
            let resolve = self.structure(branch, column, null_first);
            problems.extend(self.errors.drain(before..));
            values += usize::from(resolve.is_some() && (*branch != Shape::Null || branches.len() == 1));
            resolved.push(resolve.unwrap_or(Resolve::Never));
        }
        if values == 0 {
            self.errors.extend(problems);
            return None;
        }
        Some(Resolve::Union(resolved.into()))
    }

    /// The branch of the same type, else the first that the value can become.
    fn reader_union(&mut self, shape: &Shape, branches: &[ColumnType], nullable: bool) -> Option<Resolve> {
        let before = self.errors.len();
        let same = branches.iter().position(|branch| Shape::of_type(&branch.ty) == *shape);
        let order = same.into_iter().chain(0..branches.len());
        for place in order {
            if let Some(value) = branches.get(place).and_then(|branch| self.value(shape, &branch.ty)) {
                self.errors.truncate(before);
                let branch = place as i64 + i64::from(nullable);
                return Some(Resolve::Branch { branch, value: Box::new(value), optional: false });
            }
        }
        self.errors.truncate(before);
        self.refuse(format!("the writer's {} fits no branch of the reader's union", shape.describe()));
        None
    }

    fn value(&mut self, shape: &Shape, ty: &Type) -> Option<Resolve> {
        if let (Shape::Scalar(from), false) = (shape, is_complex(ty)) {
            let resolve = scalar(from, ty);
            if resolve.is_none() {
                self.mismatch(shape, ty);
            }
            return resolve;
        }
        let rewrite = match (shape, ty) {
            (Shape::Array(from), Type::Array(to)) => {
                Resolve::Array { shape: shape.clone(), element: Box::new(self.column(from, to, true)?) }
            }
            (Shape::Map(from), Type::Map(to)) => {
                Resolve::Map { value: Box::new(self.column(from, to, true)?) }
            }
            (Shape::Record(from), Type::Record(to)) => Resolve::Record(Box::new(self.record(from, to)?)),
            _ => {
                self.mismatch(shape, ty);
                return None;
            }
        };
        if Shape::of_type(ty) == *shape {
            return Some(Resolve::Alike { shape: shape.clone(), rewrite: Box::new(rewrite) });
        }
        Some(rewrite)
    }

    fn mismatch(&mut self, shape: &Shape, ty: &Type) {
        let reader = type_text(&ty.clone().required());
        let writer = match shape {
            Shape::Scalar(ty) => type_text(&ty.clone().required()),
            _ => shape.describe().to_owned(),
        };
        self.refuse(format!("{writer} cannot be read as {reader}"));
    }

    pub(super) fn record(
        &mut self,
        writer: &[(String, Shape)],
        reader: &RecordType,
    ) -> Option<RecordResolve> {
        let sources: Vec<_> = reader.fields.iter().map(|field| self.source(writer, field)).collect();
        Some(RecordResolve {
            fields: writer.iter().map(|(_, shape)| shape.clone()).collect(),
            sources: sources.into_iter().collect::<Option<_>>()?,
        })
    }
}

fn is_complex(ty: &Type) -> bool {
    matches!(ty, Type::Array(_) | Type::Map(_) | Type::Record(_) | Type::Union(_))
}

/// The type a logical type stands on; itself for any other.
fn base(ty: &Type) -> Type {
    match ty {
        Type::Date | Type::TimeMillis => Type::Int,
        Type::TimeMicros
        | Type::TimestampMillis
        | Type::TimestampMicros
        | Type::LocalTimestampMillis
        | Type::LocalTimestampMicros => Type::Long,
        Type::Uuid => Type::String,
        Type::Decimal { fixed: None, .. } => Type::Bytes,
        Type::Decimal { fixed: Some(fixed), .. } => Type::Fixed(fixed.clone()),
        other @ (Type::Boolean
        | Type::Int
        | Type::Long
        | Type::Float
        | Type::Double
        | Type::Bytes
        | Type::String
        | Type::Fixed(_)
        | Type::Enum(_)
        | Type::Array(_)
        | Type::Map(_)
        | Type::Record(_)
        | Type::Union(_)) => other.clone(),
    }
}

fn scalar(from: &Type, to: &Type) -> Option<Resolve> {
    if from == to {
        return Some(Resolve::Scalar(to.clone()));
    }
    match (from, to) {
        (Type::Enum(from), Type::Enum(to)) => return Some(enum_symbols(from, to)),
        (Type::Fixed(a), Type::Fixed(b)) => return (a.size == b.size).then(|| Resolve::Scalar(to.clone())),
        (Type::Decimal { scale: a, .. }, Type::Decimal { scale: b, .. }) => {
            return (a == b).then(|| Resolve::Convert { from: from.clone(), to: to.clone() });
        }
        _ => {}
    }
    let (from_base, to_base) = (base(from), base(to));
    if from_base != *from && to_base != *to {
        return None; // two different logical types
    }
    let same_bytes = match (&from_base, &to_base) {
        (Type::Fixed(a), Type::Fixed(b)) => a.size == b.size,
        (a, b) => a == b,
    };
    if same_bytes {
        // The same bytes, seen as the reader's type.
        return Some(Resolve::Scalar(to.clone()));
    }
    let promoted = matches!(
        (&from_base, &to_base),
        (Type::Int, Type::Long | Type::Float | Type::Double)
            | (Type::Long, Type::Float | Type::Double)
            | (Type::Float, Type::Double)
            | (Type::String, Type::Bytes)
            | (Type::Bytes, Type::String)
    );
    // A string is no decimal, and a decimal no string, though their base types promote.
    let sensible = !matches!(from, Type::Decimal { .. }) && !matches!(to, Type::Decimal { .. });
    (promoted && sensible).then(|| Resolve::Convert { from: from.clone(), to: to.clone() })
}

fn enum_symbols(from: &Arc<EnumType>, to: &Arc<EnumType>) -> Resolve {
    if from.symbols == to.symbols {
        return Resolve::Scalar(Type::Enum(to.clone()));
    }
    let place = |symbol: &String| to.symbols.iter().position(|known| known == symbol);
    let default = to.default.as_ref().and_then(place);
    Resolve::Enum {
        symbols: from.symbols.iter().map(|symbol| place(symbol).or(default)).collect(),
        to: to.clone(),
    }
}

impl Shape {
    /// For messages: what it is.
    pub(crate) fn describe(&self) -> &'static str {
        match self {
            Shape::Null => "null",
            Shape::Scalar(ty) => kind(ty),
            Shape::Array(_) => "array",
            Shape::Map(_) => "map",
            Shape::Record(_) => "record",
            Shape::Union(_) => "union",
        }
    }
}
