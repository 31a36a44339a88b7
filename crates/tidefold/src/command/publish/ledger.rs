//! Which ledger a run goes by, and what is to be done where there is one already.

use std::path::{Path, PathBuf};

use serde_json::json;
use tidefold_publisher::{Ledger, LedgerError, Pin, SourceError, Subject, input};

use crate::cli::{LineFormat, PublishArgs};
use crate::failure::{Code, Failure, chain};
use crate::output::Output;

use super::unsent;

/// The ledger of this run. None for made-up messages and where fields make the ids, which may be sent again as they are; and
/// none for standard input unless one is asked for.
pub(super) fn open(
    args: &PublishArgs,
    file: &Path,
    format: LineFormat,
    output: &Output,
) -> Result<Option<Ledger>, Failure> {
    if args.synthetic.is_none()
        && file.as_os_str() != "-"
        && let Err(source) = std::fs::metadata(file)
    {
        return Err(unsent::source(SourceError::Read { path: file.to_owned(), source }));
    }
    let Some(path) = path(args, file) else {
        if args.resume || args.again {
            let text = "what is read from a pipe has a ledger only with --ledger FILE; give the run's";
            return Err(Failure::new(Code::Usage, text.to_owned()));
        }
        return Ok(None);
    };
    let subject = Subject {
        app: args.app.clone(),
        reads: reads(args, format),
        input: if input::is_file(file) { Some(Pin::of(file)?) } else { None },
    };
    let opened = match args.resume {
        true => Ledger::resume(&path, &subject),
        false => Ledger::begin(&path, subject, args.again),
    };
    match opened {
        Ok(ledger) => Ok(Some(ledger)),
        Err(LedgerError::Io { source, .. }) if args.ledger.is_none() && !args.resume && !args.again => {
            output.say(&format!(
                "{} cannot be written ({source}), so a run that is cut cannot be gone on with; --ledger FILE keeps the ledger elsewhere",
                path.display()
            ));
            Ok(None)
        }
        Err(error) => Err(refusal(&error, file)),
    }
}

/// Where the ledger of a run is, if it has one.
pub(super) fn path(args: &PublishArgs, file: &Path) -> Option<PathBuf> {
    if args.synthetic.is_some() || !args.id.is_empty() {
        return None;
    }
    args.ledger.clone().or_else(|| input::is_file(file).then(|| Ledger::beside(file)))
}

/// What decides which message a line is.
fn reads(args: &PublishArgs, format: LineFormat) -> String {
    let format = match format {
        LineFormat::Ndjson => "ndjson",
        LineFormat::Csv => "csv",
    };
    json!([format, args.message_type, args.columns, args.separator, args.lenient]).to_string()
}

/// Why nothing is sent, and what there is to choose from.
pub(super) fn refusal(error: &LedgerError, file: &Path) -> Failure {
    let again = "--again sends every line as a new message: those that were accepted count once more";
    if let LedgerError::Other { path, what: "flags", was, is } = error {
        let told = unsent::differences(was, is);
        let text = format!(
            "{}: the run was begun with other flags: {told}\nnothing was sent: give the flags that the run was begun with; or {again}",
            path.display()
        );
        return Failure::new(Code::Usage, text);
    }
    let (code, remedy) = match error {
        LedgerError::Unfinished { standing, .. } if standing.ended => {
            let refused = standing.refused.len();
            let first = standing.refused.first().copied().unwrap_or_default();
            let text = format!(
                "it accepted {} lines of {} and had {refused} refused, the first on line {first}\n\
                 --resume sends those that were refused, once they are mended where they stand, and what is new behind the end\n{again}",
                standing.accepted,
                file.display()
            );
            (Code::Usage, text)
        }
        LedgerError::Unfinished { standing, .. } => {
            let text = format!(
                "it was cut behind line {} of {}\n--resume goes on from there; each line counts once\n{again}",
                standing.done,
                file.display()
            );
            (Code::Usage, text)
        }
        LedgerError::Missing(_) => {
            (Code::NotFound, "without --resume every line is sent as a new message".to_owned())
        }
        LedgerError::Changed { line, .. } => {
            let text = format!(
                "put line {line} of {} back as and where it was, and mend refused lines where they stand (a blank line gives \
                 one up); new lines go behind the end; then --resume\nor {again}",
                file.display()
            );
            (Code::Usage, text)
        }
        LedgerError::Older(_) => {
            (Code::Usage, format!("finish the run with the version that began it; or {again}"))
        }
        LedgerError::Other { .. } => {
            (Code::Usage, format!("put back what the run was begun with; or {again}"))
        }
        LedgerError::Busy(_) => (Code::Conflict, "wait for it to end".to_owned()),
        LedgerError::Foreign(_) => (Code::Usage, "name another file with --ledger".to_owned()),
        LedgerError::Io { .. } => (Code::Failed, "--ledger FILE keeps the ledger elsewhere".to_owned()),
    };
    Failure::new(code, format!("{}\nnothing was sent: {remedy}", chain(error)))
}
