//! Names of the app that are used where they mean nothing: a guard that names another entity, a view that names a table it
//! does not read. The SQL checker knows the names of its own place only; here the others are told for what they are.

use super::report::Report;
use super::spec::Spec;

/// What SQL says of a name that it does not know.
const UNKNOWN: &str = "unknown-name";

/// Says of every unknown name that is one of the app's what it is.
pub(super) fn explain(spec: &Spec, text: &str, report: &mut Report) {
    for diagnostic in
        report.list.iter_mut().filter(|found| found.rule == UNKNOWN && found.file == crate::source::APP_FILE)
    {
        let written = text.get(diagnostic.span.clone()).unwrap_or_default();
        let name = written.trim_matches(['"', '\\']);
        let Some(kind) = kind(spec, name) else { continue };
        let Some((_, rest)) = diagnostic.message.split_once(" here: ") else { continue };
        diagnostic.message = format!("`{name}` is {kind}: {rest}");
    }
}

/// What a name stands for in the app.
pub(super) fn kind(spec: &Spec, name: &str) -> Option<&'static str> {
    let topics = || spec.topics.iter();
    let is = |found: bool, kind: &'static str| found.then_some(kind);
    is(spec.entities.iter().any(|entity| entity.name.value == name), "an entity")
        .or_else(|| is(spec.views.iter().any(|view| view.name.value == name), "a view"))
        .or_else(|| {
            is(topics().any(|topic| topic.commands.iter().any(|message| message.value == name)), "a command")
        })
        .or_else(|| {
            is(topics().any(|topic| topic.events.iter().any(|message| message.value == name)), "an event")
        })
        .or_else(|| is(topics().any(|topic| topic.name.value == name), "a topic"))
}
