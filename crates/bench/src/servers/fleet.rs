//! A fleet as its users feel it: how soon a message is visible, how long a dead projector is missed, how fast a
//! backlog goes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;
use tidefold_telemetry::clock;

use super::places::{Addresses, PARTITIONS};
use super::rig::{Caller, Node, Rig, Source, pause};
use crate::figure::{Failed, Outcome, figure};
use crate::load::post;
use crate::orders::{line, order_json};

/// Messages a second of the live load.
const LIVE: u64 = 1_000;
/// How long something that has to happen may take.
const LIMIT: Duration = Duration::from_secs(60);
/// Orders of single requests are numbered from here, those of the live load from 0.
const SINGLE: u64 = 1 << 32;

/// A load that goes on until it is stopped.
struct Live {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    thread: Option<JoinHandle<std::io::Result<f64>>>,
}

/// Posts orders and waits until they can be read.
struct Client {
    app: String,
    write: Caller,
    read: Caller,
    next: u64,
}

/// An order that was taken.
struct Placed {
    order: u64,
    position: String,
    partition: u64,
}

/// From sending an order to reading it from another process, while a live load comes in.
pub(super) fn visible(addresses: &Addresses) -> Outcome {
    let rig = Rig::new(addresses, Source::Storefront, "visible")?;
    let (project, ingest, query) = (rig.start("project")?, rig.start("ingest")?, rig.start("query")?);
    let mut client = Client::new(&rig, &ingest, &query)?;
    let first = client.place()?;
    client.see(&first, LIMIT)?;
    let live = Live::start(&ingest, &rig.name)?;
    let (mut times, mut taken, since) = (Vec::new(), Vec::new(), clock::instant());
    while since.elapsed() < Duration::from_secs(12) {
        let sent = clock::instant();
        let placed = client.place()?;
        let took = sent.elapsed();
        client.see(&placed, LIMIT)?;
        if since.elapsed() > Duration::from_secs(2) {
            times.push(sent.elapsed().as_secs_f64() * 1_000.0);
            taken.push(took.as_secs_f64() * 1_000.0);
        }
    }
    let rate = live.stop()?;
    let load = format!("{} orders, beside {rate:.0} messages/s", times.len());
    figure("Kafka and CQL: POST to visible, p50", format!("{:.1} ms", at(&mut times, 0.5)), &load)?;
    figure("Kafka and CQL: POST to visible, p99", format!("{:.1} ms", at(&mut times, 0.99)), "")?;
    let p99 = at(&mut taken, 0.99);
    figure(
        "  of it until it was taken, p50",
        format!("{:.1} ms", at(&mut taken, 0.5)),
        &format!("p99 {p99:.1} ms"),
    )?;
    for (node, histogram, label) in [
        (&ingest, "tidefold_log_operation_seconds", "operation=\"append\""),
        (&project, "tidefold_projection_step_seconds", "step=\"derived\""),
        (&project, "tidefold_projection_step_seconds", "step=\"entities\""),
        (&project, "tidefold_projection_step_seconds", "step=\"checkpoint\""),
        (&query, "tidefold_query_position_wait_seconds", ""),
        (&query, "tidefold_query_store_seconds", ""),
    ] {
        let (mean, count) = node.mean(histogram, label)?;
        let name = format!("  {} {label}", histogram.trim_start_matches("tidefold_"));
        figure(&name, format!("{:.2} ms", mean * 1_000.0), &format!("mean of {count:.0}"))?;
    }
    Ok(())
}

/// The value that a part of them is below.
fn at(times: &mut [f64], part: f64) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get((times.len() as f64 * part) as usize).copied().unwrap_or(0.0)
}

/// Two projectors, one of them killed: until records of all partitions are visible again.
pub(super) fn takeover(addresses: &Addresses) -> Outcome {
    let rig = Rig::new(addresses, Source::Storefront, "takeover")?;
    let (first, ingest, query) = (rig.start("project")?, rig.start("ingest")?, rig.start("query")?);
    let mut client = Client::new(&rig, &ingest, &query)?;
    let mut projectors = vec![first];
    let mut times = Vec::new();
    for _ in 0..2 {
        projectors.push(rig.start("project")?);
        both_fold(&projectors, &mut client)?;
        let killed = clock::instant();
        // The older one: dropped is killed.
        drop(projectors.remove(0));
        let placed = client.everywhere()?;
        for order in placed.values() {
            client.see(order, LIMIT)?;
        }
        times.push(format!("{:.1} s", killed.elapsed().as_secs_f64()));
    }
    figure("a killed projector's partitions taken over", times.join(", "), "")?;
    Ok(())
}

/// A projector that was away while a live load came in: how fast it catches up, the load going on.
pub(super) fn catch_up(addresses: &Addresses) -> Outcome {
    let rig = Rig::new(addresses, Source::Storefront, "catchup")?;
    let (project, ingest) = (rig.start("project")?, rig.start("ingest")?);
    let live = Live::start(&ingest, &rig.name)?;
    let (warm, _) = project.wait(LIMIT, |progress| progress.applied >= LIVE * 3)?;
    if warm.applied < LIVE * 3 {
        return Err("the live load is not folded".into());
    }
    project.end()?;
    pause(Duration::from_secs(15));
    let project = rig.start("project")?;
    let (first, began) = project.wait(LIMIT, |progress| progress.applied > 0)?;
    // Offsets of all partitions together are messages sent: so far, but for the tenth of a second under way.
    let (last, ended) = project.wait(LIMIT, |progress| progress.next + LIVE / 10 >= live.sent())?;
    let behind = live.sent().saturating_sub(last.next);
    let kept = live.stop()?;
    let (folded, seconds) = (last.applied - first.applied, (ended - began).as_secs_f64());
    let rate = folded as f64 / seconds;
    figure(
        "Kafka to CQL: a backlog caught up",
        format!("{:.1} of the live rate", rate / kept),
        "at least 4",
    )?;
    let beside = format!("{folded} in {seconds:.1} s, beside {kept:.0} messages/s");
    figure("  folded meanwhile", format!("{rate:.0}/s"), &beside)?;
    if behind > LIVE {
        figure("  NOT CAUGHT UP", behind.to_string(), "messages behind after a minute")?;
    }
    Ok(())
}

/// Waits until every projector has folded something of what is placed now.
fn both_fold(projectors: &[Node], client: &mut Client) -> Result<(), Failed> {
    let applied = |projectors: &[Node]| -> Result<Vec<u64>, Failed> {
        projectors.iter().map(|node| Ok(node.progress()?.applied)).collect()
    };
    let (before, since) = (applied(projectors)?, clock::instant());
    while applied(projectors)?.iter().zip(&before).any(|(now, before)| now <= before) {
        if since.elapsed() > LIMIT {
            return Err("one of the projectors was given no partition".into());
        }
        client.place()?;
        pause(Duration::from_millis(20));
    }
    Ok(())
}

// === impl Client ===

impl Client {
    fn new(rig: &Rig, ingest: &Node, query: &Node) -> Result<Client, Failed> {
        Ok(Client {
            app: rig.name.clone(),
            write: Caller::connect(&ingest.server.address)?,
            read: Caller::connect(&query.server.address)?,
            next: SINGLE,
        })
    }

    fn place(&mut self) -> Result<Placed, Failed> {
        let order = self.next;
        self.next += 1;
        let mut request = Vec::new();
        let body = order_json(order);
        post(&format!("/v1/{}/PlaceOrder", self.app), "application/json", "", body.as_bytes(), &mut request);
        let answer = self.write.ask(&request)?;
        let told: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let position = told["position"].as_str().unwrap_or_default().to_owned();
        match position.split(':').nth(1).and_then(|text| text.parse().ok()) {
            Some(partition) => Ok(Placed { order, position, partition }),
            None => Err(format!("an order was not taken: {} {told}", answer.status).into()),
        }
    }

    /// An order in every partition.
    fn everywhere(&mut self) -> Result<BTreeMap<u64, Placed>, Failed> {
        let mut all = BTreeMap::new();
        let since = clock::instant();
        while all.len() < PARTITIONS as usize {
            let placed = self.place()?;
            all.insert(placed.partition, placed);
            if since.elapsed() > LIMIT {
                return Err("some partitions got no order".into());
            }
        }
        Ok(all)
    }

    /// Waits until an order can be read.
    fn see(&mut self, placed: &Placed, limit: Duration) -> Result<(), Failed> {
        let path = format!("/v1/{}/orders/order-{:010}", self.app, placed.order);
        let headers = format!("tidefold-min-position: {}\r\nprefer: wait=10\r\n", placed.position);
        let since: Instant = clock::instant();
        loop {
            let answer = self.read.get(&path, &headers)?;
            if answer.status == 200 {
                return Ok(());
            }
            if since.elapsed() > limit {
                let text = String::from_utf8_lossy(&answer.body).into_owned();
                return Err(format!("{} cannot be read: {} {text}", placed.position, answer.status).into());
            }
            pause(Duration::from_millis(5));
        }
    }
}

// === impl Live ===

impl Live {
    fn start(ingest: &Node, app: &str) -> Result<Live, Failed> {
        let (stop, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (address, path) = (ingest.server.address.clone(), format!("/v1/{app}"));
        let thread = std::thread::Builder::new().spawn({
            let (stop, sent) = (Arc::clone(&stop), Arc::clone(&sent));
            move || paced(&address, &path, &stop, &sent)
        })?;
        Ok(Live { stop, sent, thread: Some(thread) })
    }

    /// Messages that were taken.
    fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Ends it; the rate it kept.
    fn stop(mut self) -> Result<f64, Failed> {
        self.stop.store(true, Ordering::Relaxed);
        let thread = self.thread.take().ok_or("it was stopped before")?;
        Ok(thread.join().map_err(|_| "the live load panicked")??)
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// A hundredth of a second's messages every hundredth of a second.
fn paced(address: &str, path: &str, stop: &AtomicBool, sent: &AtomicU64) -> std::io::Result<f64> {
    let (mut caller, mut request) = (Caller::connect(address)?, Vec::new());
    let (since, mut n) = (clock::instant(), 0_u64);
    while !stop.load(Ordering::Relaxed) {
        let body: String = (n..n + LIVE / 100).map(line).collect();
        request.clear();
        post(path, "application/x-ndjson", "", body.as_bytes(), &mut request);
        let answer = caller.ask(&request)?;
        if answer.status / 100 != 2 {
            return Err(std::io::Error::other(format!("the live load was refused: {}", answer.status)));
        }
        n += LIVE / 100;
        sent.store(n, Ordering::Relaxed);
        pause(Duration::from_millis(n * 1_000 / LIVE).saturating_sub(since.elapsed()));
    }
    Ok(n as f64 / since.elapsed().as_secs_f64())
}
