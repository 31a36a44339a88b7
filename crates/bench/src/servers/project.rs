//! Folding a topic that was filled beforehand: into CQL beside a sink that writes a statement a row, and into the
//! embedded store beside what Kafka Streams was measured at.

use std::time::Duration;

use tidefold_telemetry::clock;

use super::fill::fill;
use super::places::Addresses;
use super::rig::{Node, Rig, Source, numbers};
use crate::figure::{Failed, Outcome, Unwritten, figure};

/// How long a projector is watched at most.
const LIMIT: Duration = Duration::from_secs(30);
/// Kafka Streams 4.3.1 with RocksDB on a machine of two cores: 26 µs of CPU an event for the same three tables.
const KAFKA_STREAMS: f64 = 1e6 / 26.0;

/// How fast records were folded.
struct Folded {
    records: u64,
    seconds: f64,
    cpu: f64,
}

/// A hundred orders that change again and again.
pub(super) fn hot(addresses: &Addresses) -> Outcome {
    beside_the_sink(addresses, "hot", 600_000, 100, "at least 10")
}

/// Every record another order.
pub(super) fn unique(addresses: &Addresses) -> Outcome {
    beside_the_sink(addresses, "unique", 150_000, 150_000, "at least 1.5")
}

fn beside_the_sink(addresses: &Addresses, keys: &str, records: u64, orders: u64, target: &str) -> Outcome {
    let rig = Rig::new(addresses, Source::Changes, keys)?;
    fill(&rig, records, orders)?;
    let sunk = numbers(&["sink-bare", &addresses.kafka, &addresses.cql, &rig.name, "60000"])?;
    let [sunk, seconds, cpu] = sunk[..] else { return Err("three numbers were expected".into()) };
    let plain = Folded { records: sunk as u64, seconds, cpu };
    let node = rig.start("project")?;
    let ours = watch(&node, records)?;
    let by = format!("{:.1} of the plain sink", ours.rate() / plain.rate());
    figure(&format!("Kafka to CQL, {keys} keys, records/s"), by, target)?;
    let less = format!("{:.1} of the plain sink", plain.cpu_micros() / ours.cpu_micros());
    figure("  records a second of our CPU", less, target)?;
    ours.print("  ours")?;
    plain.print("  a statement a row, 128 in flight")?;
    Ok(())
}

/// A hundred thousand orders, folded into the embedded store.
pub(super) fn embedded(addresses: &Addresses) -> Outcome {
    const RECORDS: u64 = 1_000_000;
    let rig = Rig::new(addresses, Source::Changes, "embedded")?;
    fill(&rig, RECORDS, 100_000)?;
    let node = rig.start_embedded()?;
    let ours = watch(&node, RECORDS)?;
    let by = ours.records as f64 / ours.cpu / KAFKA_STREAMS;
    figure("Kafka to the embedded store, a CPU second", format!("{by:.1} of Kafka Streams"), "at least 5")?;
    ours.print("  ours")?;
    figure("  Kafka Streams, measured elsewhere", "64105/s".to_owned(), "26.00 µs CPU a record")?;
    Ok(())
}

/// Watches a projector from the first record it has folded to the last, or to the limit.
fn watch(node: &Node, records: u64) -> Result<Folded, Failed> {
    let (since, born) = (clock::instant(), node.server.cpu_seconds());
    let (first, began) = node.wait(LIMIT, |progress| progress.applied > 0)?;
    let cpu = node.server.cpu_seconds();
    let (last, ended) = node.wait(LIMIT, |progress| progress.next >= records)?;
    let used = node.server.cpu_seconds();
    if last.applied == 0 {
        return Err("nothing was folded".into());
    }
    if last.next >= records && last.applied < records {
        figure("  NOT APPLIED", (records - last.applied).to_string(), "every record applies")?;
    }
    if first.applied * 2 > last.applied {
        // It had folded most of it before it could be asked: then its whole life counts.
        let seconds = (ended - since).as_secs_f64();
        return Ok(Folded { records: last.applied, seconds, cpu: used - born });
    }
    let seconds = (ended - began).as_secs_f64();
    Ok(Folded { records: last.applied - first.applied, seconds, cpu: used - cpu })
}

// === impl Folded ===

impl Folded {
    fn rate(&self) -> f64 {
        self.records as f64 / self.seconds
    }

    fn cpu_micros(&self) -> f64 {
        self.cpu / self.records as f64 * 1e6
    }

    fn print(&self, name: &str) -> Result<(), Unwritten> {
        let detail =
            format!("{:.2} µs CPU a record ({} in {:.1} s)", self.cpu_micros(), self.records, self.seconds);
        figure(name, format!("{:.0}/s", self.rate()), &detail)
    }
}
