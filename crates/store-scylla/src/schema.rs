//! Keyspaces and tables: making them, and making sure that they are as we made them.

use std::collections::{BTreeMap, HashMap};

use scylla::deserialize::row::DeserializeRow;
use scylla::response::query_result::QueryRowsResult;
use tidefold_store::{StoreError, Table};
use tidefold_table::shown::ShownColumn;
use tidefold_table::{TableId, TableKind};

use crate::connect::{Server, quoted};
use crate::error::{answer, refused};
use crate::shape::Shape;
use crate::statements::{OpenTable, order_by};
use crate::typed::shown_type;

const COMPACTION: &str = "LeveledCompactionStrategy";
/// How long deletes are remembered: see the crate's page.
const GC_GRACE_SECONDS: i32 = 864_000;
const PROBE: &str = "_probe";
/// How often columns are added again where somebody else adds them at the same time.
const ADD_ATTEMPTS: usize = 8;

/// A column as the server describes it: its type, its part in the key, its place there, its direction.
#[derive(Debug, PartialEq, Eq)]
struct Described {
    ty: String,
    kind: String,
    position: i32,
    order: String,
}

// === impl Server ===

impl Server {
    /// Makes the keyspace where it is missing, and makes sure that we can write there with stamps of ours.
    pub(crate) async fn open_keyspace(&self, keyspace: &str) -> Result<(), StoreError> {
        let what = format!("to make keyspace {keyspace}");
        let known = "SELECT keyspace_name FROM system_schema.keyspaces WHERE keyspace_name = ?";
        if self.ask(&what, known, (keyspace,)).await?.rows_num() == 0 {
            self.run(&what, &self.create_keyspace(keyspace), ()).await?;
        }
        let (what, make) = create_probe(keyspace);
        if self.columns(keyspace, PROBE).await?.is_empty() {
            self.run(&what, &make, ()).await?;
        }
        if self.probe(keyspace, 1).await.is_ok() {
            return Ok(());
        }
        self.settle(&what, &make).await?;
        self.probe(keyspace, 2).await
    }

    fn create_keyspace(&self, keyspace: &str) -> String {
        let nodes = self.session.get_cluster_state().get_nodes_info().len();
        let factor = self.settings.replication_factor.unwrap_or(if nodes == 1 { 1 } else { 3 });
        format!(
            "CREATE KEYSPACE IF NOT EXISTS {} WITH replication = \
             {{'class': 'NetworkTopologyStrategy', 'replication_factor': {factor}}} AND durable_writes = true",
            quoted(keyspace)
        )
    }

    /// Writes, reads and deletes a row with stamps as small as ours: a server can be told to forbid that.
    /// A later `attempt` has larger stamps: the delete of an earlier one would hide its row.
    async fn probe(&self, keyspace: &str, attempt: i64) -> Result<(), StoreError> {
        let (put_at, delete_at) = (2 * attempt, 2 * attempt + 1);
        let name = format!("{}.{}", quoted(keyspace), quoted(PROBE));
        let what = format!("a write with a timestamp of ours in keyspace {keyspace}");
        let id = (self.session.session_id(),);
        let put = format!("INSERT INTO {name} (id, value) VALUES (?, 0x00) USING TIMESTAMP {put_at}");
        let read = format!("SELECT WRITETIME(value) FROM {name} WHERE id = ?");
        let delete = format!("DELETE FROM {name} USING TIMESTAMP {delete_at} WHERE id = ?");
        let advise = |error| match error {
            StoreError::Refused { what, detail } => StoreError::Refused {
                what,
                detail: format!(
                    "{detail}; the store needs USING TIMESTAMP with small numbers and LOCAL_QUORUM: see \
                     user_timestamps_enabled, minimum_timestamp_fail_threshold, read_consistency_levels_disallowed and \
                     write_consistency_levels_disallowed in cassandra.yaml"
                ),
            },
            other => other,
        };
        self.run(&what, &put, id).await.map_err(advise)?;
        let written = self.ask(&what, &read, id).await.map_err(advise)?;
        let written = written.maybe_first_row::<(i64,)>().map_err(|error| answer(&what, &error))?;
        self.run(&what, &delete, id).await.map_err(advise)?;
        let left = self.ask(&what, &read, id).await.map_err(advise)?.rows_num();
        match written {
            Some((at,)) if at == put_at && left == 0 => Ok(()),
            other => Err(refused(
                what,
                format!(
                    "a row written at timestamp {put_at} came back with {other:?}, and {left} rows were left after its \
                     delete at {delete_at}: does something between us and the server set timestamps of its own?"
                ),
            )),
        }
    }

    pub(crate) async fn open_table(&self, table: &Table) -> Result<OpenTable, StoreError> {
        let shape = Shape::of(&table.layout);
        let (name, keyspace, plain) = self.name(&table.id)?;
        let (what, make) = (format!("to make table {}", table.id), self.create_table(&name, &shape));
        if self.columns(&keyspace, &plain).await?.is_empty() {
            self.run(&what, &make, ()).await?;
        }
        self.add_columns(table, &shape).await?;
        self.check_table(table, &shape, &keyspace, &plain).await?;
        if let Ok(open) = OpenTable::prepare(self, table, shape).await {
            return Ok(open);
        }
        self.settle(&what, &make).await?;
        OpenTable::prepare(self, table, Shape::of(&table.layout)).await
    }

    /// Runs a `CREATE TABLE IF NOT EXISTS` though the table is described: a table can be described before it is there,
    /// where a node was killed, or is about to be done, with its `CREATE` under way. What the server says to a request for
    /// such a table is not always that it is missing (an internal error of its own, too), so any error leads here. The
    /// server runs changes of its schema one after the other: what was under way before is done when this is answered.
    async fn settle(&self, what: &str, make: &str) -> Result<(), StoreError> {
        self.run(what, make, ()).await?;
        self.agree().await
    }

    async fn agree(&self) -> Result<(), StoreError> {
        let agreed = Box::pin(self.session.await_schema_agreement()).await;
        agreed.map(drop).map_err(|error| StoreError::Unavailable {
            detail: format!("the nodes of the cluster do not agree on its schema: {error}"),
        })
    }

    /// Adds the columns that a rollup shows to one that an earlier version made. Rows have them from their next write on.
    async fn add_columns(&self, table: &Table, shape: &Shape) -> Result<(), StoreError> {
        if shape.kind != TableKind::Rollup {
            return Ok(());
        }
        let (name, keyspace, plain) = self.name(&table.id)?;
        let what = format!("to add the columns that tools read to table {}", table.id);
        let mut refusal = None;
        // Of two that add them at once one is refused, and finds what the other has added so far.
        for _ in 0..ADD_ATTEMPTS {
            let found = self.columns(&keyspace, &plain).await?;
            let shown = shape.shown.columns().iter();
            let missing: Vec<String> =
                shown.filter(|column| !found.contains_key(&column.name)).map(definition).collect();
            if missing.is_empty() || !found.contains_key("_value") {
                return Ok(());
            }
            let add = format!("ALTER TABLE {name} ADD ({})", missing.join(", "));
            match self.run(&what, &add, ()).await {
                Ok(_) => self.agree().await?,
                Err(StoreError::Refused { what, detail }) => {
                    let detail = format!("{detail}; the login needs ALTER on the keyspace");
                    refusal = Some(StoreError::Refused { what, detail });
                }
                // A server that is gone does not agree either.
                Err(other) => {
                    self.agree().await?;
                    refusal = Some(other);
                }
            }
        }
        refusal.map_or(Ok(()), Err)
    }

    /// Is the table as we make it?
    async fn check_table(
        &self,
        table: &Table,
        shape: &Shape,
        keyspace: &str,
        plain: &str,
    ) -> Result<(), StoreError> {
        let found = self.columns(keyspace, plain).await?;
        let mut wrong = differing_columns(shape, &found);
        wrong.extend(self.differing_options(keyspace, plain).await?);
        if wrong.is_empty() {
            return Ok(());
        }
        Err(refused(
            format!("table {}", table.id),
            format!(
                "it was altered, or another definition made it: {}; set it back with ALTER TABLE, or drop it and \
                 rebuild with `tidefold replay`",
                wrong.join("; ")
            ),
        ))
    }

    pub(crate) async fn drop_table(&self, table: &TableId) -> Result<(), StoreError> {
        let (name, ..) = self.name(table)?;
        let what = format!("to drop table {table}");
        self.run(&what, &format!("DROP TABLE IF EXISTS {name}"), ()).await.map(drop)
    }

    fn create_table(&self, name: &str, shape: &Shape) -> String {
        let key = shape.parts.iter().map(|part| format!("{} {}", quoted(&part.name), part.cql_type()));
        let shown = shape.shown.columns().iter().map(definition);
        let own = [r#""_offset" bigint"#, r#""_value" blob"#].map(str::to_owned);
        let columns = key.chain(shown).chain(own).collect::<Vec<_>>().join(", ");
        let names = |parts: &[crate::shape::KeyPart]| {
            parts.iter().map(|part| quoted(&part.name)).collect::<Vec<_>>().join(", ")
        };
        let mut primary = format!("({})", names(shape.partition()));
        let mut options = String::new();
        if let Some(order) = order_by(shape) {
            primary = format!("{primary}, {}", names(shape.clustering()));
            options = format!("CLUSTERING ORDER BY ({order}) AND ");
        }
        // Scylla repairs what a quorum read found before it answers, and does not know the option.
        let repair = if self.is_scylla { "" } else { " AND read_repair = 'BLOCKING'" };
        format!(
            "CREATE TABLE IF NOT EXISTS {name} ({columns}, PRIMARY KEY ({primary})) WITH {options}\
             compaction = {{'class': '{COMPACTION}'}} AND gc_grace_seconds = {GC_GRACE_SECONDS} \
             AND default_time_to_live = 0{repair}"
        )
    }

    async fn columns(&self, keyspace: &str, table: &str) -> Result<BTreeMap<String, Described>, StoreError> {
        let what = format!("the columns of table {keyspace}.{table}");
        let cql = "SELECT column_name, type, kind, position, clustering_order FROM system_schema.columns \
                   WHERE keyspace_name = ? AND table_name = ?";
        let rows = self.ask(&what, cql, (keyspace, table)).await?;
        let columns = all::<(String, String, String, i32, String)>(&what, &rows)?;
        Ok(columns
            .into_iter()
            .map(|(name, ty, kind, position, order)| (name, Described { ty, kind, position, order }))
            .collect())
    }

    /// What of the table's options loses rows, or their stamps.
    async fn differing_options(&self, keyspace: &str, table: &str) -> Result<Vec<String>, StoreError> {
        let what = format!("the options of table {keyspace}.{table}");
        let cql = "SELECT compaction, default_time_to_live, gc_grace_seconds FROM system_schema.tables \
                   WHERE keyspace_name = ? AND table_name = ?";
        let rows = self.ask(&what, cql, (keyspace, table)).await?;
        let mut wrong = Vec::new();
        for (compaction, ttl, grace) in all::<(HashMap<String, String>, i32, i32)>(&what, &rows)? {
            let class = compaction.get("class").map(String::as_str).unwrap_or_default();
            if class.rsplit('.').next() != Some(COMPACTION) {
                wrong.push(format!("compaction is {class}, not {COMPACTION}"));
            }
            if ttl != 0 {
                wrong.push(format!("default_time_to_live is {ttl}, not 0: rows would vanish"));
            }
            if grace < GC_GRACE_SECONDS {
                wrong.push(format!("gc_grace_seconds is {grace}, less than {GC_GRACE_SECONDS}"));
            }
        }
        if self.is_scylla {
            let log = format!("{table}_scylla_cdc_log");
            if self.ask(&what, cql, (keyspace, log)).await?.rows_num() > 0 {
                wrong.push("cdc is on".to_owned());
            }
            return Ok(wrong);
        }
        let cql =
            "SELECT cdc, read_repair FROM system_schema.tables WHERE keyspace_name = ? AND table_name = ?";
        let rows = self.ask(&what, cql, (keyspace, table)).await?;
        for (cdc, repair) in all::<(Option<bool>, Option<String>)>(&what, &rows)? {
            if cdc == Some(true) {
                wrong.push("cdc is on".to_owned());
            }
            if repair.as_deref() != Some("BLOCKING") {
                wrong.push(format!("read_repair is {}, not BLOCKING", repair.unwrap_or_default()));
            }
        }
        Ok(wrong)
    }
}

/// A column that tools are shown, as CQL declares it.
fn definition(column: &ShownColumn) -> String {
    format!("{} {}", quoted(&column.name), shown_type(&column.holds))
}

fn create_probe(keyspace: &str) -> (String, String) {
    let name = format!("{}.{}", quoted(keyspace), quoted(PROBE));
    let cql = format!(
        "CREATE TABLE IF NOT EXISTS {name} (id uuid PRIMARY KEY, value blob) \
         WITH compaction = {{'class': '{COMPACTION}'}}"
    );
    (format!("to make table {name}"), cql)
}

fn all<R: for<'f> DeserializeRow<'f, 'f>>(what: &str, rows: &QueryRowsResult) -> Result<Vec<R>, StoreError> {
    let rows = rows.rows::<R>().map_err(|error| answer(what, &error))?;
    rows.collect::<Result<_, _>>().map_err(|error| answer(what, &error))
}

fn differing_columns(shape: &Shape, found: &BTreeMap<String, Described>) -> Vec<String> {
    let mut wanted = BTreeMap::new();
    let mut describe = |name: &str, ty: &str, kind: &str, position: usize, order: &str| {
        let position = i32::try_from(position).unwrap_or(i32::MAX);
        let described = Described { ty: ty.into(), kind: kind.into(), position, order: order.into() };
        wanted.insert(name.to_owned(), described);
    };
    for (at, part) in shape.partition().iter().enumerate() {
        describe(&part.name, part.cql_type(), "partition_key", at, "none");
    }
    for (at, part) in shape.clustering().iter().enumerate() {
        let order = if part.descending() { "desc" } else { "asc" };
        describe(&part.name, part.cql_type(), "clustering", at, order);
    }
    let shown = shape.shown.columns().iter().map(|column| (column.name.as_str(), shown_type(&column.holds)));
    let regular: Vec<(&str, &str)> = shown.chain([("_offset", "bigint"), ("_value", "blob")]).collect();
    for (name, ty) in regular {
        let described =
            Described { ty: ty.into(), kind: "regular".into(), position: -1, order: "none".into() };
        wanted.insert(name.to_owned(), described);
    }
    let text = |column: Option<&Described>| match column {
        None => "absent".to_owned(),
        Some(column) => {
            format!("{} ({}, place {}, order {})", column.ty, column.kind, column.position, column.order)
        }
    };
    let names: std::collections::BTreeSet<&String> = wanted.keys().chain(found.keys()).collect();
    names
        .into_iter()
        .filter(|name| wanted.get(*name) != found.get(*name))
        .map(|name| format!("column {name} is {}, not {}", text(found.get(name)), text(wanted.get(name))))
        .collect()
}
