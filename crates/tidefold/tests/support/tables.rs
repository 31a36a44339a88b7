//! What others may do to tables, with any CQL client, and what stands in them.

use std::collections::BTreeMap;

use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use scylla::value::{CqlTimestamp, CqlVarint};

use super::backends::Backends;

/// The tables of one fleet.
pub struct Tables {
    session: Session,
    keyspace: String,
}

/// Every row of every table, as JSON.
pub type Rows = BTreeMap<String, Vec<String>>;

impl Tables {
    pub async fn of(backends: &Backends, app: &str) -> Tables {
        let servers = std::env::var("TIDEFOLD_TEST_CQL").unwrap();
        let session = SessionBuilder::new().known_nodes(servers.split(',')).build().await.unwrap();
        Tables { session, keyspace: format!("{}{app}", backends.prefix()) }
    }

    /// Whether somebody has made their keyspace.
    pub async fn are_there(&self) -> bool {
        let asked = format!(
            "SELECT keyspace_name FROM system_schema.keyspaces WHERE keyspace_name = '{}'",
            self.keyspace
        );
        !self.texts(&asked).await.is_empty()
    }

    /// Runs a statement in which `KS` is the keyspace, with the time of this client's clock.
    pub async fn run(&self, statement: &str) {
        let statement = statement.replace("KS", &format!("\"{}\"", self.keyspace));
        self.session.query_unpaged(statement.as_str(), ()).await.expect(&statement);
    }

    /// The first column of what a statement finds, as text.
    pub async fn texts(&self, statement: &str) -> Vec<String> {
        let statement = statement.replace("KS", &format!("\"{}\"", self.keyspace));
        let found = self.session.query_unpaged(statement.as_str(), ()).await.expect(&statement);
        let found = found.into_rows_result().unwrap();
        let texts = found.rows::<(String,)>().unwrap().map(|row| row.unwrap().0);
        texts.collect()
    }

    /// What a statement finds: a time in milliseconds, a count, a whole number of any size as text, and a count.
    pub async fn minutes(&self, statement: &str) -> Vec<(i64, i64, String, i64)> {
        let statement = statement.replace("KS", &format!("\"{}\"", self.keyspace));
        let found = self.session.query_unpaged(statement.as_str(), ()).await.expect(&statement);
        let found = found.into_rows_result().unwrap();
        let rows = found.rows::<(CqlTimestamp, i64, CqlVarint, i64)>().unwrap().map(Result::unwrap);
        rows.map(|(minute, count, sum, rows)| (minute.0, count, whole(&sum).to_string(), rows)).collect()
    }

    /// The last two columns of what a statement finds: two times at which something was written.
    pub async fn times(&self, statement: &str) -> Vec<[Option<i64>; 2]> {
        let statement = statement.replace("KS", &format!("\"{}\"", self.keyspace));
        let found = self.session.query_unpaged(statement.as_str(), ()).await.expect(&statement);
        let found = found.into_rows_result().unwrap();
        let rows = found.rows::<(String, CqlTimestamp, CqlTimestamp, i32, Option<i64>, Option<i64>)>();
        rows.unwrap().map(Result::unwrap).map(|(.., counted, written)| [counted, written]).collect()
    }

    /// All rows of all generations, those of checkpoints and verdicts too.
    pub async fn rows(&self) -> Rows {
        let names =
            format!("SELECT table_name FROM system_schema.tables WHERE keyspace_name = '{}'", self.keyspace);
        let mut rows = Rows::new();
        for name in self.texts(&names).await.into_iter().filter(|name| name.contains("_g")) {
            let mut found = self.texts(&format!("SELECT JSON * FROM KS.\"{name}\"")).await;
            found.sort_unstable();
            rows.insert(name, found);
        }
        assert!(rows.values().any(|rows| !rows.is_empty()), "{} is empty", self.keyspace);
        rows
    }

    /// How many copies the keyspace's rows have.
    pub async fn replication(&self) -> String {
        let asked = format!(
            "SELECT JSON replication FROM system_schema.keyspaces WHERE keyspace_name = '{}'",
            self.keyspace
        );
        self.texts(&asked).await.remove(0)
    }
}

/// A number of at most sixteen bytes.
fn whole(number: &CqlVarint) -> i128 {
    let bytes = number.as_signed_bytes_be_slice();
    let sign = if bytes.first().is_some_and(|first| first & 0x80 != 0) { -1 } else { 0 };
    bytes.iter().fold(sign, |whole: i128, byte| whole << 8 | i128::from(*byte))
}
