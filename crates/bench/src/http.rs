//! What goes over HTTP: a node beside a bare server, the same client for both, in turns.

use std::io::Write;
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tidefold_telemetry::clock;

use crate::bare;
use crate::child::Server;
use crate::figure::{Outcome, Unwritten, figure, median};
use crate::load::{self, Requests, Run, exchange, get, post};
use crate::orders::{line, order_json};

const CONNECTIONS: usize = 64;
const TURN: Duration = Duration::from_secs(4);
/// Lines of one batch request.
const BATCH: u64 = 2_000;

/// One event a request, durable before it is answered, against a bare server that parses the same JSON and forgets it, and
/// against one that writes it down. What the disk bounds stands beside them.
pub(crate) fn single() -> Outcome {
    let folder = tempfile::tempdir()?;
    let (bare, node) = (Server::bare(folder.path())?, Server::node(&folder.path().join("node"), true)?);
    let requests: Requests = Arc::new(|n, out| {
        post("/v1/storefront/PlaceOrder", "application/json", "", order_json(n).as_bytes(), out);
    });
    let (ours, theirs) = turns(&node, &bare, &requests)?;
    compare("single-event ingest, fsync", &ours, &theirs, "at least 0.6")?;
    let micros = |server: &Server, runs: &[Run; 3]| {
        let answers: u64 = runs.iter().map(|run| run.answers).sum();
        format!("{:.1} µs", server.cpu_seconds() * 1e6 / answers.max(1) as f64)
    };
    let of_bare = format!("bare: {}", micros(&bare, &theirs));
    figure("  CPU of the node, an event, all included", micros(&node, &ours), &of_bare)?;
    let durable: Requests = Arc::new(|n, out| {
        post(bare::DURABLE, "application/json", "", order_json(n).as_bytes(), out);
    });
    let durable = load::run(&bare.address, CONNECTIONS, TURN, 1 << 30, &durable)?;
    figure("  bare, with a file and its fsync", format!("{:.0}/s", durable.per_second), "")?;
    drop((bare, node));
    let syncs = syncs_per_second(folder.path())?;
    let bound = format!("{:.0}/s", syncs * CONNECTIONS as f64);
    figure("  one fsync for all 64 at a time", bound, &format!("{syncs:.0} fsyncs/s by themselves"))?;
    Ok(())
}

/// How often a file of this folder can be appended to and synced, one after the other: with all callers waiting for each, so
/// many times their number is the most that there is.
fn syncs_per_second(folder: &Path) -> std::io::Result<f64> {
    let mut file = std::fs::File::create(folder.join("syncs"))?;
    let (piece, since, mut times) = (vec![7; 16 << 10], clock::instant(), 0_u32);
    while since.elapsed() < Duration::from_secs(2) {
        file.write_all(&piece)?;
        file.sync_data()?;
        times += 1;
    }
    Ok(f64::from(times) / since.elapsed().as_secs_f64())
}

/// One row by its key, against a bare server that answers a constant.
pub(crate) fn point() -> Outcome {
    let folder = tempfile::tempdir()?;
    let (bare, node) = (Server::bare(folder.path())?, Server::node(&folder.path().join("node"), true)?);
    send_lines(&node.address, 0, 300_000)?;
    let requests: Requests = Arc::new(|n, out| {
        let key = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        get(&format!("/v1/storefront/orders/order-{:010}", key % 100_000), out);
    });
    let (ours, theirs) = turns(&node, &bare, &requests)?;
    compare("point query, 100,000 rows", &ours, &theirs, "at least 0.7")?;
    Ok(())
}

/// Batches of lines, in records for each second of the server's CPU: written only, and written and folded.
pub(crate) fn batch() -> Outcome {
    for (name, folding, target) in
        [("batch ingest, a core", false, "400,000 a second"), ("batch ingest and fold, a core", true, "")]
    {
        let folder = tempfile::tempdir()?;
        let node = Server::node(folder.path(), folding)?;
        send_lines(&node.address, 0, 20 * BATCH)?;
        let (cpu, since) = (node.cpu_seconds(), clock::instant());
        let records = 200 * BATCH;
        send_lines(&node.address, 20 * BATCH, records)?;
        let (cpu, wall) = (node.cpu_seconds() - cpu, since.elapsed().as_secs_f64());
        figure(name, format!("{:.0} records/s", records as f64 / cpu), target)?;
        figure("  and by the clock", format!("{:.0} records/s", records as f64 / wall), "")?;
    }
    Ok(())
}

/// From sending a message to having its effect visible, while 10,000 messages a second come in.
pub(crate) fn visible() -> Outcome {
    let folder = tempfile::tempdir()?;
    let node = Server::node(folder.path(), true)?;
    let mut stream = TcpStream::connect(&node.address)?;
    stream.set_nodelay(true)?;
    let address = node.address.clone();
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let background = std::thread::Builder::new().spawn({
        let stop = Arc::clone(&stop);
        move || paced(&address, &stop)
    })?;
    let (mut times, mut request, mut buffer) = (Vec::new(), Vec::new(), Vec::new());
    let since = clock::instant();
    let mut n = 1 << 40;
    while since.elapsed() < Duration::from_secs(10) {
        request.clear();
        n += 1;
        post(
            "/v1/storefront/PlaceOrder",
            "application/json",
            "prefer: wait=10\r\n",
            order_json(n).as_bytes(),
            &mut request,
        );
        let sent = clock::instant();
        exchange(&mut stream, &request, &mut buffer)?;
        times.push(sent.elapsed().as_secs_f64() * 1_000.0);
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    let rate = background.join().map_err(|_| "the background load panicked")??;
    times.sort_by(f64::total_cmp);
    let at = |part: f64| times.get((times.len() as f64 * part) as usize).copied().unwrap_or(0.0);
    figure("POST to visible, p50", format!("{:.2} ms", at(0.5)), &format!("at {rate:.0} messages/s"))?;
    figure("POST to visible, p99", format!("{:.2} ms", at(0.99)), "under 10 ms at 10,000 messages/s")?;
    Ok(())
}

/// Memory of a node that was just started, and of one that was loaded.
pub(crate) fn memory() -> Outcome {
    let folder = tempfile::tempdir()?;
    let node = Server::node(folder.path(), true)?;
    figure("memory at rest", format!("{:.0} MiB", node.memory_mib().0), "under 100 MiB")?;
    send_lines(&node.address, 0, 1_000_000)?;
    let (now, highest) = node.memory_mib();
    figure("memory behind 1,000,000 messages", format!("{now:.0} MiB, at most {highest:.0}"), "")?;
    Ok(())
}

/// Ten thousand messages a second in batches of a hundred, one every ten milliseconds; returns the rate it kept.
fn paced(address: &str, stop: &std::sync::atomic::AtomicBool) -> std::io::Result<f64> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    let (mut n, mut request, mut buffer) = (0_u64, Vec::new(), Vec::new());
    let since = clock::instant();
    while !stop.load(std::sync::atomic::Ordering::Relaxed) {
        let body: String = (n..n + 100).map(line).collect();
        request.clear();
        post("/v1/storefront", "application/x-ndjson", "", body.as_bytes(), &mut request);
        exchange(&mut stream, &request, &mut buffer)?;
        n += 100;
        let due = Duration::from_millis(n / 10);
        while since.elapsed() < due {
            std::thread::park_timeout(due.saturating_sub(since.elapsed()));
        }
    }
    Ok(n as f64 / since.elapsed().as_secs_f64())
}

fn turns(node: &Server, bare: &Server, requests: &Requests) -> std::io::Result<([Run; 3], [Run; 3])> {
    let (mut ours, mut theirs) = (<[Run; 3]>::default(), <[Run; 3]>::default());
    load::run(&node.address, CONNECTIONS, Duration::from_secs(1), 0, requests)?;
    for turn in 0..3 {
        theirs[turn] = load::run(&bare.address, CONNECTIONS, TURN, 1 << 30, requests)?;
        ours[turn] = load::run(&node.address, CONNECTIONS, TURN, (turn as u64 + 1) << 24, requests)?;
    }
    Ok((ours, theirs))
}

fn compare(name: &str, ours: &[Run; 3], theirs: &[Run; 3], target: &str) -> Result<(), Unwritten> {
    let rate = |runs: &[Run; 3]| median([0, 1, 2].map(|turn: usize| runs[turn].per_second));
    let p99 = |runs: &[Run; 3]| median([0, 1, 2].map(|turn: usize| runs[turn].p99_ms));
    let p50 = |runs: &[Run; 3]| median([0, 1, 2].map(|turn: usize| runs[turn].p50_ms));
    let failed: u64 = ours.iter().map(|run| run.failed).sum();
    let answers: u64 = ours.iter().map(|run| run.answers).sum();
    figure(name, format!("{:.2} of bare", rate(ours) / rate(theirs)), target)?;
    figure(
        "  ours",
        format!("{:.0}/s", rate(ours)),
        &format!("p50 {:.2} ms, p99 {:.2} ms", p50(ours), p99(ours)),
    )?;
    figure(
        "  bare",
        format!("{:.0}/s", rate(theirs)),
        &format!("p50 {:.2} ms, p99 {:.2} ms", p50(theirs), p99(theirs)),
    )?;
    if failed > 0 {
        figure("  answers that were not 2xx", format!("{failed} of {answers}"), "")?;
    }
    Ok(())
}

/// Sends lines `first` up to `first + count` in batches over one connection, and waits until all are answered.
pub(crate) fn send_lines(address: &str, first: u64, count: u64) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    let (mut request, mut buffer) = (Vec::new(), Vec::new());
    let mut n = first;
    while n < first + count {
        let until = (n + BATCH).min(first + count);
        let body: String = (n..until).map(line).collect();
        request.clear();
        post("/v1/storefront", "application/x-ndjson", "", body.as_bytes(), &mut request);
        exchange(&mut stream, &request, &mut buffer)?;
        n = until;
    }
    Ok(())
}
