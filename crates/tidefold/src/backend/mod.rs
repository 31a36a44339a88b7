//! Which log and which store: the only place that knows what backends there are.
//!
//! A backend is named by a URL: `embedded`, `kafka://host:port,host:port`, `scylla://host:port,host:port`. Each is a row of
//! [`LOGS`] or [`STORES`]; what every backend needs (a gate, an observer) is seen to here, once.

mod embedded;
mod kafka;
mod kind;
mod scylla;

use std::sync::Arc;

use tidefold_app::App;
use tidefold_http::Readiness;
use tidefold_log::SharedLog;
use tidefold_store::SharedStore;
use tidefold_telemetry::Telemetry;

use crate::failure::{Code, Failure};
use crate::settings::{Resolved, SettingError, Settings, shown};
use kind::{Kind, OfLog, OfStore, OpenLog, OpenStore, OpenedLog, Place};

/// The log and the store of an app.
pub(crate) struct Backends {
    /// None where a process reads the store alone.
    pub(crate) log: Option<SharedLog>,
    pub(crate) store: SharedStore,
}

/// The settings that name them.
const LOG: &str = "log.url";
const STORE: &str = "store.url";
/// Every log.
const LOGS: &[Kind<OpenLog>] = &[embedded::LOG, kafka::LOG];
/// Every store.
const STORES: &[Kind<OpenStore>] = &[embedded::STORE, scylla::STORE];

/// What a record has beside its message: key, headers, framing.
const ENVELOPE: usize = 40_000;

// === impl Backends ===

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
        store_gate.close("not begun: the log is opened before it");
        let (of_log, log_at) = named(LOG, &settings.log.url, LOGS).map_err(refused)?;
        let (of_store, store_at) = named(STORE, &settings.store.url, STORES).map_err(refused)?;
        let folder = settings.data.folder.join(&app.name);
        let place = |addresses, gate| Place { addresses, folder: folder.clone(), settings, gate, telemetry };
        let largest = app.projections.iter().map(|of| of.topic.max_message_bytes).max().unwrap_or(0);
        let observer = tidefold_log::observer::SharedObserver::new(telemetry.log(of_log.scheme));
        let told = OfLog {
            observer: observer.clone(),
            record_bytes: largest + ENVELOPE,
            client: format!("tidefold-{}-{role}", app.name),
        };
        let OpenedLog { log, identity } = (of_log.open)(place(log_at, log_gate), told).await?;
        let log = Arc::new(tidefold_log::observer::Observed::new(log, observer));
        store_gate.close("starting");
        // Rows say nothing of another log's records, even of the same app's.
        let owner = format!("app {}, log {identity}", app.name);
        let store = open_store(of_store, place(store_at, store_gate), owner).await?;
        Ok(Backends { log: Some(log), store })
    }

    /// Opens a store on servers alone, without a log.
    pub(crate) async fn open_store(
        settings: &Settings,
        readiness: &Readiness,
        telemetry: &Telemetry,
    ) -> Result<Backends, Failure> {
        let (kind, addresses) = named(STORE, &settings.store.url, STORES).map_err(refused)?;
        if !kind.on_servers {
            return Err(Failure::new(
                Code::Usage,
                format!("the store {} belongs to one process", kind.scheme),
            ));
        }
        let (gate, folder) = (readiness.gate("store"), settings.data.folder.clone());
        let place = Place { addresses, folder, settings, gate, telemetry };
        Ok(Backends { log: None, store: open_store(kind, place, String::new()).await? })
    }
}

async fn open_store(kind: &Kind<OpenStore>, place: Place<'_>, owner: String) -> Result<SharedStore, Failure> {
    let observer = tidefold_store::observer::SharedObserver::new(place.telemetry.store(kind.scheme));
    let store = (kind.open)(place, OfStore { observer: observer.clone(), owner }).await?;
    Ok(Arc::new(tidefold_store::observer::Observed::new(store, observer)))
}

/// Whether the log and the store can be shared by several processes; if not, which setting keeps them from it.
pub(crate) fn not_shared(settings: &Settings) -> Vec<&'static str> {
    let log = named(LOG, &settings.log.url, LOGS).is_ok_and(|(kind, _)| !kind.on_servers);
    let store = named(STORE, &settings.store.url, STORES).is_ok_and(|(kind, _)| !kind.on_servers);
    [(LOG, log), (STORE, store)].into_iter().filter(|(_, own)| *own).map(|(key, _)| key).collect()
}

/// What cannot be of what the settings name, with where it was said.
pub(crate) fn mistakes(resolved: &Resolved) -> Vec<SettingError> {
    let wrong = |key: &'static str, judge: fn(&str) -> Option<String>| {
        let (url, origin) = resolved.0.get(key)?;
        judge(url).map(|detail| SettingError::Backend { origin: origin.clone(), detail })
    };
    [wrong(LOG, wrong_log), wrong(STORE, wrong_store)].into_iter().flatten().collect()
}

/// Refuses settings that name a log or a store that there is not, before anything is opened.
pub(crate) fn check(settings: &Settings) -> Result<(), Failure> {
    let wrong: Vec<_> =
        [wrong_log(&settings.log.url), wrong_store(&settings.store.url)].into_iter().flatten().collect();
    if wrong.is_empty() { Ok(()) } else { Err(refused(wrong.join("\n"))) }
}

fn wrong_log(url: &str) -> Option<String> {
    named(LOG, url, LOGS).err()
}

fn wrong_store(url: &str) -> Option<String> {
    named(STORE, url, STORES).err()
}

fn refused(text: String) -> Failure {
    Failure::new(Code::Usage, text)
}

/// The kind that a URL names, and the addresses in it.
fn named<O>(
    setting: &str,
    url: &str,
    kinds: &'static [Kind<O>],
) -> Result<(&'static Kind<O>, Vec<String>), String> {
    let found = kinds.iter().find_map(|kind| {
        let rest = url.strip_prefix(kind.scheme)?;
        if !kind.on_servers {
            return rest.is_empty().then(|| (kind, Vec::new()));
        }
        let all = rest.strip_prefix("://")?.trim_end_matches('/').split(',').map(str::trim);
        let all: Vec<_> = all.map(str::to_owned).collect();
        all.iter().all(|address| is_address(address)).then_some((kind, all))
    });
    let said = || format!("{setting} = \"{}\"", shown(setting, url));
    let (kind, addresses) = found.ok_or_else(|| {
        let known: Vec<_> = kinds.iter().map(Kind::shape).collect();
        format!("{} is neither {} (several hosts with commas)", said(), known.join(" nor "))
    })?;
    match kind.lacks {
        Some(feature) => Err(format!("{}: {}", said(), kind::without(kind.scheme, feature))),
        None => Ok((kind, addresses)),
    }
}

fn is_address(text: &str) -> bool {
    text.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_servers_or_the_data_folder() {
        let read = |url: &str| named("log.url", url, LOGS).map(|(kind, all)| (kind.scheme, all)).unwrap();
        assert_eq!(read("embedded"), ("embedded", vec![]));
        if cfg!(feature = "kafka") {
            let several = ("kafka", vec!["a:1".to_owned(), "[::1]:2".to_owned()]);
            assert_eq!(read("kafka://a:1"), ("kafka", vec!["a:1".to_owned()]));
            assert_eq!(read("kafka://a:1, [::1]:2/"), several);
        } else {
            let refused = named("log.url", "kafka://a:1", LOGS).map(drop).unwrap_err();
            assert!(refused.contains("--features kafka"), "{refused}");
        }
    }

    #[test]
    fn any_other_url_is_refused_with_what_it_may_be() {
        for url in
            ["", "kafka", "kafka://", "kafka://a", "kafka://a:b", "kafka://a:1,", "scylla://a:1", "Embedded"]
        {
            let text = named("log.url", url, LOGS).map(drop).unwrap_err();
            assert!(text.contains("is neither \"embedded\" nor "), "{url}: {text}");
            LOGS.iter().for_each(|kind| assert!(text.contains(&kind.shape()), "{text}"));
        }
    }

    #[test]
    fn the_settings_say_which_backends_there_are() {
        let about = |key| crate::settings::SETTINGS.iter().find(|s| s.key == key).unwrap().about;
        let says = |key, scheme: &str| assert!(about(key).contains(scheme), "{key} does not say {scheme}");
        LOGS.iter().for_each(|kind| says("log.url", kind.scheme));
        STORES.iter().for_each(|kind| says("store.url", kind.scheme));
    }
}
