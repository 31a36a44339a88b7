//! `tidefold check`: is an app right, what is in it, do its scenarios hold?

use std::path::Path;
use std::process::ExitCode;

use serde_json::json;
use tidefold_app::scenario::Scenario;
use tidefold_app::{App, Diagnostics, SourceFile, Style};

use crate::cli::{CheckArgs, Format};
use crate::failure::{Code, Failure};
use crate::folder;
use crate::output::Output;
use crate::scenario;

pub(super) fn check(args: &CheckArgs, output: &Output) -> Result<ExitCode, Failure> {
    let (sources, tests) = folder::read(&args.folder, true)?;
    let app = match tidefold_app::load(sources) {
        Ok(app) => app,
        Err(wrong) => return Err(mistakes(&wrong, &args.folder, output)),
    };
    let scenarios = tidefold_app::scenario::parse(&tests, &app)
        .map_err(|wrong| mistakes(&wrong, &args.folder, output))?;
    let summary = tidefold_app::summary::summary(&app);
    warn(&app, output);
    if !args.scenarios {
        let mut value = serde_json::to_value(&summary)?;
        value["warnings"] = serde_json::to_value(app.warnings.to_json())?;
        output.print(&value, || summary.to_string());
        return Ok(ExitCode::SUCCESS);
    }
    Ok(run(app, &scenarios, &tests, args, output))
}

/// Says what is right and probably meant otherwise. For programs it stands in the result.
fn warn(app: &App, output: &Output) {
    if output.format() == Format::Table && !app.warnings.list.is_empty() {
        let style = if output.colors() { Style::Colored } else { Style::Plain };
        output.say(app.warnings.render(style).trim_end());
    }
}

fn mistakes(wrong: &Diagnostics, folder: &Path, output: &Output) -> Failure {
    if output.format() != Format::Table
        && let Ok(list) = serde_json::to_value(wrong.to_json())
    {
        output.print(&list, String::new);
        let text = format!("{}: {}", folder.display(), wrong.count());
        return Failure::new(Code::Failed, text);
    }
    folder::refuse(wrong, folder, output)
}

fn run(
    app: App,
    scenarios: &[Scenario],
    files: &[SourceFile],
    args: &CheckArgs,
    output: &Output,
) -> ExitCode {
    let app = std::sync::Arc::new(app);
    let results: Vec<_> = scenarios.iter().map(|one| (one, scenario::run(&app, one))).collect();
    let failed = results.iter().filter(|(_, wrong)| !wrong.is_empty()).count();
    let items: Vec<_> = results
        .iter()
        .map(|(one, wrong)| json!({ "scenario": one.name, "file": one.file, "line": line_of(one, files), "holds": wrong.is_empty(), "wrong": wrong }))
        .collect();
    output.print(&items.into(), || {
        let mut text = String::new();
        for (one, wrong) in &results {
            let mark = if wrong.is_empty() { "ok  " } else { "FAIL" };
            text.push_str(&format!("{mark} {} ({}:{})\n", one.name, one.file, line_of(one, files)));
            for line in wrong {
                text.push_str(&format!("       {line}\n"));
            }
        }
        text + &format!(
            "{}: {} scenarios hold, {failed} do not",
            args.folder.display(),
            results.len() - failed
        )
    });
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The line of its file that a scenario's name stands in.
fn line_of(scenario: &Scenario, files: &[SourceFile]) -> usize {
    let text = files.iter().find(|file| file.path == scenario.file).map_or("", |file| &file.text);
    text.bytes().take(scenario.span.start).filter(|byte| *byte == b'\n').count() + 1
}
