//! A point query on CQL, beside an axum server around the driver.

use std::sync::Arc;
use std::time::Duration;

use super::fill::fill;
use super::orders::key;
use super::places::Addresses;
use super::rig::{Caller, Rig, Source, numbers, serve};
use crate::figure::{Outcome, figure, median};
use crate::load::{self, Requests, Run, get};

const CONNECTIONS: usize = 64;
const TURN: Duration = Duration::from_secs(4);
const ROWS: u64 = 20_000;

/// One row by its key.
pub(super) fn point(addresses: &Addresses) -> Outcome {
    let rig = Rig::new(addresses, Source::Changes, "point")?;
    fill(&rig, ROWS, ROWS)?;
    numbers(&["sink-bare", &addresses.kafka, &addresses.cql, &rig.name, &ROWS.to_string()])?;
    let projector = rig.start("project")?;
    let (progress, _) = projector.wait(Duration::from_secs(60), |progress| progress.next >= ROWS)?;
    if progress.next < ROWS {
        return Err(format!("only {} of {ROWS} rows are there", progress.next).into());
    }
    drop(projector);
    let bare = serve(&["serve-bare-cql", &addresses.cql, &rig.name])?;
    let node = rig.start("query")?;
    let name = rig.name.clone();
    let requests: Requests = Arc::new(move |n, out| {
        let order = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        get(&format!("/v1/{name}/orders/{}", key(order % ROWS)), out);
    });
    for address in [&node.server.address, &bare.address] {
        let answer = Caller::connect(address)?.get(&format!("/v1/{}/orders/{}", rig.name, key(7)), "")?;
        if answer.status != 200 {
            return Err(format!("{}: {}", answer.status, String::from_utf8_lossy(&answer.body)).into());
        }
        load::run(address, CONNECTIONS, Duration::from_secs(1), 0, &requests)?;
    }
    let (mut ours, mut theirs) = (<[Run; 3]>::default(), <[Run; 3]>::default());
    let (mut our_cpu, mut their_cpu) = ([0.0; 3], [0.0; 3]);
    for turn in 0..3 {
        let before = bare.cpu_seconds();
        theirs[turn] = load::run(&bare.address, CONNECTIONS, TURN, 0, &requests)?;
        their_cpu[turn] = (bare.cpu_seconds() - before) / theirs[turn].answers.max(1) as f64 * 1e6;
        let before = node.server.cpu_seconds();
        ours[turn] = load::run(&node.server.address, CONNECTIONS, TURN, 0, &requests)?;
        our_cpu[turn] = (node.server.cpu_seconds() - before) / ours[turn].answers.max(1) as f64 * 1e6;
    }
    let rate = |runs: &[Run; 3]| median([0, 1, 2].map(|turn: usize| runs[turn].per_second));
    let by = format!("{:.2} of axum and the driver", rate(&ours) / rate(&theirs));
    figure("CQL: point query", by, "at least 0.8")?;
    for (name, runs, cpu) in [("  ours", &ours, our_cpu), ("  axum and the driver", &theirs, their_cpu)] {
        let of = |value: &dyn Fn(&Run) -> f64| median([0, 1, 2].map(|turn: usize| value(&runs[turn])));
        let (p50, p99) = (of(&|run| run.p50_ms), of(&|run| run.p99_ms));
        let detail = format!("p50 {p50:.2} ms, p99 {p99:.2} ms, {:.1} µs CPU a query", median(cpu));
        figure(name, format!("{:.0}/s", rate(runs)), &detail)?;
        let failed: u64 = runs.iter().map(|run| run.failed).sum();
        if failed > 0 {
            figure("  answers that were not 2xx", failed.to_string(), "")?;
        }
    }
    Ok(())
}
