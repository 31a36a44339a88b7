//! Commands that ask a running node: status, inspect, verify, replay, rollback, retire, abandon.

use std::process::ExitCode;

use hyper::Method;
use serde_json::Value;
use tidefold_http::paths::segment;

use super::admin::Admin;
use super::unfolded;
use crate::cli::{AppArgs, InspectArgs, ReplayArgs, StatusArgs, TopicArgs};
use crate::failure::{Code, Failure};
use crate::output::{Output, columns};

pub(super) async fn schemas(args: AppArgs, output: &Output) -> Result<ExitCode, Failure> {
    let admin = Admin::new(&args.node.node);
    let value = admin.get(&format!("/admin/v1/{}/schemas", segment(&args.app))).await?;
    output.print(&value, || {
        let rows = value["items"].as_array().into_iter().flatten().map(|item| {
            let text = |name: &str| item[name].as_str().map_or_else(|| item[name].to_string(), str::to_owned);
            vec![text("type"), text("log_topic"), text("partitions"), text("id"), text("schema")]
        });
        columns(&["type", "topic", "partitions", "id", "schema"], &rows.collect::<Vec<_>>())
    });
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn status(args: StatusArgs, output: &Output) -> Result<ExitCode, Failure> {
    let limit = crate::settings::parse_duration(&args.timeout).ok_or_else(|| {
        let text = format!("--timeout {}: write a duration such as 500ms, 60s or 5m", args.timeout);
        Failure::new(Code::Usage, text)
    })?;
    let admin = Admin::new(&args.node.node);
    let mut value = admin.get("/admin/v1/status").await?;
    if args.wait {
        let since = tidefold_telemetry::clock::instant();
        let mut progress = output.progress("lag", None);
        let mut behind = unfolded::of_status(&value);
        while unfolded::may_go_on(&behind) || value["unknown"].is_string() {
            if since.elapsed() >= limit {
                output.print(&value, || status_table(&value));
                let text = match value["unknown"].as_str() {
                    Some(unknown) => format!("how far behind is not known after {}: {unknown}", args.timeout),
                    None => format!(
                        "not everything is folded after {}; folding goes on:{}",
                        args.timeout,
                        unfolded::lines(&behind)
                    ),
                };
                return Err(Failure::new(Code::TimedOut, text));
            }
            tidefold_telemetry::clock::pause(std::time::Duration::from_millis(100)).await;
            value = admin.get("/admin/v1/status").await?;
            progress.at(lag(&value));
            behind = unfolded::of_status(&value);
        }
        if behind.as_array().is_some_and(|behind| !behind.is_empty()) {
            output.print(&value, || status_table(&value));
            let text =
                format!("not everything is folded, and waiting does not help:{}", unfolded::lines(&behind));
            return Err(Failure::new(Code::Partial, text));
        }
    }
    output.print(&value, || status_table(&value));
    Ok(ExitCode::SUCCESS)
}

/// Records that active generations have not folded.
fn lag(status: &Value) -> u64 {
    let generations = status["generations"].as_array().map(Vec::as_slice).unwrap_or_default();
    let active = generations.iter().filter(|generation| generation["state"] == "active");
    active.map(|generation| generation["lag_records"].as_u64().unwrap_or(0)).sum()
}

fn status_table(status: &Value) -> String {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let (mut generations, mut partitions, mut halted) = (Vec::new(), Vec::new(), String::new());
    for generation in status["generations"].as_array().map(Vec::as_slice).unwrap_or_default() {
        let verdicts = &generation["verdicts"];
        let tables = generation["tables"].as_array().map(Vec::as_slice).unwrap_or_default();
        generations.push(vec![
            text(&generation["topic"]),
            format!("g{}", generation["generation"]),
            text(&generation["state"]),
            generation["lag_records"].as_u64().map_or_else(|| "?".to_owned(), |lag| lag.to_string()),
            generation["lag_seconds"].as_f64().map_or_else(|| "?".to_owned(), |lag| format!("{lag:.1}")),
            text(&verdicts["applied"]),
            text(&verdicts["rejected"]),
            text(&verdicts["duplicate"]),
            text(&verdicts["dead"]),
            tables.iter().map(text).collect::<Vec<_>>().join(" "),
        ]);
        if let Some(reason) = generation["halted"].as_str() {
            halted.push_str(&format!(
                "\n\n{} g{} is halted: {reason}",
                text(&generation["topic"]),
                generation["generation"]
            ));
        }
        for partition in generation["partitions"].as_array().map(Vec::as_slice).unwrap_or_default() {
            let stalled = if partition["stalled"] == true { "stalled: " } else { "" };
            partitions.push(vec![
                format!("{}:{}", text(&generation["topic"]), partition["partition"]),
                format!("g{}", generation["generation"]),
                text(&partition["next"]),
                text(&partition["end"]),
                text(&partition["lag_records"]),
                format!("{:.1}", partition["lag_seconds"].as_f64().unwrap_or(0.0)),
                format!("{stalled}{}", text(&partition["state"])),
            ]);
        }
    }
    let header =
        ["topic", "gen", "state", "lag", "lag s", "applied", "rejected", "duplicate", "dead", "tables"];
    let generations = columns(&header, &generations);
    let partitions = columns(&["partition", "gen", "next", "end", "lag", "lag s", "lane"], &partitions);
    format!("app {}\n\n{generations}\n\n{partitions}{halted}", text(&status["app"]))
}

pub(super) async fn inspect(args: InspectArgs, output: &Output) -> Result<ExitCode, Failure> {
    let admin = Admin::new(&args.node.node);
    let path = format!("{}/inspect/{}/{}", admin.app().await?, segment(&args.table), segment(&args.key));
    let value = admin.get(&path).await?;
    let steps = value["steps"].as_array().cloned().unwrap_or_default();
    if steps.is_empty() {
        let text = format!("the log has no message for {} {}", args.table, args.key);
        return Err(Failure::new(Code::NotFound, text));
    }
    output.print(&value, || steps.iter().map(step_text).collect::<Vec<_>>().join("\n"));
    Ok(ExitCode::SUCCESS)
}

fn step_text(step: &Value) -> String {
    let text = |name: &str| step[name].as_str().unwrap_or("-").to_owned();
    let detail = step["detail"].as_array().map(Vec::as_slice).unwrap_or_default();
    let detail: Vec<_> = detail.iter().filter_map(Value::as_str).collect();
    // Of a duplicate the detail says it already.
    let of = step["of"].as_str().filter(|of| !detail.contains(of));
    let retry = of.map(|of| format!(" (a retry of {of})")).unwrap_or_default();
    format!(
        "{}  {}  id {}  {}\n  {}\n  version {}: {}",
        text("position"),
        text("message"),
        text("id"),
        text("time"),
        format!("{} {}{retry}", text("verdict"), detail.join(", ")).trim_end(),
        step["version"],
        step["state"]
    )
}

pub(super) async fn verify(args: AppArgs, output: &Output) -> Result<ExitCode, Failure> {
    let admin = Admin::new(&args.node.node);
    let mut progress = output.progress("verify", None);
    let mut last = Value::Null;
    let path = format!("/admin/v1/{}/verify", segment(&args.app));
    let answered = admin.lines(Method::POST, &path, |value| {
        progress.at(value["records"].as_u64().unwrap_or(0));
        if let Some(total) = value["total"].as_u64() {
            progress.total(total);
        }
        last = value;
    });
    answered.await?;
    let rate = progress.finish(last["records"].as_u64().unwrap_or(0));
    if let Some(error) = last["error"].as_str() {
        return Err(Failure::new(Code::Failed, error));
    }
    output.print(&last, || verify_table(&last, rate));
    let complete = last["complete"] != false;
    Ok(match last["equal"] == true {
        true if complete => ExitCode::SUCCESS,
        true => ExitCode::from(Code::Partial as u8),
        false => ExitCode::FAILURE,
    })
}

fn verify_table(report: &Value, rate: f64) -> String {
    let tables = report["tables"].as_array().map(Vec::as_slice).unwrap_or_default();
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let rows: Vec<_> = tables
        .iter()
        .map(|table| vec![text(&table["table"]), text(&table["rows"]), text(&table["differing"])])
        .collect();
    let mut out = columns(&["table", "rows", "differing"], &rows);
    for table in tables {
        for line in table["first"].as_array().map(Vec::as_slice).unwrap_or_default() {
            out.push_str(&format!("\n{}: {}", text(&table["table"]), text(line)));
        }
        let shown = table["damaged_rows"].as_array().map(Vec::as_slice).unwrap_or_default();
        shown.iter().for_each(|line| out.push_str(&format!("\n{}", text(line))));
        let more = table["damaged"].as_u64().unwrap_or(0).saturating_sub(shown.len() as u64);
        if more > 0 {
            out.push_str(&format!("\n{}: {more} more rows cannot be read", text(&table["table"])));
        }
    }
    let behind = unfolded::lines(&report["unfolded"]);
    let damaged: u64 = tables.iter().filter_map(|table| table["damaged"].as_u64()).sum();
    let verdict = match report["equal"] == true {
        true if behind.is_empty() => "every table equals the log".to_owned(),
        true => "the tables equal the log as far as they are folded, which is not all of it".to_owned(),
        false if damaged == 0 => "tables differ from the log".to_owned(),
        false => format!("tables differ from the log: {damaged} of their rows cannot be read"),
    };
    format!("{out}\n\n{} records folded again, {rate:.0} a second: {verdict}{behind}", report["records"])
}

pub(super) async fn replay(args: ReplayArgs, output: &Output) -> Result<ExitCode, Failure> {
    let ReplayArgs { topic: args, accept_differences } = args;
    let admin = Admin::new(&args.node.node);
    let topic = args.topic.as_deref().map(|topic| format!("&topic={}", segment(topic))).unwrap_or_default();
    let mut progress = output.progress("replay", None);
    let mut last = Value::Null;
    let path =
        format!("/admin/v1/{}/replay?accept_differences={accept_differences}{topic}", segment(&args.app));
    let sum = |value: &Value, name: &str| -> u64 {
        let builds = value["builds"].as_array().map(Vec::as_slice).unwrap_or_default();
        builds.iter().map(|build| build[name].as_u64().unwrap_or(0)).sum()
    };
    let answered = admin.lines(Method::POST, &path, |value| {
        progress.total(sum(&value, "total"));
        progress.at(sum(&value, "done"));
        last = value;
    });
    answered.await?;
    let rate = progress.finish(sum(&last, "done"));
    let builds = last["builds"].as_array().cloned().unwrap_or_default();
    output.print(&last["builds"], || replay_table(&builds, rate, &args.app));
    let all = |phases: &[&str]| {
        builds.iter().all(|build| build["phase"].as_str().is_some_and(|phase| phases.contains(&phase)))
    };
    Ok(match () {
        () if all(&["done"]) => ExitCode::SUCCESS,
        () if all(&["done", "unfinished"]) => ExitCode::from(Code::Partial as u8),
        () => ExitCode::from(Code::Conflict as u8),
    })
}

fn replay_table(builds: &[Value], rate: f64, app: &str) -> String {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let row = |build: &Value| {
        vec![
            text(&build["topic"]),
            format!("g{}", build["generation"]),
            text(&build["phase"]),
            text(&build["done"]),
            text(&build["rows_compared"]),
            text(&build["rows_differing"]),
        ]
    };
    let rows: Vec<_> = builds.iter().map(row).collect();
    let mut out = columns(&["topic", "gen", "phase", "records", "rows compared", "differing"], &rows);
    for build in builds {
        for line in build["detail"].as_array().map(Vec::as_slice).unwrap_or_default() {
            out.push_str(&format!("\n{}: {}", text(&build["topic"]), text(line)));
        }
        out.push_str(&unfolded::lines(&build["unfolded"]));
    }
    let unfinished = builds.iter().any(|build| build["phase"] == "unfinished");
    let active = builds.iter().all(|build| build["phase"] == "done" || build["phase"] == "unfinished");
    let next = if active {
        let what = if unfinished {
            "the new tables are active, but not all of the log is folded into them; "
        } else {
            ""
        };
        format!("{what}`tidefold rollback {app}` goes back, `tidefold retire {app}` drops the old tables")
    } else if builds.iter().any(|build| build["phase"] == "differs") {
        format!(
            "the active tables stay; `tidefold verify {app}` says whether they are damaged, `tidefold replay {app} \
             --accept-differences` switches over"
        )
    } else {
        "the active tables stay".to_owned()
    };
    format!("{out}\n\n{rate:.0} records a second; {next}")
}

pub(super) async fn change(args: TopicArgs, verb: &str, output: &Output) -> Result<ExitCode, Failure> {
    let admin = Admin::new(&args.node.node);
    let topic = args.topic.as_deref().map(|topic| format!("?topic={}", segment(topic))).unwrap_or_default();
    let value = admin.post(&format!("/admin/v1/{}/{verb}{topic}", segment(&args.app))).await?;
    let items = value["items"].as_array().cloned().unwrap_or_default();
    output.print(&value["items"], || change_table(&items, verb, &args.app));
    Ok(ExitCode::SUCCESS)
}

fn change_table(items: &[Value], verb: &str, app: &str) -> String {
    let row = |item: &Value| {
        let numbers = item["generations"].as_array().map(Vec::as_slice).unwrap_or_default();
        let numbers: Vec<_> = numbers.iter().map(|number| format!("g{number}")).collect();
        (!numbers.is_empty())
            .then(|| vec![item["topic"].as_str().unwrap_or_default().to_owned(), numbers.join(" ")])
    };
    let rows: Vec<_> = items.iter().filter_map(row).collect();
    match verb {
        "retire" if rows.is_empty() => {
            format!("there is nothing to retire: {app} keeps no generation besides the active one")
        }
        "abandon" if rows.is_empty() => format!("there is nothing to abandon: {app} has no build under way"),
        "retire" => columns(&["topic", "retired"], &rows),
        "abandon" => columns(&["topic", "abandoned"], &rows),
        _ => columns(&["topic", "active"], &rows),
    }
}
