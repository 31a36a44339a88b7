//! `tidefold dead-letters add` and `tidefold breaker lift`: what an operator does about a partition that stands.

use std::process::ExitCode;

use serde_json::Value;
use tidefold_http::paths::segment;

use super::admin::Admin;
use crate::cli::{BreakerCommand, NodeArgs};
use crate::failure::Failure;
use crate::output::Output;

pub(super) async fn dead_letters_add(
    position: &str,
    reason: &str,
    node: &NodeArgs,
    output: &Output,
) -> Result<ExitCode, Failure> {
    let admin = Admin::new(&node.node);
    let path =
        format!("{}/dead-letters/{}?reason={}", admin.app().await?, segment(position), segment(reason));
    let value = admin.post(&path).await?;
    output.print(&value, || {
        format!("{position} is a dead letter now, in every build: its partition goes on behind it")
    });
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn breaker(command: BreakerCommand, output: &Output) -> Result<ExitCode, Failure> {
    let BreakerCommand::Lift { topic: args, partition } = command;
    let parameters = [
        args.topic.as_deref().map(|topic| format!("topic={}", segment(topic))),
        partition.map(|partition| format!("partition={partition}")),
    ];
    let parameters: Vec<_> = parameters.into_iter().flatten().collect();
    let path = format!("/admin/v1/{}/breaker/lift?{}", segment(&args.app), parameters.join("&"));
    let value = Admin::new(&args.node.node).post(&path).await?;
    let items = value["items"].as_array().cloned().unwrap_or_default();
    output.print(&value["items"], || {
        let lines = items.iter().filter_map(Value::as_str).map(|position| format!("{position} goes on"));
        lines.collect::<Vec<_>>().join("\n")
    });
    Ok(ExitCode::SUCCESS)
}
