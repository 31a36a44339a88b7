//! `tidefold publish`: files, standard input and made-up messages to the write API.

use std::path::Path;
use std::process::ExitCode;

use serde_json::json;
use tidefold_publisher::csv_source::{self, Mapping};
use tidefold_publisher::ndjson::{self, Shape};
use tidefold_publisher::publish::PublishError;
use tidefold_publisher::{Client, Line, Options, Report, SourceError, synthetic};

use crate::cli::PublishArgs;
use crate::failure::{Code, Failure, chain};
use crate::folder;
use crate::output::Output;

type Lines<'a> = Box<dyn Iterator<Item = Result<Line, SourceError>> + Send + 'a>;

pub(super) async fn publish(args: PublishArgs, output: &Output) -> Result<ExitCode, Failure> {
    let client =
        Client::new(&args.url, &args.app).map_err(|error| Failure::from_error(Code::Usage, &error))?;
    let file = args.file.clone().unwrap_or_else(|| "-".into());
    let is_csv = file.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.contains(".csv"));
    let app = if args.synthetic.is_some() || is_csv {
        Some(folder::load(&args.schemas.join(&args.app), output)?)
    } else {
        None
    };
    let (lines, total): (Lines<'_>, Option<u64>) = match (&app, args.synthetic) {
        (Some(app), Some(count)) => (Box::new(synthetic::lines(app, args.seed, count)), Some(count)),
        (Some(app), None) => (csv(app, &args, &file)?, None),
        (None, _) => {
            let shape = args.message_type.clone().map_or(Shape::Envelope, Shape::Data);
            let total = count_lines(&file)?;
            (Box::new(ndjson::lines(ndjson::open(&file)?, &file, shape)), total)
        }
    };
    let options = Options { rate: args.rate, ..Options::default() };
    let mut progress = output.progress("publish", total);
    let published = {
        let mut seen = |now: tidefold_publisher::Progress| progress.at(now.accepted + now.refused);
        tidefold_publisher::publish(lines, &client, options, &mut seen).await
    };
    let report = match published {
        Ok(report) => report,
        Err(error) => {
            let (PublishError::Source { accepted, .. } | PublishError::GaveUp { accepted, .. }) = &error;
            progress.finish(*accepted);
            let code = if *accepted > 0 { Code::Partial } else { Code::Failed };
            return Err(Failure::new(code, chain(&error)));
        }
    };
    let rate = progress.finish(report.progress.accepted);
    print(&report, rate, output);
    Ok(if report.progress.refused == 0 { ExitCode::SUCCESS } else { ExitCode::from(Code::Partial as u8) })
}

fn csv<'a>(app: &'a tidefold_app::App, args: &PublishArgs, file: &Path) -> Result<Lines<'a>, Failure> {
    let name = args.message_type.as_deref().unwrap_or_default();
    let Some((topic, place)) = app.message(name) else {
        let known: Vec<_> = app.topics.iter().flat_map(|t| &t.messages).map(|m| m.name.as_str()).collect();
        let text = format!("a CSV file needs --type, one of: {}", known.join(", "));
        return Err(Failure::new(Code::Usage, text));
    };
    let mut mapping = Mapping { fields: Vec::new(), id: args.id_columns.clone() };
    for pair in &args.columns {
        let Some((field, column)) = pair.split_once('=') else {
            return Err(Failure::new(Code::Usage, format!("--column {pair}: write --column field=column")));
        };
        mapping.fields.push((field.to_owned(), column.to_owned()));
    }
    Ok(Box::new(csv_source::lines(ndjson::open(file)?, &topic.messages[place], &mapping)?))
}

/// How many lines a file has, so that progress has an end; standard input has none.
fn count_lines(file: &Path) -> Result<Option<u64>, Failure> {
    if file.as_os_str() == "-" {
        return Ok(None);
    }
    let mut reader = ndjson::open(file)?;
    let mut count = 0;
    loop {
        let chunk = std::io::BufRead::fill_buf(&mut reader)?;
        if chunk.is_empty() {
            return Ok(Some(count));
        }
        count += chunk.iter().filter(|byte| **byte == b'\n').count() as u64;
        let read = chunk.len();
        std::io::BufRead::consume(&mut reader, read);
    }
}

fn print(report: &Report, rate: f64, output: &Output) {
    let progress = report.progress;
    let value = json!({
        "accepted": progress.accepted, "refused": progress.refused, "retries": progress.retries,
        "per_second": rate.round(), "refusals": report.refusals, "positions": report.positions,
    });
    output.print(&value, || {
        let mut text = format!(
            "{} accepted, {} refused, {} retries, {rate:.0} a second",
            progress.accepted, progress.refused, progress.retries
        );
        for refusal in &report.refusals {
            let detail = refusal.problem.as_ref().map(ToString::to_string).unwrap_or_default();
            text.push_str(&format!("\nline {}: {} {detail}", refusal.line, refusal.status));
        }
        text
    });
}
