//! A closed-loop HTTP/1.1 client over raw connections: each sends a request, reads the answer, sends the next. The same
//! for every server, and cheap, so that what is compared is the servers.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tidefold_telemetry::clock;

/// What a run came to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Run {
    /// Answers a second.
    pub(crate) per_second: f64,
    /// Answers.
    pub(crate) answers: u64,
    /// Median and 99th percentile of the time to an answer, in milliseconds.
    pub(crate) p50_ms: f64,
    /// 99th percentile.
    pub(crate) p99_ms: f64,
    /// Answers whose status was not 2xx.
    pub(crate) failed: u64,
}

/// A request's bytes with everything but the connection: the n-th request.
pub(crate) type Requests = Arc<dyn Fn(u64, &mut Vec<u8>) + Send + Sync>;

/// A POST of a body.
pub(crate) fn post(path: &str, content_type: &str, headers: &str, body: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(
        format!("POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: {content_type}\r\n{headers}content-length: {}\r\n\r\n", body.len())
            .as_bytes(),
    );
    out.extend_from_slice(body);
}

/// A GET.
pub(crate) fn get(path: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes());
}

/// Runs `connections` connections for `time`, on a thread for each four of them.
pub(crate) fn run(
    address: &str,
    connections: usize,
    time: Duration,
    first: u64,
    requests: &Requests,
) -> std::io::Result<Run> {
    let serial = Arc::new(AtomicU64::new(first));
    let stop = Arc::new(AtomicBool::new(false));
    let times = Arc::new(Mutex::new(Vec::<u32>::new()));
    let failed = Arc::new(AtomicU64::new(0));
    let started = clock::instant();
    let mut threads = Vec::new();
    for _ in 0..connections {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        let (serial, stop, times, failed, requests) = (
            Arc::clone(&serial),
            Arc::clone(&stop),
            Arc::clone(&times),
            Arc::clone(&failed),
            Arc::clone(requests),
        );
        let builder = std::thread::Builder::new().stack_size(128 << 10);
        threads.push(builder.spawn(move || {
            let mine = one(stream, &serial, &stop, &failed, &requests);
            if let (Ok(mine), Ok(mut times)) = (mine, times.lock()) {
                times.extend(mine);
            }
        })?);
    }
    while started.elapsed() < time {
        std::thread::park_timeout(time.saturating_sub(started.elapsed()));
    }
    stop.store(true, Ordering::Relaxed);
    for thread in threads {
        let _ = thread.join();
    }
    let elapsed = started.elapsed();
    let mut times = times.lock().map(|times| times.clone()).unwrap_or_default();
    times.sort_unstable();
    let at = |part: f64| {
        times.get((times.len() as f64 * part) as usize).map_or(0.0, |us| f64::from(*us) / 1_000.0)
    };
    Ok(Run {
        per_second: times.len() as f64 / elapsed.as_secs_f64(),
        answers: times.len() as u64,
        p50_ms: at(0.5),
        p99_ms: at(0.99),
        failed: failed.load(Ordering::Relaxed),
    })
}

fn one(
    mut stream: TcpStream,
    serial: &AtomicU64,
    stop: &AtomicBool,
    failed: &AtomicU64,
    requests: &Requests,
) -> std::io::Result<Vec<u32>> {
    let mut times = Vec::with_capacity(100_000);
    let (mut request, mut buffer) = (Vec::new(), vec![0; 64 << 10]);
    while !stop.load(Ordering::Relaxed) {
        request.clear();
        requests(serial.fetch_add(1, Ordering::Relaxed), &mut request);
        let since: Instant = clock::instant();
        stream.write_all(&request)?;
        if !answer(&mut stream, &mut buffer)? {
            failed.fetch_add(1, Ordering::Relaxed);
        }
        times.push(u32::try_from(since.elapsed().as_micros()).unwrap_or(u32::MAX));
    }
    Ok(times)
}

/// Sends one request and reads its answer; whether it was 2xx.
pub(crate) fn exchange(
    stream: &mut TcpStream,
    request: &[u8],
    buffer: &mut Vec<u8>,
) -> std::io::Result<bool> {
    if buffer.len() < 64 << 10 {
        buffer.resize(64 << 10, 0);
    }
    stream.write_all(request)?;
    answer(stream, buffer)
}

/// Reads one answer to its end: with a length, or chunked.
fn answer(stream: &mut TcpStream, buffer: &mut [u8]) -> std::io::Result<bool> {
    let mut have = 0;
    let head = loop {
        have += read(stream, buffer, have)?;
        if let Some(end) = find(&buffer[..have], b"\r\n\r\n") {
            break end + 4;
        }
    };
    let text = String::from_utf8_lossy(&buffer[..head]).to_ascii_lowercase();
    let good = text.as_bytes().get(9) == Some(&b'2');
    if let Some(length) = text
        .split("content-length: ")
        .nth(1)
        .and_then(|rest| rest.split("\r\n").next()?.parse::<usize>().ok())
    {
        let mut rest = (head + length).saturating_sub(have);
        while rest > 0 {
            rest = rest.saturating_sub(read(stream, buffer, 0)?);
        }
        return Ok(good);
    }
    if !text.contains("chunked") {
        return Ok(good);
    }
    let mut tail: Vec<u8> = buffer[head..have].to_vec();
    while !tail.ends_with(b"0\r\n\r\n") {
        let more = read(stream, buffer, 0)?;
        tail.extend_from_slice(&buffer[..more]);
        let keep = tail.len().saturating_sub(16);
        tail.drain(..keep);
    }
    Ok(good)
}

fn read(stream: &mut TcpStream, buffer: &mut [u8], at: usize) -> std::io::Result<usize> {
    match stream.read(&mut buffer[at..])? {
        0 => Err(std::io::ErrorKind::UnexpectedEof.into()),
        read => Ok(read),
    }
}

fn find(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    bytes.windows(needle.len()).position(|window| window == needle)
}
