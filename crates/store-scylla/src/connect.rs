//! The session: connecting, what the cluster is, and one place through which every request goes.

use std::collections::BTreeSet;
use std::sync::Arc;

use scylla::client::execution_profile::ExecutionProfile;
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use scylla::policies::load_balancing::DefaultPolicy;
use scylla::policies::timestamp_generator::TimestampGenerator;
use scylla::response::query_result::{QueryResult, QueryRowsResult};
use scylla::serialize::row::SerializeRow;
use scylla::statement::prepared::PreparedStatement;
use scylla::statement::{Consistency, Statement};
use tidefold_store::StoreError;
use tidefold_store::observer::Operation;
use tidefold_table::TableId;
use tokio::sync::Semaphore;

use crate::error::{answer, connecting, executing, preparing, refused};
use crate::retry::Told;
use crate::settings::Settings;
use crate::tls::Fault;

/// Changing a schema waits for all nodes to agree.
const SCHEMA_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(60);

/// The longest name of a keyspace or table, in Cassandra; ScyllaDB takes longer tables.
const NAME_MAX: usize = 48;

/// A connected cluster.
pub(crate) struct Server {
    pub(crate) session: Session,
    pub(crate) settings: Settings,
    pub(crate) permits: Semaphore,
    /// ScyllaDB; else Cassandra.
    pub(crate) is_scylla: bool,
}

/// The smallest timestamp the server takes: a statement that forgot its own loses against every row.
struct Least;

// === impl Least ===

impl TimestampGenerator for Least {
    fn next_timestamp(&self) -> i64 {
        i64::MIN + 1
    }
}

// === impl Server ===

impl Server {
    pub(crate) async fn connect(settings: Settings) -> Result<Server, StoreError> {
        if settings.contact_points.is_empty() {
            return Err(refused(
                "to connect",
                "no contact point is set; name at least one node as host:port",
            ));
        }
        let session = Box::pin(session(&settings)).await?;
        check_datacenter(&session, &settings)?;
        let permits = Semaphore::new(settings.in_flight.clamp(1, Semaphore::MAX_PERMITS));
        let mut server = Server { session, settings, permits, is_scylla: false };
        let versions = "SELECT table_name FROM system_schema.tables \
                        WHERE keyspace_name = 'system' AND table_name = 'versions'";
        server.is_scylla = server.ask("to find out what the server is", versions, ()).await?.rows_num() > 0;
        Ok(server)
    }

    /// The keyspace of a table.
    pub(crate) fn keyspace(&self, table: &TableId) -> Result<String, StoreError> {
        let (app, _) = split(table)?;
        keyspace_of(&self.settings.keyspace_prefix, app)
    }

    /// A table as CQL names it, and its parts.
    pub(crate) fn name(&self, table: &TableId) -> Result<(String, String, String), StoreError> {
        let (_, name) = split(table)?;
        let keyspace = self.keyspace(table)?;
        check_name(&format!("table {table}"), name, "choose a shorter name for the table or its topic")?;
        Ok((format!("{}.{}", quoted(&keyspace), quoted(name)), keyspace, name.to_owned()))
    }

    /// A statement that `operation` runs.
    pub(crate) async fn prepare(
        &self,
        what: &str,
        cql: &str,
        operation: Operation,
    ) -> Result<PreparedStatement, StoreError> {
        let prepared = Box::pin(self.session.prepare(cql)).await;
        let mut prepared = prepared.map_err(|error| preparing(what, &error))?;
        prepared.set_is_idempotent(true);
        // Every statement names its columns, and nobody may change their types: what they are needs not come with each answer.
        prepared.set_use_cached_result_metadata(true);
        prepared.set_retry_policy(Some(Told::policy(&self.settings.observer, operation)));
        Ok(prepared)
    }

    /// A statement of once.
    pub(crate) async fn run(
        &self,
        what: &str,
        cql: &str,
        values: impl SerializeRow,
    ) -> Result<QueryResult, StoreError> {
        let mut statement = Statement::new(cql);
        statement.set_request_timeout(Some(SCHEMA_TIMEOUT));
        let result = Box::pin(self.session.query_unpaged(statement, values)).await;
        result.map_err(|error| executing(what, &error))
    }

    /// A statement of once that returns rows.
    pub(crate) async fn ask(
        &self,
        what: &str,
        cql: &str,
        values: impl SerializeRow,
    ) -> Result<QueryRowsResult, StoreError> {
        self.run(what, cql, values).await?.into_rows_result().map_err(|error| answer(what, &error))
    }
}

async fn session(settings: &Settings) -> Result<Session, StoreError> {
    let mut policy = DefaultPolicy::builder().token_aware(true);
    if let Some(datacenter) = &settings.local_datacenter {
        policy = policy.prefer_datacenter(datacenter.clone());
    }
    let profile = ExecutionProfile::builder()
        .consistency(Consistency::LocalQuorum)
        .request_timeout(Some(settings.request_timeout))
        .load_balancing_policy(policy.build())
        .build();
    let fault = Fault::default();
    let mut builder = SessionBuilder::new()
        .known_nodes(&settings.contact_points)
        .connection_timeout(settings.connect_timeout)
        .timestamp_generator(Arc::new(Least))
        .default_execution_profile_handle(profile.into_handle());
    if let Some(tls) = &settings.tls {
        builder = builder.tls_context(Some(crate::tls::context(tls, &fault)?));
    }
    if let Some(user) = &settings.user {
        builder = builder.user(user, settings.password.as_deref().unwrap_or_default());
    }
    match tokio::time::timeout(settings.connect_timeout, Box::pin(builder.build())).await {
        Ok(session) => session.map_err(|error| connecting(&error, settings, fault.get().copied())),
        Err(_) => Err(StoreError::Unavailable {
            detail: format!(
                "none of {} answers as a CQL server within {:?}: is one of them up and to be reached from here?",
                settings.contact_points.join(", "),
                settings.connect_timeout
            ),
        }),
    }
}

/// A quorum is one of a data center: quorums of two of them need not meet.
fn check_datacenter(session: &Session, settings: &Settings) -> Result<(), StoreError> {
    let state = session.get_cluster_state();
    let known: BTreeSet<&str> =
        state.get_nodes_info().iter().filter_map(|node| node.datacenter.as_deref()).collect();
    let names = known.iter().copied().collect::<Vec<_>>().join(", ");
    match &settings.local_datacenter {
        Some(local) if !known.contains(local.as_str()) => {
            Err(refused("to connect", format!("no node is in data center `{local}`; there are {names}")))
        }
        None if known.len() > 1 => Err(refused(
            "to connect",
            format!("the cluster has the data centers {names}; say which one is the local one"),
        )),
        _ => Ok(()),
    }
}

fn split(table: &TableId) -> Result<(&str, &str), StoreError> {
    table
        .as_str()
        .split_once('.')
        .ok_or_else(|| refused(format!("table {table}"), "its name has no dot between the app and the table"))
}

/// The keyspace of an app.
fn keyspace_of(prefix: &str, app: &str) -> Result<String, StoreError> {
    let keyspace = format!("{prefix}{app}");
    let change = format!("change store.keyspace_prefix = \"{prefix}\", or the name of the app");
    check_name(&format!("keyspace {keyspace}"), &keyspace, &change)?;
    Ok(keyspace)
}

/// Servers take no other names, quoted or not.
fn check_name(what: &str, name: &str, change: &str) -> Result<(), StoreError> {
    if let Some(other) = name.chars().find(|c| !c.is_ascii_alphanumeric() && *c != '_') {
        return Err(refused(
            what,
            format!("its name has `{other}` in it, and CQL takes letters, digits and `_`; {change}"),
        ));
    }
    if name.len() > NAME_MAX {
        let detail = format!("its name has {} characters, and CQL takes {NAME_MAX}; {change}", name.len());
        return Err(refused(what, detail));
    }
    Ok(())
}

/// A name as CQL quotes it.
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_keyspace_that_no_server_takes_is_refused_with_what_to_change() {
        let longest = "p".repeat(NAME_MAX - 4);
        assert_eq!(keyspace_of(&longest, "shop"), Ok(format!("{longest}shop")));
        for (prefix, told) in [(format!("{longest}p"), "49 characters"), ("te-st_".to_owned(), "`-`")] {
            let Err(StoreError::Refused { what, detail }) = keyspace_of(&prefix, "shop") else {
                panic!("{prefix}")
            };
            assert!(what.contains(&prefix), "{what}");
            assert!(detail.contains(told) && detail.contains("store.keyspace_prefix"), "{detail}");
        }
    }

    #[test]
    fn the_longest_names_of_an_app_are_names_of_tables() {
        let app = "a".repeat(40);
        let tables = [format!("_{}_checkpoints", "t".repeat(27)), "v".repeat(40)];
        for table in tables {
            let id = TableId::new(&app, &table, 999_999);
            let (_, name) = split(&id).unwrap();
            assert_eq!(check_name("", name, ""), Ok(()), "{name}");
            assert_eq!(name.len(), NAME_MAX);
        }
    }
}
