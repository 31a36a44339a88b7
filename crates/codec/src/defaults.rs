//! A schema's default values, from Avro's own JSON mapping to the datum: bytes are one character a byte, dates and
//! times their number, unions bare.

use serde_json::Value;

use crate::calendar::time_problem;
use crate::datum::Datum;
use crate::types::{ColumnType, Field, RecordType, Type};
use crate::wire::{self, is_uuid, write_chunk, write_long, write_scalar};

/// The datum of a field's default; `None` when it has none.
pub(crate) fn of_field(field: &Field) -> Option<Result<Vec<u8>, String>> {
    let default = field.default.as_ref()?;
    let mut out = Vec::new();
    Some(encode(&field.column, field.null_first, default, &mut out).map(|()| out))
}

/// Appends the datum of a default. Of a union's branches, the first that the value fits.
pub(crate) fn encode(
    column: &ColumnType,
    null_first: bool,
    value: &Value,
    out: &mut Vec<u8>,
) -> Result<(), String> {
    if let Type::Union(branches) = &column.ty {
        let nulls = i64::from(column.nullable);
        if column.nullable && value.is_null() {
            out.push(0);
            return Ok(());
        }
        for (at, branch) in branches.iter().enumerate() {
            let start = out.len();
            write_long(at as i64 + nulls, out);
            if encode(branch, true, value, out).is_ok() {
                return Ok(());
            }
            out.truncate(start);
        }
        return Err(format!("{value} fits no branch of the union"));
    }
    if column.nullable {
        let branch = i64::from(value.is_null() != null_first);
        write_long(branch, out);
        if value.is_null() {
            return Ok(());
        }
    }
    encode_type(&column.ty, value, out)
}

fn encode_type(ty: &Type, value: &Value, out: &mut Vec<u8>) -> Result<(), String> {
    match (ty, value) {
        (Type::Array(element), Value::Array(values)) => {
            if !values.is_empty() {
                write_long(values.len() as i64, out);
            }
            values.iter().try_for_each(|value| encode(element, true, value, out))?;
            out.push(0);
        }
        (Type::Map(element), Value::Object(entries)) => {
            if !entries.is_empty() {
                write_long(entries.len() as i64, out);
            }
            for (key, value) in entries {
                write_chunk(key.as_bytes(), out);
                encode(element, true, value, out)?;
            }
            out.push(0);
        }
        (Type::Record(record), Value::Object(entries)) => return encode_record(record, entries, out),
        _ => {
            let fits = encode_scalar(ty, value, out);
            return fits.ok_or_else(|| format!("{value} is no {}", crate::schema::kind(ty)));
        }
    }
    Ok(())
}

fn encode_record(
    record: &RecordType,
    entries: &serde_json::Map<String, Value>,
    out: &mut Vec<u8>,
) -> Result<(), String> {
    if let Some(unknown) = entries.keys().find(|key| record.field(key).is_none()) {
        return Err(format!("{} has no field `{unknown}`", record.full_name));
    }
    for field in &record.fields {
        let value = entries.get(&*field.name).or(field.default.as_ref());
        let value = value.ok_or_else(|| format!("the field `{}` is missing", field.name))?;
        encode(&field.column, field.null_first, value, out)?;
    }
    Ok(())
}

fn encode_scalar(ty: &Type, value: &Value, out: &mut Vec<u8>) -> Option<()> {
    let bytes;
    let datum = match (ty, value) {
        (Type::Boolean, Value::Bool(value)) => Datum::Boolean(*value),
        (Type::Int | Type::Date | Type::TimeMillis, Value::Number(number)) => {
            Datum::Long(number.as_i64().filter(|number| i32::try_from(*number).is_ok())?)
        }
        (Type::Float, Value::Number(number)) => Datum::Double(f64::from(number.as_f64()? as f32)),
        (Type::Double, Value::Number(number)) => Datum::Double(number.as_f64()?),
        (Type::String, Value::String(text)) => Datum::Text(text),
        (Type::Enum(symbols), Value::String(text)) => {
            Datum::Text(symbols.symbols.iter().find(|s| *s == text)?)
        }
        (Type::Uuid, Value::String(text)) if is_uuid(text) => Datum::Text(text),
        (Type::Bytes | Type::Fixed(_) | Type::Decimal { .. }, Value::String(text)) => {
            bytes = text.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect::<Option<Vec<u8>>>()?;
            match ty {
                Type::Fixed(fixed) if bytes.len() != fixed.size => return None,
                Type::Decimal { fixed: Some(fixed), .. } if bytes.len() != fixed.size => return None,
                Type::Decimal { precision, .. } => {
                    Datum::Decimal(wire::decimal(&bytes, *precision, 0).ok()?.0)
                }
                Type::Boolean
                | Type::Int
                | Type::Long
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
                | Type::Union(_) => Datum::Bytes(&bytes),
            }
        }
        (_, Value::Number(number)) if !matches!(ty, Type::Bytes | Type::String) => {
            Datum::Long(number.as_i64()?)
        }
        _ => return None,
    };
    match datum {
        Datum::Double(value) if !value.is_finite() => return None,
        Datum::Long(value) if time_problem(ty, value).is_some() => return None,
        Datum::Null
        | Datum::Boolean(_)
        | Datum::Long(_)
        | Datum::Double(_)
        | Datum::Decimal(_)
        | Datum::Text(_)
        | Datum::Bytes(_)
        | Datum::Encoded(_) => write_scalar(ty, datum, out),
    }
    Some(())
}
