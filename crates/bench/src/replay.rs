//! A replay end to end: the embedded log read from its start, folded, written to the embedded store, compared, activated.

use std::sync::Arc;

use tidefold_coordinator::{Coordinator, Options, Phase, ReplayOptions};
use tidefold_log::Log;
use tidefold_log_embedded::EmbeddedLog;
use tidefold_record::{Partition, SchemaId};
use tidefold_store_embedded::EmbeddedStore;
use tidefold_telemetry::{Supervisor, Telemetry, clock};

use crate::child::cpu_seconds;
use crate::figure::{Outcome, figure};
use crate::orders::{records, storefront};

const RECORDS: u64 = 1_500_000;
const CHUNK: u64 = 60_000;

/// One replay of a log whose first generation is folded already.
pub(crate) fn run() -> Outcome {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let folding = tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("fold").build()?;
    runtime.block_on(replay(folding.handle().clone()))?;
    folding.shutdown_background();
    Ok(())
}

async fn replay(folding: tokio::runtime::Handle) -> Outcome {
    let folder = tempfile::tempdir()?;
    let app = Arc::new(storefront(|text| text)?);
    let log =
        Arc::new(EmbeddedLog::open(folder.path().join("log"), tidefold_log_embedded::Settings::default())?);
    let of_store =
        tidefold_store_embedded::Settings { identity: Some("bench".to_owned()), ..Default::default() };
    let store = Arc::new(EmbeddedStore::open(folder.path().join("store"), of_store)?);
    let supervisor = Supervisor::new(Telemetry::new());
    let options = Options { cache_bytes: 512 << 20, ..Options::default() };
    let (shared_log, shared_store) = (Arc::clone(&log) as _, Arc::clone(&store) as _);
    let coordinator =
        Coordinator::start(Arc::clone(&app), shared_log, shared_store, supervisor, folding, options).await?;
    let control = coordinator.control_log().control();
    let id = |schema: &str| control.id_of(schema).unwrap_or(SchemaId(0));
    let name =
        app.projections.first().map(|projection| projection.log_topic()).ok_or("the app has no topic")?;
    let since = clock::instant();
    for first in (0..RECORDS).step_by(CHUNK as usize) {
        for (partition, batch) in records(&app, first, CHUNK, &id).into_iter().enumerate() {
            log.append(&name, Partition(partition as u32), batch).await?;
        }
    }
    for generation in coordinator.status() {
        for lane in generation.lanes {
            let end = log.bounds(&name, lane.partition).await?.end;
            while coordinator
                .status()
                .iter()
                .flat_map(|g| &g.lanes)
                .any(|l| l.partition == lane.partition && l.next < end)
            {
                clock::pause(std::time::Duration::from_millis(50)).await;
            }
        }
    }
    let wall = since.elapsed().as_secs_f64();
    figure("made, appended and folded live", format!("{:.0} records/s", RECORDS as f64 / wall), "")?;
    let (cpu, since) = (cpu_seconds("self"), clock::instant());
    let mut builds = coordinator.replay(None, ReplayOptions::default()).await?;
    let (mut built, mut phase) = (None, None);
    for build in &mut builds {
        let progress = build.progress.wait_for(|progress| progress.phase != Phase::Building).await?.clone();
        built = Some((progress.total, since.elapsed().as_secs_f64(), cpu_seconds("self") - cpu));
        phase = Some(build.finished().await);
    }
    let (Some((total, seconds, cpu)), Some(Phase::Done(comparison))) = (built, phase) else {
        return Err("the replay did not end well".into());
    };
    figure(
        "replay, embedded, end to end",
        format!("{:.0} records/s", total as f64 / seconds),
        "300,000 a second",
    )?;
    figure("  and a core", format!("{:.0} records/s", total as f64 / cpu), "")?;
    figure(
        "  rows compared, and until it was active",
        format!("{} rows, {:.1} s", comparison.rows(), since.elapsed().as_secs_f64()),
        "",
    )?;
    coordinator.shutdown().await;
    Ok(())
}
