//! Cells of a row in the bytes of the wire: one buffer for all, so that a row costs two allocations and not one a cell.

use scylla::deserialize::row::{ColumnIterator, DeserializeRow};
use scylla::deserialize::{DeserializationError, TypeCheckError};
use scylla::frame::response::result::ColumnSpec;
use scylla::serialize::SerializationError;
use scylla::serialize::row::{RowSerializationContext, SerializeRow};
use scylla::serialize::writers::RowWriter;

/// The values of a statement's markers, in their order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cells {
    bytes: Vec<u8>,
    /// Where each cell ends; `None` is null.
    ends: Vec<Option<usize>>,
}

/// The cells of a row that came back.
#[derive(Debug)]
pub(crate) struct Fetched<'f>(pub(crate) Vec<Option<&'f [u8]>>);

#[derive(Debug, thiserror::Error)]
#[error("a statement of {markers} markers is given {cells} cells, or a cell of two gigabytes")]
struct Misfit {
    markers: usize,
    cells: usize,
}

// === impl Cells ===

impl Cells {
    /// With room for about so many bytes in so many cells.
    pub(crate) fn with_room(bytes: usize, cells: usize) -> Cells {
        Cells { bytes: Vec::with_capacity(bytes), ends: Vec::with_capacity(cells) }
    }

    pub(crate) fn put(&mut self, bytes: &[u8]) {
        self.fill(|buffer| buffer.extend_from_slice(bytes));
    }

    /// One cell of what `write` appends.
    pub(crate) fn fill(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        write(&mut self.bytes);
        self.ends.push(Some(self.bytes.len()));
    }

    /// One cell of what `write` appends, or a null where it says that there is none.
    pub(crate) fn attempt(&mut self, write: impl FnOnce(&mut Vec<u8>) -> Option<()>) {
        let start = self.bytes.len();
        let written = write(&mut self.bytes);
        if written.is_none() {
            self.bytes.truncate(start);
        }
        self.ends.push(written.map(|()| self.bytes.len()));
    }

    /// About what the row weighs on the wire.
    pub(crate) fn weight(&self) -> usize {
        self.bytes.len() + 4 * self.ends.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Option<&[u8]>> {
        let mut start = 0;
        self.ends.iter().map(move |end| {
            let end = (*end)?;
            let from = std::mem::replace(&mut start, end);
            self.bytes.get(from..end)
        })
    }
}

impl SerializeRow for Cells {
    fn serialize(
        &self,
        ctx: &RowSerializationContext<'_>,
        writer: &mut RowWriter<'_>,
    ) -> Result<(), SerializationError> {
        let misfit =
            || SerializationError::new(Misfit { markers: ctx.columns().len(), cells: self.ends.len() });
        if ctx.columns().len() != self.ends.len() {
            return Err(misfit());
        }
        for cell in self.iter() {
            let out = writer.make_cell_writer();
            let _written = match cell {
                None => out.set_null(),
                Some(bytes) => out.set_value(bytes).map_err(|_| misfit())?,
            };
        }
        Ok(())
    }

    fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }
}

// === impl Fetched ===

impl<'f, 'm> DeserializeRow<'f, 'm> for Fetched<'f> {
    fn type_check(_: &[ColumnSpec<'_>]) -> Result<(), TypeCheckError> {
        Ok(()) // The schema was checked when the table was opened.
    }

    fn deserialize(row: ColumnIterator<'f, 'm>) -> Result<Self, DeserializationError> {
        let cells = row.map(|column| Ok(column?.slice.map(|slice| slice.as_slice())));
        cells.collect::<Result<_, _>>().map(Fetched)
    }
}
