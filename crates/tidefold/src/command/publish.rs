//! `tidefold publish`: files, standard input and made-up messages to the write API.

use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tidefold_publisher::csv_source::{self, Mapping};
use tidefold_publisher::ndjson::{self, Shape};
use tidefold_publisher::publish::PublishError;
use tidefold_publisher::{
    Client, ClientError, Event, Judged, Ledger, Line, Options, Refusal, Report, RunId, SourceError,
    Uncounted, input, judged, synthetic,
};

use crate::cli::{LineFormat, PublishArgs};
use crate::failure::{Code, Failure, chain};
use crate::folder;
use crate::output::{Output, Progress};

mod cut;
mod ledger;
mod unsent;

/// How long the fold may stand still before what it has not folded is left open.
const PATIENCE: Duration = Duration::from_secs(10);

type Lines<'a> = Box<dyn Iterator<Item = Result<Line, SourceError>> + Send + 'a>;

/// Publishes until it is done or a signal says stop.
pub(super) async fn publish(args: PublishArgs, output: &Output) -> Result<ExitCode, Failure> {
    let place = cut::Place::of(&args);
    let accepted = place.accepted();
    let output = *output;
    cut::unless_signalled(place, async move { run(args, &output, &accepted).await }).await
}

async fn run(args: PublishArgs, output: &Output, accepted: &AtomicU64) -> Result<ExitCode, Failure> {
    let client =
        Client::new(&args.url, &args.app).map_err(|error| Failure::from_error(Code::Usage, &error))?;
    let file = args.file.clone().unwrap_or_else(|| "-".into());
    let format = args.format.unwrap_or_else(|| format_of(&file));
    if args.synthetic.is_none() && format == LineFormat::Ndjson {
        refuse_columns(&args)?;
    }
    let app = if args.synthetic.is_some() || format == LineFormat::Csv {
        Some(app_of(&args, output)?)
    } else {
        None
    };
    let mut ledger = ledger::open(&args, &file, format, output)?;
    let run = ledger.as_ref().map_or_else(RunId::fresh, |ledger| ledger.run().clone());
    let (lines, total): (Lines<'_>, Option<u64>) = match (&app, args.synthetic) {
        (Some(app), Some(count)) => (Box::new(synthetic::lines(app, args.seed, count)), Some(count)),
        (Some(app), None) => (csv(app, &args, &file, &run)?, None),
        (None, _) => {
            let shape = match args.message_type.clone() {
                Some(message_type) => Shape::Data { message_type, id: args.id.clone() },
                None => Shape::Envelope,
            };
            let total = count_lines(&file)?;
            (Box::new(ndjson::lines(input::open(&file).map_err(unsent::source)?, &file, shape, &run)), total)
        }
    };
    let lines = match &mut ledger {
        Some(ledger) => ledger.rest(lines).map_err(|error| ledger::refusal(&error, &file))?,
        None => lines,
    };
    let before = ledger.as_ref().map_or(0, |ledger| ledger.standing().accepted);
    let options = Options { rate: args.rate, ..Options::default() };
    let mut progress = output.progress("publish", total);
    let published = {
        let mut seen = |event: Event<'_>| match event {
            Event::Progress(now) => {
                accepted.store(now.accepted, Ordering::Relaxed);
                progress.at(now.accepted + now.refused);
            }
            Event::Retrying(error) => progress.say(&format!("{error}; sending the same lines again")),
        };
        tidefold_publisher::publish_by(ledger.as_mut(), lines, &client, options, &mut seen).await
    };
    match published {
        Ok(report) => {
            let rate = progress.finish(report.progress.accepted + report.progress.refused);
            let is_whole = report.progress.refused == 0;
            if let Some(ledger) = ledger {
                ledger.finish().map_err(|error| Failure::from_error(Code::Partial, &error))?;
            }
            // Of made-up load some is made to be refused.
            let judged = match args.synthetic {
                Some(_) => Ok(Judged::default()),
                None => judged::judged(&client, &report.placed, PATIENCE, options.refusals_shown).await,
            };
            let counted = judged.as_ref().is_ok_and(|judged| judged.uncounted.is_empty());
            let said = Said { report: &report, judged: &judged, before, rate };
            print(&said, &file, output);
            Ok(if is_whole && counted { ExitCode::SUCCESS } else { ExitCode::from(Code::Partial as u8) })
        }
        Err(error) => Err(stopped(&error, ledger, progress, &args.url)),
    }
}

fn stopped(error: &PublishError, ledger: Option<Ledger>, progress: Progress, url: &str) -> Failure {
    let accepted = match error {
        PublishError::NoServer { .. } => {
            progress.discard();
            let kept = ledger.and_then(|ledger| ledger.stop().err());
            let kept = kept.map(|error| format!("\n{}", chain(&error)));
            let text = format!(
                "{}\nstart a node with `tidefold up FOLDER`, or say where one is with --url (now {url}){}",
                chain(error),
                kept.unwrap_or_default()
            );
            return Failure::new(Code::Failed, text);
        }
        PublishError::Source { accepted, .. }
        | PublishError::GaveUp { accepted, .. }
        | PublishError::Ledger { accepted, .. } => *accepted,
    };
    progress.finish(accepted);
    let code = match error {
        _ if accepted > 0 => Code::Partial,
        PublishError::Source { source, .. } => unsent::code(source),
        _ => Code::Failed,
    };
    let remedy = match ledger.map(Ledger::stop) {
        Some(Ok(true)) => {
            "\nthe same command with --resume goes on behind them; each line counts once".to_owned()
        }
        Some(Err(error)) => format!("\n{}", chain(&error)),
        _ => String::new(),
    };
    Failure::new(code, format!("{}{remedy}", chain(error)))
}

/// The app, for what its messages look like.
fn app_of(args: &PublishArgs, output: &Output) -> Result<tidefold_app::App, Failure> {
    folder::find(&args.schemas, &args.app, output).map_err(|failure| match failure.code {
        Code::NotFound => {
            let text = format!(
                "{}\nCSV and --synthetic need the app's folder: --schemas DIR names it, or the folder that it lies in (now {})",
                failure.text,
                args.schemas.display()
            );
            Failure::new(Code::NotFound, text)
        }
        _ => failure,
    })
}

/// What a file's name says its lines are, without endings of compression; standard input is NDJSON.
fn format_of(file: &Path) -> LineFormat {
    let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_ascii_lowercase();
    let name = name.strip_suffix(".zst").or(name.strip_suffix(".gz")).unwrap_or(&name);
    if name.ends_with(".csv") { LineFormat::Csv } else { LineFormat::Ndjson }
}

/// Columns are CSV's: with NDJSON they would be ignored in silence.
fn refuse_columns(args: &PublishArgs) -> Result<(), Failure> {
    let given = [
        ("--column", !args.columns.is_empty()),
        ("--separator", args.separator.is_some()),
        ("--lenient", args.lenient),
    ];
    let given: Vec<_> = given.iter().filter(|(_, is_given)| *is_given).map(|(flag, _)| *flag).collect();
    if given.is_empty() {
        let text = "--id works with --type or CSV: without them a line is an envelope, whose `id` is the id";
        return match args.message_type.is_none() && !args.id.is_empty() {
            true => Err(Failure::new(Code::Usage, text.to_owned())),
            false => Ok(()),
        };
    }
    let text =
        format!("{} works with CSV only; if the lines are CSV, give --format csv", given.join(" and "));
    Err(Failure::new(Code::Usage, text))
}

fn csv<'a>(
    app: &'a tidefold_app::App,
    args: &PublishArgs,
    file: &Path,
    run: &RunId,
) -> Result<Lines<'a>, Failure> {
    let Some((projection, place)) = args.message_type.as_deref().and_then(|name| app.message(name)) else {
        let known: Vec<_> = app.messages().map(|m| m.name.as_str()).collect();
        return Err(Failure::new(Code::Usage, unsent::no_type(args.message_type.as_deref(), &known)));
    };
    let mut mapping = Mapping { id: args.id.clone(), lenient: args.lenient, ..Mapping::default() };
    if let Some(separator) = &args.separator {
        mapping.separator = separator_of(separator)?;
    }
    for pair in &args.columns {
        let Some((field, column)) = pair.split_once('=') else {
            return Err(Failure::new(Code::Usage, format!("--column {pair}: write --column field=column")));
        };
        mapping.fields.push((field.to_owned(), column.to_owned()));
    }
    let message = &projection.topic.messages[place];
    // Nothing is sent from a file whose shape is wrong. What can be read once only is judged as it goes.
    if input::is_file(file) && !args.lenient {
        csv_source::check(input::open(file).map_err(unsent::source)?, file, message, &mapping)
            .map_err(unsent::source)?;
    }
    let input = input::open(file).map_err(unsent::source)?;
    let lines = csv_source::lines(input, file, message, &mapping, run).map_err(unsent::source)?;
    Ok(Box::new(lines))
}

/// One character, or `\t` for a tab.
fn separator_of(text: &str) -> Result<u8, Failure> {
    match text.as_bytes() {
        b"\\t" => Ok(b'\t'),
        [byte] if byte.is_ascii() && !matches!(byte, b'"' | b'\n' | b'\r') => Ok(*byte),
        _ => Err(Failure::new(
            Code::Usage,
            format!("--separator {text}: write one character, such as ';', or '\\t'"),
        )),
    }
}

/// How many lines a file has, so that progress has an end; what can be read once only has none.
fn count_lines(file: &Path) -> Result<Option<u64>, Failure> {
    if !input::is_file(file) {
        return Ok(None);
    }
    let mut reader = input::open(file).map_err(unsent::source)?;
    let mut count = 0;
    loop {
        let chunk = std::io::BufRead::fill_buf(&mut reader)
            .map_err(|source| unsent::source(SourceError::Read { path: file.to_owned(), source }))?;
        if chunk.is_empty() {
            return Ok(Some(count));
        }
        count += chunk.iter().filter(|byte| **byte == b'\n').count() as u64;
        let read = chunk.len();
        std::io::BufRead::consume(&mut reader, read);
    }
}

/// What there is to say of a run.
struct Said<'a> {
    report: &'a Report,
    judged: &'a Result<Judged, ClientError>,
    /// What the run had accepted when it was cut.
    before: u64,
    rate: f64,
}

fn print(said: &Said<'_>, file: &Path, output: &Output) {
    let Said { report, judged, before, rate } = *said;
    let progress = report.progress;
    let (uncounted, pending) = match judged {
        Ok(judged) => (json!(judged.uncounted), json!(judged.pending)),
        Err(_) => (Value::Null, Value::Null),
    };
    let first = judged.as_ref().map(|judged| judged.first.as_slice()).unwrap_or_default();
    let value = json!({
        "uncounted": uncounted, "pending": pending, "uncounted_lines": first,
        "accepted": progress.accepted, "accepted_before": before, "refused": progress.refused, "retries": progress.retries,
        "per_second": rate.round(), "refusals": report.refusals, "positions": report.positions,
    });
    output.print(&value, || {
        let mut text = format!(
            "{} accepted, {} refused, {} retries, {rate:.0} a second",
            progress.accepted, progress.refused, progress.retries
        );
        if before > 0 {
            text.push_str(&format!("; {before} were accepted before"));
        }
        for refusal in &report.refusals {
            text.push('\n');
            text.push_str(&refusal_text(refusal, file));
        }
        let unseen = progress.refused.saturating_sub(report.refusals.len() as u64);
        if unseen > 0 {
            text.push_str(&format!("\nand {unseen} more"));
        }
        text.push_str(&judged_text(judged, file));
        text
    });
}

/// What of the accepted lines did not count, and the first of them; nothing where all did.
fn judged_text(judged: &Result<Judged, ClientError>, file: &Path) -> String {
    let judged = match judged {
        Ok(judged) => judged,
        Err(error) => return format!("\nwhat became of them is not known: {}", chain(error)),
    };
    let mut text = String::new();
    if !judged.uncounted.is_empty() {
        let kinds = judged.uncounted.iter().map(|(outcome, count)| format!("{count} {outcome}"));
        let kinds: Vec<_> = kinds.collect();
        text.push_str(&format!("\naccepted but not counted: {}", kinds.join(", ")));
        for Uncounted { line, outcome, codes } in &judged.first {
            text.push_str(&format!("\n{}: {outcome} {}", place_of(*line, file), codes.join(", ")));
            text.truncate(text.trim_end().len());
        }
        let all: u64 = judged.uncounted.values().sum();
        let unseen = all.saturating_sub(judged.first.len() as u64);
        if unseen > 0 {
            text.push_str(&format!("\nand {unseen} more"));
        }
    }
    if judged.pending > 0 {
        text.push_str(&format!("\n{} are not folded yet; `tidefold status` tells why", judged.pending));
    }
    text
}

fn place_of(line: u64, file: &Path) -> String {
    match file.as_os_str() == "-" {
        true => format!("line {line}"),
        false => format!("{}:{line}", file.display()),
    }
}

/// `orders.ndjson:7: 400 field /total_cents: …`; further mistakes of the line below it, indented.
fn refusal_text(refusal: &Refusal, file: &Path) -> String {
    let place = place_of(refusal.line, file);
    let status = refusal.status.map(|status| format!(" {status}")).unwrap_or_default();
    let problem = refusal.problem.as_ref().unwrap_or(&Value::Null);
    let errors = problem["errors"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut mistakes: Vec<_> = errors.iter().map(mistake_text).collect();
    if mistakes.is_empty() {
        let said = problem["detail"].as_str().or(problem["title"].as_str()).unwrap_or("refused");
        mistakes.push(said.to_owned());
    }
    format!("{place}:{status} {}", mistakes.join("\n    "))
}

fn mistake_text(error: &Value) -> String {
    let detail = error["detail"].as_str().unwrap_or("refused");
    match error["pointer"].as_str().map(|pointer| pointer.trim_start_matches('#')) {
        Some(pointer) if !pointer.is_empty() => format!("field {pointer}: {detail}"),
        _ => detail.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_told_in_words() {
        let problem = json!({ "title": "t", "detail": "2 mistakes", "errors": [
            { "pointer": "#/total_cents", "detail": "found a string" }, { "detail": "`currency` is missing" }] });
        let refusal = Refusal { line: 7, status: Some(400), problem: Some(problem) };
        let text = refusal_text(&refusal, Path::new("-"));
        assert_eq!(text, "line 7: 400 field /total_cents: found a string\n    `currency` is missing");
        let unsent =
            Refusal { line: 3, status: None, problem: Some(json!({ "detail": "not a JSON object" })) };
        assert_eq!(refusal_text(&unsent, Path::new("o.ndjson")), "o.ndjson:3: not a JSON object");
    }

    #[test]
    fn the_name_of_a_file_says_what_its_lines_are() {
        for (name, format) in [
            ("-", LineFormat::Ndjson),
            ("a/orders.CSV", LineFormat::Csv),
            ("orders.csv.zst", LineFormat::Csv),
            ("orders.csv.gz", LineFormat::Csv),
            ("orders.ndjson.gz", LineFormat::Ndjson),
            ("orders.csv.ndjson", LineFormat::Ndjson),
        ] {
            assert_eq!(format_of(Path::new(name)), format, "{name}");
        }
    }
}
