//! `tidefold up`, and `ingest`, `project` and `query`: the parts of a node, until a signal says stop.

use std::process::ExitCode;

use tokio::signal::unix::{SignalKind, signal};

use crate::cli::UpArgs;
use crate::failure::Failure;
use crate::folder;
use crate::node::{Node, Role};
use crate::output::Output;

pub(super) async fn up(args: UpArgs, role: Role, output: &Output) -> Result<ExitCode, Failure> {
    let resolved = super::config::resolve(&args.settings)?;
    let settings = resolved.settings().map_err(|errors| super::config::wrong(&errors))?;
    let app = folder::load(&args.folder, output)?;
    tidefold_telemetry::logging::init(
        tidefold_telemetry::logging::Format::Auto,
        "info,fjall=warn,lsm_tree=warn,rdkafka=warn,scylla=warn",
    )?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let name = app.name.clone();
    let node = Node::start(app, &settings, role).await?;
    match node.http {
        Some(http) => {
            output.say(&format!("{name} is up: http://{http} (operators: http://{})", node.admin));
            output.say(&format!("  curl http://{http}/v1/{name}      says what can be asked and sent"));
        }
        None => output.say(&format!("{name} is up (operators: http://{})", node.admin)),
    }
    let code = tokio::select! {
        _ = interrupt.recv() => 130,
        _ = terminate.recv() => 0,
    };
    output.say("stopping: finishing what is open; a second signal stops at once");
    let cut_by = tokio::select! {
        () = node.stop() => return Ok(ExitCode::from(code)),
        _ = interrupt.recv() => SignalKind::interrupt(),
        _ = terminate.recv() => SignalKind::terminate(),
    };
    output.say("stopped at once; the next start finishes what was open");
    // As a shell has it for what a signal ended.
    Ok(ExitCode::from(128 + cut_by.as_raw_value() as u8))
}
