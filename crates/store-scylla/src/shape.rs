//! The columns of a table: how the bytes of a key lie in the key's columns, and how they come back.
//!
//! | table | primary key |
//! |---|---|
//! | entity | `(_key blob)` |
//! | index | `((partition key columns), clustering columns)` |
//! | rollup | `((partition key columns), clustering columns, _shard int)` |
//! | verdicts, copy of control | `((_partition int), _at bigint)` |
//! | checkpoints | `(_partition int)` |
//!
//! Every table has `_value blob`, the row's exact bytes, and `_offset bigint`, the offset its stamp is made from; an index
//! and a rollup show columns besides, typed, for whoever looks with a tool ([`tidefold_table::shown`]): nothing here reads
//! them. A column of an app never starts with an underscore. A bucket (`_bucket`) stands behind the partition key's columns.

use bumpalo::Bump;
use tidefold_codec::ordered::{self, KeyColumn};
use tidefold_codec::{Datum, KeyForm};
use tidefold_table::bucket::{BUCKET_COLUMN, StoredColumn};
use tidefold_table::shown::{ShownColumn, ShownColumns};
use tidefold_table::{TableKind, TableLayout};

use crate::cells::Cells;
use crate::typed;

/// The columns of a table.
#[derive(Debug)]
pub(crate) struct Shape {
    pub(crate) kind: TableKind,
    /// Key columns: those of the partition key, then the clustering columns.
    pub(crate) parts: Vec<KeyPart>,
    /// How many of them are the partition key.
    pub(crate) partition: usize,
    /// Columns of the value that tools are shown.
    pub(crate) shown: ShownColumns,
}

/// A key column.
#[derive(Debug)]
pub(crate) struct KeyPart {
    pub(crate) name: String,
    form: Form,
}

#[derive(Debug)]
enum Form {
    /// Four bytes.
    Word,
    /// Eight bytes.
    Long,
    /// All the bytes that are left: it is all of the partition key.
    Rest,
    /// A column of the app. `alone`: it is all of the partition key.
    Typed { column: KeyColumn, alone: bool },
}

/// Key or value bytes that do not fit their table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Misshapen;

// === impl Shape ===

impl Shape {
    pub(crate) fn of(layout: &TableLayout) -> Shape {
        let part = |name: &str, form| KeyPart { name: name.to_owned(), form };
        let parts = match layout.kind {
            TableKind::Entity => vec![part("_key", Form::Rest)],
            TableKind::Verdicts | TableKind::ControlCopy => {
                vec![part("_partition", Form::Word), part("_at", Form::Long)]
            }
            TableKind::Checkpoints => vec![part("_partition", Form::Word)],
            TableKind::Index | TableKind::Rollup => view_parts(layout),
        };
        let partition = match layout.kind {
            TableKind::Index | TableKind::Rollup => {
                layout.partition_key.len() + usize::from(layout.bucket.is_some())
            }
            TableKind::Entity | TableKind::Verdicts | TableKind::Checkpoints | TableKind::ControlCopy => 1,
        };
        Shape { kind: layout.kind, parts, partition, shown: ShownColumns::of(layout) }
    }

    /// The partition key's columns.
    pub(crate) fn partition(&self) -> &[KeyPart] {
        self.parts.get(..self.partition).unwrap_or_default()
    }

    /// The clustering columns.
    pub(crate) fn clustering(&self) -> &[KeyPart] {
        self.parts.get(self.partition..).unwrap_or_default()
    }

    /// Appends a whole key.
    pub(crate) fn key(&self, key: &[u8], cells: &mut Cells) -> Result<(), Misshapen> {
        let mut rest = key;
        for part in &self.parts {
            rest = part.write(rest, cells)?;
        }
        if rest.is_empty() { Ok(()) } else { Err(Misshapen) }
    }

    /// Appends the partition key at the front of `bytes`; returns what follows.
    pub(crate) fn partition_key<'b>(
        &self,
        bytes: &'b [u8],
        cells: &mut Cells,
    ) -> Result<&'b [u8], Misshapen> {
        self.partition().iter().try_fold(bytes, |rest, part| part.write(rest, cells))
    }

    /// Appends what a put shows. What has no place in its CQL type is null: the value's bytes have it.
    pub(crate) fn show(&self, value: &[u8], cells: &mut Cells) -> Result<(), Misshapen> {
        let put = |column: &ShownColumn, shown| cells.attempt(|out| typed::show(&column.holds, shown, out));
        self.shown.read(value, put).map_err(|_| Misshapen)
    }
}

/// The key columns of an index or a rollup.
fn view_parts(layout: &TableLayout) -> Vec<KeyPart> {
    let alone = layout.partition_key.len() == 1 && layout.bucket.is_none();
    let mut parts: Vec<KeyPart> = Vec::new();
    for stored in layout.stored_key_columns() {
        let (name, column) = match stored {
            StoredColumn::Bucket(column) => (BUCKET_COLUMN.to_owned(), column),
            StoredColumn::Column(at, column) => {
                (layout.columns.get(at).map(|column| column.name.clone()).unwrap_or_default(), column)
            }
        };
        let alone = alone && parts.is_empty();
        parts.push(KeyPart { name, form: Form::Typed { column, alone } });
    }
    if layout.kind == TableKind::Rollup {
        parts.push(KeyPart { name: "_shard".to_owned(), form: Form::Word });
    }
    parts
}

// === impl KeyPart ===

impl KeyPart {
    pub(crate) fn cql_type(&self) -> &'static str {
        match &self.form {
            Form::Word => "int",
            Form::Long => "bigint",
            Form::Rest => "blob",
            Form::Typed { column, .. } => typed::cql_type(&column.ty),
        }
    }

    pub(crate) fn descending(&self) -> bool {
        matches!(&self.form, Form::Typed { column, .. } if column.descending)
    }

    /// Appends the column at the front of `bytes`; returns what follows.
    ///
    /// A partition key of one column must not be empty in CQL: there, a value of nothing but zeros gets one more.
    pub(crate) fn write<'b>(&self, bytes: &'b [u8], cells: &mut Cells) -> Result<&'b [u8], Misshapen> {
        let lengthen = |alone: bool, plain: &[u8], out: &mut Vec<u8>| {
            if alone && plain.iter().all(|byte| *byte == 0) {
                out.push(0);
            }
        };
        match &self.form {
            Form::Word => {
                let (word, rest) = bytes.split_at_checked(4).ok_or(Misshapen)?;
                cells.put(word);
                Ok(rest)
            }
            Form::Long => {
                let (long, rest) = bytes.split_at_checked(8).ok_or(Misshapen)?;
                cells.put(long);
                Ok(rest)
            }
            Form::Rest => {
                cells.fill(|out| {
                    out.extend_from_slice(bytes);
                    lengthen(true, bytes, out);
                });
                Ok(&[])
            }
            Form::Typed { column, alone } => {
                let arena = Bump::new();
                let (datum, rest) = ordered::decode(column, bytes, &arena).map_err(|_| Misshapen)?;
                let mut fits = true;
                cells.fill(|out| {
                    fits = typed::write(&column.ty, datum, out).is_some();
                    if let Datum::Text(text) = datum {
                        lengthen(*alone, text.as_bytes(), out);
                    }
                });
                if !fits {
                    return Err(Misshapen);
                }
                bytes.get(bytes.len() - rest.len()..).ok_or(Misshapen)
            }
        }
    }

    /// Appends the key's bytes of a column that came back.
    pub(crate) fn read(&self, cell: &[u8], key: &mut Vec<u8>) -> Result<(), Misshapen> {
        let shorten = |alone: bool, cell: &'_ [u8]| {
            usize::from(alone && !cell.is_empty() && cell.iter().all(|byte| *byte == 0))
        };
        match &self.form {
            Form::Word | Form::Long => key.extend_from_slice(cell),
            Form::Rest => key.extend_from_slice(cell.get(shorten(true, cell)..).unwrap_or_default()),
            Form::Typed { column, alone } => {
                let arena = Bump::new();
                let is_text = column.ty.key_form() == Some(KeyForm::Text);
                let cell = cell.get(shorten(*alone && is_text, cell)..).unwrap_or_default();
                let datum = typed::read(&column.ty, cell, &arena).ok_or(Misshapen)?;
                ordered::encode(column, datum, key);
            }
        }
        Ok(())
    }

    /// The bytes of a column of fixed width.
    pub(crate) fn width(&self) -> Option<usize> {
        match &self.form {
            Form::Word => Some(4),
            Form::Long => Some(8),
            Form::Rest => None,
            Form::Typed { column, .. } => column.ty.key_form().and_then(KeyForm::width),
        }
    }
}

#[cfg(test)]
mod tests {
    use tidefold_codec::Type;

    use super::*;

    /// As `docs/servers.md` tells it to those who look with a tool.
    #[test]
    fn an_empty_text_that_is_all_of_a_partition_key_stands_there_as_a_nul() {
        for (alone, text, stands) in [
            (true, "", "\0"),
            (true, "\0", "\0\0"),
            (true, "\0a", "\0a"),
            (true, "a", "a"),
            (false, "", ""),
            (false, "\0", "\0"),
        ] {
            let column = KeyColumn { ty: Type::String, descending: false };
            let mut key = Vec::new();
            ordered::encode(&column, Datum::Text(text), &mut key);
            let part = KeyPart { name: "k".to_owned(), form: Form::Typed { column, alone } };
            let mut cells = Cells::default();
            assert_eq!(part.write(&key, &mut cells), Ok(&[][..]), "{text:?}");
            assert_eq!(cells.iter().next(), Some(Some(stands.as_bytes())), "{text:?}");
            let mut back = Vec::new();
            assert_eq!((part.read(stands.as_bytes(), &mut back), back), (Ok(()), key), "{text:?}");
        }
    }
}
