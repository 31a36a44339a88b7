//! A table that is open, and its statements. Every statement is prepared, and names its stamp.

use std::sync::{Arc, Mutex, PoisonError};

use ahash::AHashMap;
use scylla::statement::prepared::PreparedStatement;
use tidefold_store::observer::Operation;
use tidefold_store::{StoreError, Table};
use tidefold_table::{TableId, TableLayout};

use crate::connect::{Server, quoted};
use crate::segments::Segment;
use crate::shape::Shape;

/// A table that is open.
pub(crate) struct OpenTable {
    pub(crate) id: TableId,
    pub(crate) layout: Arc<TableLayout>,
    pub(crate) shape: Shape,
    /// As CQL names it.
    name: String,
    /// Markers: key, shown columns, offset, value, stamp.
    pub(crate) put: PreparedStatement,
    /// Markers: stamp, key.
    pub(crate) delete: PreparedStatement,
    /// Markers: key.
    pub(crate) load: PreparedStatement,
    /// Those of scans by their text: one a form of bounds that was asked for.
    scans: Mutex<AHashMap<String, PreparedStatement>>,
}

/// What every reading statement returns last: the value, the offset it was written at, and when the server says it was.
const READ: &str = r#""_value", "_offset", WRITETIME("_value")"#;

// === impl OpenTable ===

impl OpenTable {
    pub(crate) async fn prepare(
        server: &Server,
        table: &Table,
        shape: Shape,
    ) -> Result<OpenTable, StoreError> {
        let (id, layout) = (table.id.clone(), Arc::clone(&table.layout));
        let (name, _, _) = server.name(&id)?;
        let what = format!("the statements of table {id}");
        let key: Vec<String> = shape.parts.iter().map(|part| quoted(&part.name)).collect();
        let all: Vec<String> = key
            .iter()
            .cloned()
            .chain(shape.shown.columns().iter().map(|shown| quoted(&shown.name)))
            .collect();
        let marks = vec!["?"; all.len() + 2].join(", ");
        let is_key = key.iter().map(|name| format!("{name} = ?")).collect::<Vec<_>>().join(" AND ");
        let put = format!(
            r#"INSERT INTO {name} ({}, "_offset", "_value") VALUES ({marks}) USING TIMESTAMP ?"#,
            all.join(", ")
        );
        let delete = format!("DELETE FROM {name} USING TIMESTAMP ? WHERE {is_key}");
        let load = format!("SELECT {READ} FROM {name} WHERE {is_key}");
        Ok(OpenTable {
            put: server.prepare(&what, &put, Operation::Write).await?,
            delete: server.prepare(&what, &delete, Operation::Write).await?,
            load: server.prepare(&what, &load, Operation::Load).await?,
            id,
            layout,
            shape,
            name,
            scans: Mutex::default(),
        })
    }

    /// Rows of one partition. Markers: partition key, the segment's equal columns, low, high.
    pub(crate) fn segment_cql(&self, segment: &Segment) -> String {
        let equal =
            self.shape.partition().iter().chain(self.shape.clustering().iter().take(segment.equal.len()));
        let mut conditions: Vec<String> = equal.map(|part| format!("{} = ?", quoted(&part.name))).collect();
        if let Some(part) = self.shape.clustering().get(segment.equal.len()) {
            let mut bound = |bound: &Option<(Vec<u8>, bool)>, is_low: bool| {
                let Some((_, or_equal)) = bound else { return };
                let sign = if is_low != part.descending() { ">" } else { "<" };
                let or_equal = if *or_equal { "=" } else { "" };
                conditions.push(format!("{} {sign}{or_equal} ?", quoted(&part.name)));
            };
            bound(&segment.low, true);
            bound(&segment.high, false);
        }
        format!("SELECT {} FROM {} WHERE {}", self.row(), self.name, conditions.join(" AND "))
    }

    /// Rows of whole partitions, in the order of tokens. Markers: the partition key after which to begin.
    pub(crate) fn all_cql(&self, after: bool) -> String {
        let key: Vec<String> = self.shape.partition().iter().map(|part| quoted(&part.name)).collect();
        let key_text = key.join(", ");
        let marks = vec!["?"; key.len()].join(", ");
        let condition =
            if after { format!(" WHERE token({key_text}) > token({marks})") } else { String::new() };
        // Who reads all of a table looks whether it is right, so what only tools read is looked at too.
        let shown = self.shape.shown.columns().iter();
        let shown = shown.map(|column| format!(", WRITETIME({})", quoted(&column.name)));
        format!("SELECT {}{} FROM {}{condition}", self.row(), shown.collect::<String>(), self.name)
    }

    /// A statement of a scan.
    pub(crate) async fn scan(&self, server: &Server, cql: String) -> Result<PreparedStatement, StoreError> {
        if let Some(known) = self.scans.lock().unwrap_or_else(PoisonError::into_inner).get(&cql) {
            return Ok(known.clone());
        }
        let prepared = server.prepare(&format!("a scan of table {}", self.id), &cql, Operation::Scan).await?;
        self.scans.lock().unwrap_or_else(PoisonError::into_inner).insert(cql, prepared.clone());
        Ok(prepared)
    }

    fn row(&self) -> String {
        let key: Vec<String> = self.shape.parts.iter().map(|part| quoted(&part.name)).collect();
        format!("{}, {READ}", key.join(", "))
    }
}

/// The clustering columns with their directions.
pub(crate) fn order_by(shape: &Shape) -> Option<String> {
    let columns: Vec<String> = shape
        .clustering()
        .iter()
        .map(|part| {
            let direction = if part.descending() { "DESC" } else { "ASC" };
            format!("{} {direction}", quoted(&part.name))
        })
        .collect();
    (!columns.is_empty()).then(|| columns.join(", "))
}
