//! `tidefold up`, and `ingest`, `project` and `query`: the parts of a node, until a signal says stop.

use std::path::Path;
use std::process::ExitCode;

use serde_json::Value;
use tidefold_app::App;
use tidefold_telemetry::logging::{self, Format};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinSet;
use tracing::Level;

use crate::cli::UpArgs;
use crate::failure::Failure;
use crate::folder;
use crate::node::{Node, REVISION, Role, VERSION};
use crate::output::Output;
use crate::settings::Resolved;

/// What is logged where `RUST_LOG` says nothing.
const FILTER: &str = "info,fjall=warn,lsm_tree=warn,rdkafka=warn,scylla=warn";

pub(super) async fn up(args: UpArgs, role: Role, output: &Output) -> Result<ExitCode, Failure> {
    let resolved = super::config::resolve(&args.settings);
    logging::init(log_format(&resolved, output), FILTER)?;
    let resolved = resolved?;
    let settings = super::config::settings(&resolved)?;
    let app = folder::load(&args.folder, output)?;
    log_start(&app, &args.folder, role, &resolved);
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let name = app.name.clone();
    let mut starting = JoinSet::new();
    starting.spawn(async move { Node::start(app, &settings, role).await });
    let node = tokio::select! {
        Some(started) = starting.join_next() => started??,
        (code, by) = stop_signal(&mut interrupt, &mut terminate) => {
            let fields = [("app", name.as_str().into()), ("signal", by.into())];
            output.say_with("stopped while it was starting", &fields);
            return Ok(ExitCode::from(code));
        }
    };
    let operators = format!("(operators: http://{})", node.admin);
    let mut fields =
        vec![("app", Value::from(name.as_str())), ("admin", format!("http://{}", node.admin).into())];
    match node.http {
        Some(http) => {
            fields.push(("http", format!("http://{http}").into()));
            output.say_with(&format!("{name} is up: http://{http} {operators}"), &fields);
            if !logging::is_json() {
                output.say(&format!("  curl http://{http}/v1/{name}      says what can be asked and sent"));
            }
        }
        None => output.say_with(&format!("{name} is up {operators}"), &fields),
    }
    let (code, by) = stop_signal(&mut interrupt, &mut terminate).await;
    let fields = [("app", name.as_str().into()), ("signal", by.into())];
    output.say_with("stopping: finishing what is open; a second signal stops at once", &fields);
    let cut_by = tokio::select! {
        () = node.stop() => {
            tracing::info!(app = name, exit_code = code, "stopped");
            return Ok(ExitCode::from(code));
        }
        _ = interrupt.recv() => SignalKind::interrupt(),
        _ = terminate.recv() => SignalKind::terminate(),
    };
    output.say_with("stopped at once; the next start finishes what was open", &fields);
    // As a shell has it for what a signal ended.
    Ok(ExitCode::from(128 + cut_by.as_raw_value() as u8))
}

/// The first signal that says stop: the exit code that belongs to it, and its name.
async fn stop_signal(interrupt: &mut Signal, terminate: &mut Signal) -> (u8, &'static str) {
    tokio::select! {
        _ = interrupt.recv() => (130, "SIGINT"),
        _ = terminate.recv() => (0, "SIGTERM"),
    }
}

/// How the log looks, as far as the settings say so: what is wrong in them has to be told in some way too.
fn log_format(resolved: &Result<Resolved, Failure>, output: &Output) -> Format {
    let name = match resolved {
        Ok(resolved) => resolved.0.get("run.log_format").map(|(name, _)| name.clone()),
        Err(_) => std::env::var("TIDEFOLD_RUN__LOG_FORMAT").ok(),
    };
    match name.and_then(|name| Format::named(&name)).unwrap_or_default() {
        Format::Auto if output.is_json() => Format::Json,
        format => format,
    }
}

/// The first line of a run: what runs, on what, and which settings are not the defaults.
fn log_start(app: &App, folder: &Path, role: Role, resolved: &Resolved) {
    let setting = |key: &str| {
        let text = resolved.0.get(key).map(|(text, _)| text.as_str()).unwrap_or_default();
        crate::settings::shown(key, text).into_owned()
    };
    let folder = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    let data = std::path::absolute(setting("data.folder")).unwrap_or_default();
    let given = resolved.given();
    if !tracing::enabled!(Level::INFO) {
        return;
    }
    if !logging::is_json() {
        let given: Vec<_> = given.iter().map(|(key, value)| format!("{key}={value}")).collect();
        tracing::info!(
            version = VERSION, revision = REVISION, app = app.name, role = role.name(),
            folder = %folder.display(), definition = %app.definition_hash,
            log = setting("log.url"), store = setting("store.url"), data = %data.display(),
            settings = given.join(" "), pid = std::process::id(), "starting"
        );
        return;
    }
    let fields = [
        ("version", VERSION.into()),
        ("revision", REVISION.into()),
        ("app", app.name.as_str().into()),
        ("role", role.name().into()),
        ("folder", folder.to_string_lossy().into()),
        ("definition", app.definition_hash.to_string().into()),
        ("log", setting("log.url").into()),
        ("store", setting("store.url").into()),
        ("data", data.to_string_lossy().into()),
        ("settings", given.into_iter().map(|(key, value)| (key, Value::from(value))).collect()),
        ("pid", std::process::id().into()),
    ];
    logging::say(Level::INFO, "starting", &fields);
}
