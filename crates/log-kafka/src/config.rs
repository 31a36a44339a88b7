//! A topic's settings, as far as promises of the log rest on them.

use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, ResourceSpecifier};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode as Code;

use crate::context::Logs;

/// A setting, and its value where the brokers tell it.
type Entry = (String, Option<String>);

/// What the settings come to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Judged {
    /// What keeps the topic from being a log, and what to do.
    pub(crate) wrong: Vec<String>,
    /// Settings that the brokers do not tell.
    pub(crate) untold: Vec<&'static str>,
    /// The largest batch of records it takes, in bytes.
    pub(crate) largest: Option<usize>,
}

/// Without these nobody knows whether the topic keeps its records.
const NEEDED: [&str; 3] = ["cleanup.policy", "retention.ms", "retention.bytes"];
const LARGEST: &str = "max.message.bytes";

/// Asks the brokers for a topic's settings.
pub(crate) async fn read(
    admin: &AdminClient<Logs>,
    topic: &str,
    timeout: Duration,
) -> Result<Vec<Entry>, Code> {
    let options = AdminOptions::new().request_timeout(Some(timeout)).operation_timeout(Some(timeout));
    let told = admin.describe_configs(&[ResourceSpecifier::Topic(topic)], &options).await;
    let told = told.map_err(|error: KafkaError| error.rdkafka_error_code().unwrap_or(Code::Fail))?;
    let config = told.into_iter().next().unwrap_or(Err(Code::Fail))?;
    Ok(config.entries.into_iter().map(|entry| (entry.name, entry.value)).collect())
}

/// Says whether a topic that is so set keeps every record. A setting that is not told is no good sign.
pub(crate) fn judge(entries: &[Entry]) -> Judged {
    let value =
        |name: &str| entries.iter().find(|(found, _)| found == name).and_then(|(_, value)| value.as_deref());
    let mut judged =
        Judged { largest: value(LARGEST).and_then(|text| text.parse().ok()), ..Judged::default() };
    for setting in NEEDED {
        match value(setting) {
            None | Some("") => judged.untold.push(setting),
            Some(value) if setting == "cleanup.policy" && value.contains("compact") => {
                judged.wrong.push(format!(
                    "cleanup.policy is {value}: compaction takes records away that tables are folded from; set \
                     cleanup.policy=delete"
                ));
            }
            Some(value) if setting != "cleanup.policy" && value != "-1" => judged.wrong.push(format!(
                "{setting} is {value}: tables cannot be rebuilt from records that are gone; set {setting}=-1"
            )),
            Some(_) => {}
        }
    }
    judged
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(entries: &[(&str, Option<&str>)]) -> Judged {
        let owned = |(name, value): &(&str, Option<&str>)| ((*name).to_owned(), value.map(str::to_owned));
        judge(&entries.iter().map(owned).collect::<Vec<_>>())
    }

    #[test]
    fn a_topic_is_taken_only_where_every_setting_is_told_and_keeps_all_records() {
        let (policy, time, size) = (
            ("cleanup.policy", Some("delete")),
            ("retention.ms", Some("-1")),
            ("retention.bytes", Some("-1")),
        );
        let largest = ("max.message.bytes", Some("1048588"));
        let good = judged(&[policy, time, size, largest]);
        assert_eq!(good, Judged { largest: Some(1_048_588), ..Judged::default() });
        for (entries, untold) in [
            (vec![], NEEDED.to_vec()),
            (vec![policy, time], vec!["retention.bytes"]),
            (vec![policy, ("retention.ms", None), size], vec!["retention.ms"]),
            (vec![("cleanup.policy", Some("")), time, size], vec!["cleanup.policy"]),
        ] {
            assert_eq!(judged(&entries), Judged { untold, ..Judged::default() }, "{entries:?}");
        }
        for wrong in [
            ("cleanup.policy", Some("compact")),
            ("cleanup.policy", Some("compact,delete")),
            ("retention.ms", Some("1000")),
            ("retention.ms", Some("9223372036854775807")),
            ("retention.bytes", Some("0")),
        ] {
            let others = [policy, time, size].into_iter().filter(|(name, _)| *name != wrong.0);
            let found = judged(&others.chain([wrong]).collect::<Vec<_>>());
            assert_eq!((found.wrong.len(), found.untold.len()), (1, 0), "{wrong:?}: {found:?}");
            assert!(found.wrong[0].contains(wrong.0), "{found:?}");
        }
    }
}
