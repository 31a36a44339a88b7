//! Avro's own JSON encoding of a nullable, `{"string": "x"}`, beside the bare value that this API reads and writes.
//!
//! It is taken wherever an object with the type's name as its one member can be nothing else:
//! * for a scalar or an array always, since no object is one;
//! * for a record, unless the record has a field of that name;
//! * for a map, if its values can be no objects and the member `map` is one. Any other map is bare, with a key `map`.
//!
//! Bytes, fixed and decimals are left out: Avro's JSON has a character for each byte where this API has base64 or digits,
//! and one text can be both.

use super::form::{Form, RecordForm};
use super::path::Path;
use super::union::base_name;
use super::value::{Encoding, Stop};
use crate::json_out::{full_name, short_name};
use crate::schema::kind;
use crate::text;
use crate::types::Type;

// === impl Encoding ===

impl Encoding<'_, '_> {
    /// An object where a value or null may stand; the branch's number is written already.
    pub(super) fn nullable_object(&mut self, form: &Form, path: &Path<'_>) -> Result<(), Stop> {
        let is_tag = match form {
            Form::Record(record) => self.names_record(record),
            Form::Map(value) => {
                value.optional.is_none()
                    && matches!(value.ty, Form::Scalar(_) | Form::Array(_))
                    && self.reader.starts_with_member("map")
            }
            Form::Array(_) => self.reader.starts_with_member("array"),
            Form::Scalar(ty) => self.names_scalar(ty),
            Form::Union(_) => false,
        };
        if is_tag && self.tagged(form, path)? {
            return Ok(());
        }
        match form {
            Form::Record(_) | Form::Map(_) => self.value(form, b'{', path),
            Form::Scalar(ty @ (Type::Bytes | Type::Fixed(_) | Type::Decimal { .. })) => {
                let expected = || {
                    let expected = text::expected(ty);
                    format!("{expected} or null: write the value alone (Avro's own JSON writes it otherwise)")
                };
                self.wrong(b'{', expected, path)
            }
            Form::Scalar(_) | Form::Array(_) | Form::Union(_) => {
                self.wrong(b'{', || format!("{} or null: write the value alone", form.describe()), path)
            }
        }
    }

    fn names_record(&self, record: &RecordForm) -> bool {
        [record.name.as_str(), short_name(&record.name)]
            .into_iter()
            .any(|name| self.reader.starts_with_member(name) && record.field(name, 0).is_none())
    }

    /// By the name of its base type, as the specification has it, by its own, or by both with a dot as some libraries do.
    fn names_scalar(&self, ty: &Type) -> bool {
        if matches!(ty, Type::Bytes | Type::Fixed(_) | Type::Decimal { .. }) {
            return false;
        }
        let is = |name: &str| self.reader.starts_with_member(name);
        match (full_name(ty), base_name(ty)) {
            (Some(full), _) => is(full) || is(short_name(full)),
            (None, Some(base)) => is(base) || is(kind(ty)) || is(&format!("{base}.{}", kind(ty))),
            (None, None) => is(kind(ty)),
        }
    }

    /// Reads `{"name": value}`. False, and nothing was read, if more members follow or a map's is no map.
    fn tagged(&mut self, form: &Form, path: &Path<'_>) -> Result<bool, Stop> {
        let (at, depth) = (self.reader.at(), self.depth());
        let (size, told) = (self.out.len(), self.violations.len());
        self.enter(path)?;
        self.reader.eat(b'{');
        let name = self.string(path)?;
        self.expect(b':', "`:` is missing here", path)?;
        let first = self.reader.peek();
        if !matches!(form, Form::Map(_)) || first == b'{' {
            self.value(form, first, &path.name(&name))?;
            if self.reader.eat(b'}') {
                self.leave();
                return Ok(true);
            }
        }
        self.reader.seek(at);
        self.out.truncate(size);
        self.violations.truncate(told);
        self.set_depth(depth);
        Ok(false)
    }
}
