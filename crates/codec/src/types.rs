//! The closed set of types. The table in `docs/types.md` says where each stands in Avro, SQL, JSON and tables.

use std::sync::Arc;

/// A type, without its nullability.
#[derive(Clone, Debug, PartialEq)]
pub enum Type {
    /// `boolean`.
    Boolean,
    /// `int`, 32-bit signed; a [`crate::Datum::Long`] in a slot.
    Int,
    /// `long`, 64-bit signed.
    Long,
    /// `float`, 32-bit; a [`crate::Datum::Double`] in a slot. Never NaN or infinite: JSON cannot say them.
    Float,
    /// `double`, 64-bit.
    Double,
    /// `bytes`; base64 in JSON.
    Bytes,
    /// `string`, UTF-8.
    String,
    /// `fixed`; base64 in JSON.
    Fixed(Arc<FixedType>),
    /// `enum`; its symbol as text in SQL and JSON.
    Enum(Arc<EnumType>),
    /// `decimal` on bytes (`fixed` is `None`) or on a fixed type; unscaled i128 in a slot, so at most 38 digits.
    Decimal {
        /// Digits in all, 1 to 38.
        precision: u8,
        /// Digits behind the point, at most `precision`.
        scale: u8,
        /// The fixed type that carries it, if it is not bytes.
        fixed: Option<Arc<FixedType>>,
    },
    /// `uuid` on string: lower-case hyphenated text in slots and JSON.
    Uuid,
    /// `date`: days since 1970-01-01.
    Date,
    /// `time-millis`: milliseconds since midnight.
    TimeMillis,
    /// `time-micros`: microseconds since midnight.
    TimeMicros,
    /// `timestamp-millis`: milliseconds since 1970-01-01T00:00:00Z.
    TimestampMillis,
    /// `timestamp-micros`: microseconds since 1970-01-01T00:00:00Z.
    TimestampMicros,
    /// `local-timestamp-millis`: as above, of a wall clock without a zone.
    LocalTimestampMillis,
    /// `local-timestamp-micros`.
    LocalTimestampMicros,
    /// `array<T>`; a [`crate::Datum::Encoded`] in a slot.
    Array(Arc<ColumnType>),
    /// `map<T>`; a [`crate::Datum::Encoded`] in a slot.
    Map(Arc<ColumnType>),
    /// A named record; a [`crate::Datum::Encoded`] in a slot.
    Record(Arc<RecordType>),
    /// A union that is not just `null` and one other type. JSON and Avro carry it; SQL cannot name it. A `null` among
    /// its branches is not listed here but makes the column nullable; it must stand first in the schema.
    Union(Arc<[ColumnType]>),
}

/// How the values of a type stand in a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyForm {
    /// One byte.
    Boolean,
    /// Eight bytes: whole numbers, days and times.
    Whole,
    /// Sixteen bytes: unscaled, of at most so many digits.
    Decimal {
        /// Digits in all.
        precision: u8,
    },
    /// Text, as long as it is.
    Text,
}

/// A type and whether a value may be absent.
///
/// Where null stands in the Avro union: a [`Field`] says it for itself; everywhere else (elements of arrays and maps,
/// columns of a table) null stands first. A schema that puts it second there is refused, a foreign writer that does is
/// read and written again in this order.
#[derive(Clone, Debug, PartialEq)]
pub struct ColumnType {
    /// The type of a value that is there.
    pub ty: Type,
    /// Whether null is a value. In Avro: a union of null and the type.
    pub nullable: bool,
}

/// A named Avro record.
#[derive(Debug, PartialEq)]
pub struct RecordType {
    /// Namespace and name, with a dot between.
    pub full_name: String,
    /// The fields, in schema order.
    pub fields: Vec<Field>,
}

/// A field of a record.
#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    /// Its name.
    pub name: Arc<str>,
    /// Its type.
    pub column: ColumnType,
    /// For a nullable field, whether null is the first branch of its union: branch order is part of the encoding.
    pub null_first: bool,
    /// The schema's default, as JSON in Avro's own mapping (bytes as one character a byte), if it has one.
    pub default: Option<serde_json::Value>,
    /// Names it had before: a writer's field of such a name is this field.
    pub aliases: Vec<Arc<str>>,
}

/// A named Avro enum.
#[derive(Debug, PartialEq)]
pub struct EnumType {
    /// Namespace and name.
    pub full_name: String,
    /// The symbols, in schema order.
    pub symbols: Vec<String>,
    /// The schema's default symbol: what a reader takes for one it does not know.
    pub default: Option<String>,
}

/// A named Avro fixed.
#[derive(Debug, PartialEq)]
pub struct FixedType {
    /// Namespace and name.
    pub full_name: String,
    /// Bytes.
    pub size: usize,
}

// === impl Type ===

impl Type {
    /// The same type as a column that is never null.
    #[must_use]
    pub fn required(self) -> ColumnType {
        ColumnType { ty: self, nullable: false }
    }

    /// The same type as a column that may be null.
    #[must_use]
    pub fn nullable(self) -> ColumnType {
        ColumnType { ty: self, nullable: true }
    }

    /// How values stand in a key; `None` where they cannot: they have no text form, or no total order.
    #[must_use]
    pub fn key_form(&self) -> Option<KeyForm> {
        match self {
            Type::Boolean => Some(KeyForm::Boolean),
            Type::Int
            | Type::Long
            | Type::Date
            | Type::TimeMillis
            | Type::TimeMicros
            | Type::TimestampMillis
            | Type::TimestampMicros
            | Type::LocalTimestampMillis
            | Type::LocalTimestampMicros => Some(KeyForm::Whole),
            Type::Decimal { precision, .. } => Some(KeyForm::Decimal { precision: *precision }),
            Type::String | Type::Enum(_) | Type::Uuid => Some(KeyForm::Text),
            Type::Float
            | Type::Double
            | Type::Bytes
            | Type::Fixed(_)
            | Type::Array(_)
            | Type::Map(_)
            | Type::Record(_)
            | Type::Union(_) => None,
        }
    }

    /// Whether it is a date, a time of day or a timestamp.
    #[must_use]
    pub fn is_time(&self) -> bool {
        matches!(self, Type::Date | Type::TimeMillis | Type::TimeMicros) || self.is_timestamp()
    }

    /// Whether it is a timestamp, of a zone or of a wall clock.
    #[must_use]
    pub fn is_timestamp(&self) -> bool {
        matches!(
            self,
            Type::TimestampMillis
                | Type::TimestampMicros
                | Type::LocalTimestampMillis
                | Type::LocalTimestampMicros
        )
    }
}

// === impl KeyForm ===

impl KeyForm {
    /// How many bytes a value takes, where all take as many.
    #[must_use]
    pub fn width(self) -> Option<usize> {
        match self {
            KeyForm::Boolean => Some(1),
            KeyForm::Whole => Some(8),
            KeyForm::Decimal { .. } => Some(16),
            KeyForm::Text => None,
        }
    }
}

// === impl RecordType ===

impl RecordType {
    /// The place of a field in schema order.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<usize> {
        self.fields.iter().position(|field| &*field.name == name)
    }
}
