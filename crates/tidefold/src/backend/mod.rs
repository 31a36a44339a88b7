//! Which log and which store: the only place that knows what backends there are.
//!
//! A backend is named by a URL: `embedded`, `kafka://host:port,host:port`, `scylla://host:port,host:port`.

mod embedded;
#[cfg(feature = "kafka")]
mod kafka;
#[cfg(feature = "scylla")]
mod scylla;

use tidefold_app::App;
use tidefold_http::{Gate, Readiness};
use tidefold_log::SharedLog;
use tidefold_store::SharedStore;
use tidefold_telemetry::Telemetry;

use crate::failure::{Code, Failure};
use crate::settings::Settings;

/// The log and the store of an app.
pub(crate) struct Backends {
    /// None where a process reads the store alone.
    pub(crate) log: Option<SharedLog>,
    pub(crate) store: SharedStore,
}

/// What a record has beside its message: key, headers, framing.
const ENVELOPE: usize = 40_000;

/// What a log is told beside its settings.
#[cfg_attr(not(feature = "kafka"), allow(dead_code, reason = "a log in a folder has no clients"))]
struct OfLog<'a> {
    /// The largest record, in its encoding.
    record_bytes: usize,
    /// How this process calls itself.
    client: &'a str,
    telemetry: &'a Telemetry,
}

/// What a URL names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Named {
    /// In the data folder of this process.
    Embedded,
    /// Servers, by their addresses.
    Servers(Vec<String>),
}

impl Backends {
    /// Opens both, and tells `readiness` what is waited for meanwhile, and later whether one has ended. Servers that do not
    /// answer are waited for.
    pub(crate) async fn open(
        app: &App,
        settings: &Settings,
        role: &str,
        readiness: &Readiness,
        telemetry: &Telemetry,
    ) -> Result<Backends, Failure> {
        let (log_gate, store_gate) = (readiness.gate("log"), readiness.gate("store"));
        let log = named("log.url", &settings.log_url, "kafka")?;
        let store = named("store.url", &settings.store_url, "scylla")?;
        let folder = settings.data_folder.join(&app.name);
        let largest = app.topics.iter().map(|topic| topic.max_message_bytes).max().unwrap_or(0);
        let client = format!("tidefold-{}-{role}", app.name);
        let of_log = OfLog { record_bytes: largest + ENVELOPE, client: &client, telemetry };
        let (log, identity) = match log {
            Named::Embedded => embedded::log(&folder, settings, &of_log, &log_gate)?,
            Named::Servers(addresses) => {
                (kafka_log(addresses, settings, &of_log, &log_gate).await?, settings.log_url.clone())
            }
        };
        let store = match store {
            // Rows say nothing of another log's records, even of the same app's.
            Named::Embedded => {
                embedded::store(&folder, format!("app {}, log {identity}", app.name), settings, &store_gate)?
            }
            Named::Servers(addresses) => scylla_store(addresses, settings, &store_gate).await?,
        };
        Ok(Backends { log: Some(log), store })
    }

    /// Opens a store on servers alone, without a log.
    pub(crate) async fn open_store(settings: &Settings, readiness: &Readiness) -> Result<Backends, Failure> {
        let gate = readiness.gate("store");
        match named("store.url", &settings.store_url, "scylla")? {
            Named::Servers(addresses) => {
                Ok(Backends { log: None, store: scylla_store(addresses, settings, &gate).await? })
            }
            Named::Embedded => Err(Failure::new(Code::Usage, "the embedded store belongs to one process")),
        }
    }
}

/// Whether the log and the store can be shared by several processes; if not, which setting keeps them from it.
pub(crate) fn not_shared(settings: &Settings) -> Vec<&'static str> {
    let both = [("log.url", &settings.log_url), ("store.url", &settings.store_url)];
    both.into_iter().filter(|(_, url)| url.as_str() == "embedded").map(|(key, _)| key).collect()
}

fn named(setting: &str, url: &str, scheme: &str) -> Result<Named, Failure> {
    if url == "embedded" {
        return Ok(Named::Embedded);
    }
    let addresses = url.strip_prefix(scheme).and_then(|rest| rest.strip_prefix("://")).map(|rest| {
        let all = rest.trim_end_matches('/').split(',').map(str::trim);
        all.map(str::to_owned).collect::<Vec<_>>()
    });
    match addresses {
        Some(all) if all.iter().all(|address| is_address(address)) => Ok(Named::Servers(all)),
        _ => {
            let text = format!(
                "{setting} = \"{url}\" is neither \"embedded\" nor \"{scheme}://host:port\" (several hosts with commas)"
            );
            Err(Failure::new(Code::Usage, text))
        }
    }
}

fn is_address(text: &str) -> bool {
    text.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
}

#[cfg(feature = "kafka")]
async fn kafka_log(
    addresses: Vec<String>,
    settings: &Settings,
    of_log: &OfLog<'_>,
    gate: &Gate,
) -> Result<SharedLog, Failure> {
    kafka::log(addresses, settings, of_log, gate).await
}

#[cfg(not(feature = "kafka"))]
async fn kafka_log(_: Vec<String>, _: &Settings, _: &OfLog<'_>, _: &Gate) -> Result<SharedLog, Failure> {
    Err(without("log.url", "Kafka", "kafka"))
}

#[cfg(feature = "scylla")]
async fn scylla_store(
    addresses: Vec<String>,
    settings: &Settings,
    gate: &Gate,
) -> Result<SharedStore, Failure> {
    scylla::store(addresses, settings, gate).await
}

#[cfg(not(feature = "scylla"))]
async fn scylla_store(_: Vec<String>, _: &Settings, _: &Gate) -> Result<SharedStore, Failure> {
    Err(without("store.url", "ScyllaDB", "scylla"))
}

#[cfg(not(all(feature = "kafka", feature = "scylla")))]
fn without(setting: &str, server: &str, feature: &str) -> Failure {
    let text = format!(
        "{setting} names {server}, and this binary was built without it: build it with `--features {feature}`"
    );
    Failure::new(Code::Usage, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_servers_or_the_data_folder() {
        let servers = |all: &[&str]| Named::Servers(all.iter().map(|&a| a.to_owned()).collect());
        assert_eq!(named("log.url", "embedded", "kafka").unwrap(), Named::Embedded);
        assert_eq!(named("log.url", "kafka://a:1", "kafka").unwrap(), servers(&["a:1"]));
        assert_eq!(named("log.url", "kafka://a:1, [::1]:2/", "kafka").unwrap(), servers(&["a:1", "[::1]:2"]));
    }

    #[test]
    fn any_other_url_is_refused_with_what_it_may_be() {
        for url in
            ["", "kafka", "kafka://", "kafka://a", "kafka://a:b", "kafka://a:1,", "scylla://a:1", "Embedded"]
        {
            let failure = named("log.url", url, "kafka").unwrap_err();
            assert!(failure.text.contains("kafka://host:port"), "{url}: {}", failure.text);
        }
    }
}
