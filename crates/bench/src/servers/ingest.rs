//! The write API on Kafka: one event a request, and batches.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tidefold_telemetry::clock;

use super::places::Addresses;
use super::rig::{Caller, Node, Rig, Source, numbers, serve};
use crate::child::Server;
use crate::figure::{Failed, Outcome, Unwritten, figure, median};
use crate::load::{self, Requests, Run, post};
use crate::orders::{line, order_json};

const CONNECTIONS: usize = 64;
const TURN: Duration = Duration::from_secs(4);
/// Lines of a batch, and how many batches are made beforehand.
const BATCH: u64 = 2_000;
const BODIES: u64 = 50;
/// Connections that send batches: what is under way at once is still a sixth of what the bare producer queues.
const SENDERS: usize = 8;

/// One side's turns.
#[derive(Default)]
struct Side {
    runs: [Run; 3],
    /// Microseconds of the server's CPU an event.
    cpu: [f64; 3],
}

/// One event a request, beside a server that parses the same JSON and forwards it with a `FutureProducer`.
pub(super) fn single(addresses: &Addresses) -> Outcome {
    let rig = Rig::new(addresses, Source::Storefront, "single")?;
    let topic = format!("{}.bare", rig.name);
    rig.make_topic(&topic)?;
    let bare = serve(&["serve-bare-kafka", &addresses.kafka, &topic])?;
    let node = rig.start("ingest")?;
    let (mut ours, mut theirs) = (Side::default(), Side::default());
    load::run(&node.server.address, CONNECTIONS, Duration::from_secs(1), 0, &orders(&rig.name))?;
    load::run(&bare.address, CONNECTIONS, Duration::from_secs(1), 0, &orders("storefront"))?;
    for turn in 0..3 {
        theirs.turn(turn, &bare, &orders("storefront"))?;
        ours.turn(turn, &node.server, &orders(&rig.name))?;
    }
    let ratio = ours.rate() / theirs.rate();
    figure("Kafka: single-event ingest", format!("{ratio:.2} of FutureProducer"), "at least 1.3")?;
    ours.print("  ours", "CPU no more than theirs")?;
    theirs.print("  axum and FutureProducer", "")?;
    Ok(())
}

/// Lines in batches, beside a `BaseProducer` that has the same records encoded already.
pub(super) fn batch(addresses: &Addresses) -> Outcome {
    let rig = Rig::new(addresses, Source::Storefront, "batch")?;
    let topic = format!("{}.bare", rig.name);
    rig.make_topic(&topic)?;
    let node = rig.start("ingest")?;
    let requests = batches(&rig.name);
    let refused = refused(&node, &requests)?;
    if refused > 0 {
        return Err(format!("{refused} of {BATCH} lines were refused").into());
    }
    let (mut ours, mut theirs, mut cpu) = ([0.0; 3], [0.0; 3], [[0.0; 2]; 3]);
    for turn in 0..3 {
        let produced = numbers(&["produce-bare", &addresses.kafka, &topic, "headers"])?;
        let [records, seconds, used] = produced[..] else { return Err("three numbers were expected".into()) };
        theirs[turn] = records / seconds;
        cpu[turn][1] = used / records * 1e6;
        let (before, since) = (node.server.cpu_seconds(), clock::instant());
        let lines = send(&node.server.address, &requests)? as f64;
        ours[turn] = lines / since.elapsed().as_secs_f64();
        cpu[turn][0] = (node.server.cpu_seconds() - before) / lines * 1e6;
    }
    let (rate, bare) = (median(ours), median(theirs));
    figure("Kafka: batch ingest", format!("{:.2} of BaseProducer", rate / bare), "at least 0.7")?;
    let of = |side: usize| format!("{:.2} µs CPU a record", median(cpu.map(|both| both[side])));
    figure("  ours, from JSON", format!("{rate:.0}/s"), &of(0))?;
    figure("  BaseProducer, encoded beforehand", format!("{bare:.0}/s"), &of(1))?;
    Ok(())
}

/// Orders, one a request.
pub(super) fn orders(app: &str) -> Requests {
    let path = format!("/v1/{app}/PlaceOrder");
    Arc::new(move |n, out| post(&path, "application/json", "", order_json(n).as_bytes(), out))
}

fn batches(app: &str) -> Arc<Vec<Vec<u8>>> {
    let made = (0..BODIES).map(|body| {
        let lines: String = (body * BATCH..(body + 1) * BATCH).map(line).collect();
        let mut request = Vec::new();
        post(&format!("/v1/{app}"), "application/x-ndjson", "", lines.as_bytes(), &mut request);
        request
    });
    Arc::new(made.collect())
}

/// Lines of the first batch that are not taken.
fn refused(node: &Node, requests: &[Vec<u8>]) -> Result<u64, Failed> {
    let first = requests.first().map(Vec::as_slice).unwrap_or_default();
    let answer = Caller::connect(&node.server.address)?.ask(first)?;
    let taken = answer.body.windows(13).filter(|window| window == b"\"status\":202,").count();
    Ok(BATCH.saturating_sub(taken as u64))
}

/// Sends batches for a turn; how many lines were answered.
fn send(address: &str, requests: &Arc<Vec<Vec<u8>>>) -> Result<u64, Failed> {
    let (sent, since) = (Arc::new(AtomicU64::new(0)), clock::instant());
    let mut senders = Vec::new();
    for first in 0..SENDERS {
        let (mut stream, mut buffer) = (std::net::TcpStream::connect(address)?, Vec::new());
        stream.set_nodelay(true)?;
        let (sent, requests) = (Arc::clone(&sent), Arc::clone(requests));
        senders.push(std::thread::Builder::new().spawn(move || -> std::io::Result<()> {
            for request in requests.iter().cycle().skip(first * requests.len() / SENDERS) {
                if since.elapsed() > TURN {
                    break;
                }
                if !load::exchange(&mut stream, request, &mut buffer)? {
                    return Err(std::io::Error::other("a batch was refused"));
                }
                sent.fetch_add(BATCH, Ordering::Relaxed);
            }
            Ok(())
        })?);
    }
    for sender in senders {
        sender.join().map_err(|_| "a sender panicked")??;
    }
    Ok(sent.load(Ordering::Relaxed))
}

// === impl Side ===

impl Side {
    fn turn(&mut self, turn: usize, server: &Server, requests: &Requests) -> std::io::Result<()> {
        let before = server.cpu_seconds();
        let run = load::run(&server.address, CONNECTIONS, TURN, (turn as u64 + 1) << 24, requests)?;
        self.cpu[turn] = (server.cpu_seconds() - before) / run.answers.max(1) as f64 * 1e6;
        self.runs[turn] = run;
        Ok(())
    }

    fn rate(&self) -> f64 {
        median([0, 1, 2].map(|turn: usize| self.runs[turn].per_second))
    }

    fn print(&self, name: &str, target: &str) -> Result<(), Unwritten> {
        let of = |value: &dyn Fn(&Run) -> f64| median([0, 1, 2].map(|turn: usize| value(&self.runs[turn])));
        let cpu = median(self.cpu);
        let detail = format!(
            "p50 {:.2} ms, p99 {:.2} ms, {cpu:.1} µs CPU an event   {target}",
            of(&|run| run.p50_ms),
            of(&|run| run.p99_ms)
        );
        figure(name, format!("{:.0}/s", self.rate()), detail.trim_end())?;
        let failed: u64 = self.runs.iter().map(|run| run.failed).sum();
        if failed > 0 {
            figure("  answers that were not 2xx", failed.to_string(), "")?;
        }
        Ok(())
    }
}
