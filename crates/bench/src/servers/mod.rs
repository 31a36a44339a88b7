//! The same on real servers: Kafka and a CQL store, beside what people write with the bare drivers.
//!
//! Every part makes an app of its own name, and takes its topics and keyspaces away at its end. It starts `tidefold`
//! processes and ends only those.
//!
//! * [`rig`]: an app under a name of its own, `tidefold` processes, what they answer.
//! * [`places`]: where the servers are, and what an app has there.
//! * [`orders`]: the messages of the app that is folded; [`mod@fill`]: its topic filled with them.
//! * [`bare_log`]: an axum server around a `FutureProducer`, and a `BaseProducer`; [`bare_store`]: a sink with a statement a
//!   row, and an axum server around the driver.
//! * [`ingest`], [`project`], [`query`], [`fleet`]: what is measured.

mod bare_log;
mod bare_store;
mod fill;
mod fleet;
mod ingest;
mod orders;
mod places;
mod project;
mod query;
mod rig;

use std::ffi::OsString;
use std::process::ExitCode;

use crate::figure::{Outcome, Unwritten, say};
pub(crate) use places::Addresses;

/// What this process is, if a benchmark started it.
pub(crate) fn child() -> Option<Outcome> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let word = |at: usize| words.get(at).cloned().unwrap_or_default();
    Some(match words.first()?.as_str() {
        "tidefold" => ended(tidefold::run(words.iter().map(OsString::from))),
        "serve-bare-kafka" => bare_log::serve(&word(1), &word(2)),
        "produce-bare" => bare_log::produce(&word(1), &word(2), word(3) == "headers"),
        "sink-bare" => bare_store::sink(&word(1), &word(2), &word(3), word(4).parse().unwrap_or(0)),
        "serve-bare-cql" => bare_store::serve(&word(1), &word(2)),
        _ => return None,
    })
}

fn ended(code: ExitCode) -> Outcome {
    if code == ExitCode::SUCCESS { Ok(()) } else { Err("tidefold failed".into()) }
}

type Part = (&'static str, fn(&Addresses) -> Outcome);

/// The parts, by the words that choose them.
const PARTS: &[Part] = &[
    ("single-event ingest", ingest::single),
    ("batch ingest", ingest::batch),
    ("hot projection", project::hot),
    ("unique projection", project::unique),
    ("embedded projection", project::embedded),
    ("point query", query::point),
    ("visible", fleet::visible),
    ("takeover", fleet::takeover),
    ("catch-up", fleet::catch_up),
];

/// Every part asked for. One that fails is said, and the others go on.
pub(crate) fn run(addresses: &Addresses, words: &[String]) -> Outcome {
    say(&format!("Kafka at {}, CQL at {}", addresses.kafka, addresses.cql))?;
    let mut failed = Vec::new();
    for (name, part) in PARTS {
        if !words.is_empty() && !words.iter().any(|word| name.contains(word.as_str())) {
            continue;
        }
        if let Err(error) = part(addresses) {
            if error.is::<Unwritten>() {
                return Err(error);
            }
            say(&format!("{name}: FAILED: {error}"))?;
            failed.push(*name);
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(format!("failed: {}", failed.join(", ")).into()) }
}
