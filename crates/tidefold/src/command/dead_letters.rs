//! `tidefold dead-letters`: what could not be folded, listed and shown.

use std::process::ExitCode;

use serde_json::Value;
use tidefold_http::paths::segment;

use super::acts;
use super::admin::Admin;
use crate::cli::{DeadLettersCommand, DeadLettersListArgs};
use crate::failure::{Code, Failure};
use crate::output::{Output, columns};
use crate::settings::parse_duration;

pub(super) async fn dead_letters(command: DeadLettersCommand, output: &Output) -> Result<ExitCode, Failure> {
    match command {
        DeadLettersCommand::List(args) => list(&args, output).await,
        DeadLettersCommand::Add { position, reason, node } => {
            acts::dead_letters_add(&position, &reason, &node, output).await
        }
        DeadLettersCommand::Show { position, node } => {
            let admin = Admin::new(&node.node);
            let path = format!("{}/dead-letters/{}", admin.app().await?, segment(&position));
            let value = admin.get(&path).await?;
            output.print(&value, || shown(&value));
            Ok(ExitCode::SUCCESS)
        }
    }
}

async fn list(args: &DeadLettersListArgs, output: &Output) -> Result<ExitCode, Failure> {
    let mut path = format!("/admin/v1/{}/dead-letters?limit={}", segment(&args.app.app), args.limit);
    let partition = args.partition.map(|partition| partition.to_string());
    let since = args.since.as_deref().map(|text| time("--since", text)).transpose()?;
    let until = args.until.as_deref().map(|text| time("--until", text)).transpose()?;
    let parameters = [
        ("topic", &args.topic),
        ("partition", &partition),
        ("code", &args.code),
        ("type", &args.message_type),
        ("key", &args.key),
        ("since", &since),
        ("until", &until),
        ("after", &args.after),
    ];
    for (name, value) in parameters {
        path.extend(value.as_deref().map(|value| format!("&{name}={}", segment(value))));
    }
    let value = Admin::new(&args.app.node.node).get(&path).await?;
    let more = more(&value);
    if let Some(more) = more.as_ref().filter(|_| output.is_json()) {
        output.say_with(more, &[("more", value["more"].clone()), ("next", value["next"].clone())]);
    }
    let timeless = timeless(&value);
    if let Some(timeless) = timeless.as_ref().filter(|_| output.is_json()) {
        output.say_with(timeless, &[("timeless", value["timeless"].clone())]);
    }
    let items = value["items"].as_array().cloned().unwrap_or_default();
    output.print(&value["items"], || {
        let header = ["position", "time", "type", "code", "key", "detail"];
        let row = |item: &Value| header.map(|name| item[name].as_str().unwrap_or("-").to_owned()).to_vec();
        let table = columns(&header, &items.iter().map(row).collect::<Vec<_>>());
        let notes = [timeless, more];
        std::iter::once(table).chain(notes.into_iter().flatten()).collect::<Vec<_>>().join("\n\n")
    });
    Ok(ExitCode::SUCCESS)
}

/// How many there are that no time chooses, and how to see them.
fn timeless(listed: &Value) -> Option<String> {
    let count = listed["timeless"].as_u64().filter(|count| *count > 0)?;
    Some(format!(
        "{count} more have no time to choose by (neither tidefold-append-time nor ce_time) and are left out: leave out \
         --since and --until to see them"
    ))
}

/// How many there are that were not listed, and how to see them.
fn more(listed: &Value) -> Option<String> {
    let next = listed["next"].as_str()?;
    let at_least = if listed["more_is_exact"] == true { "" } else { "at least " };
    Some(format!("{at_least}{} more: go on with --after {next}, or give a larger --limit", listed["more"]))
}

/// A time as RFC 3339; one that is so long ago is counted back from now.
fn time(flag: &str, text: &str) -> Result<String, Failure> {
    let back = match parse_duration(text) {
        Some(back) => i64::try_from(back.as_micros()).unwrap_or(i64::MAX),
        None if tidefold_codec::text::parse_rfc3339_micros(text.as_bytes()).is_some() => {
            return Ok(text.to_owned());
        }
        None => {
            let text = format!(
                "{flag} {text}: write a time such as 2026-11-24T14:28:37Z, or how long ago, such as 90m or 24h"
            );
            return Err(Failure::new(Code::Usage, text));
        }
    };
    let mut out = Vec::new();
    let now = tidefold_telemetry::clock::now_micros();
    tidefold_codec::text::write_rfc3339_micros(now.saturating_sub(back).max(0), &mut out);
    Ok(String::from_utf8_lossy(&out).into_owned())
}

/// One for people: a line a member, then its payload.
fn shown(letter: &Value) -> String {
    let mut lines = Vec::new();
    let names = ["position", "time", "type", "id", "source", "key", "key_hex", "code", "detail", "schema_id"];
    for name in names {
        let member = &letter[name];
        match member.as_str() {
            Some(text) => lines.push(format!("{name:<10} {text}")),
            None if member.is_null() => {}
            None => lines.push(format!("{name:<10} {member}")),
        }
    }
    for header in letter["headers"].as_array().into_iter().flatten() {
        let text = |at: usize| header[at].as_str().unwrap_or_default().to_owned();
        lines.push(format!("{:<10} {}: {}", "header", text(0), text(1)));
    }
    match letter["payload_error"].as_str() {
        None => lines.push(format!("payload    {:#}", letter["payload"])),
        Some(error) => {
            lines.push(format!("payload    none: {error}"));
            let hex = letter["value"].as_str();
            lines.extend(hex.map(|hex| format!("value      {hex} ({} bytes)", letter["value_bytes"])));
        }
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_time_is_rfc_3339_or_so_long_ago() {
        assert_eq!(time("--since", "2026-11-24T14:28:37Z").ok().unwrap(), "2026-11-24T14:28:37Z");
        assert!(time("--since", "90m").ok().unwrap().ends_with('Z'));
        assert_eq!(time("--since", "yesterday").err().unwrap().code, Code::Usage);
    }

    #[test]
    fn what_is_not_listed_is_counted_with_how_to_see_it() {
        let listed = |exact: bool, next: Value| json!({ "more": 7, "more_is_exact": exact, "next": next });
        assert_eq!(more(&listed(true, Value::Null)), None);
        let text = more(&listed(false, "orders:3:918".into())).unwrap();
        assert!(text.starts_with("at least 7 more: ") && text.contains("--after orders:3:918"), "{text}");
    }
}
