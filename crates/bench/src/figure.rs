//! A figure, and what taking it ends in.

use std::error::Error;
use std::fmt;
use std::io::Write;
use std::process::ExitCode;

/// The exit code where nobody reads standard output any more, as a shell has it for what SIGPIPE ended.
const UNREAD: u8 = 141;

/// Why a figure could not be taken.
pub(crate) type Failed = Box<dyn Error + Send + Sync>;

/// How taking figures ended.
pub(crate) type Outcome = Result<(), Failed>;

/// Standard output takes no more, so that no figure is worth taking.
#[derive(Debug)]
pub(crate) struct Unwritten(std::io::Error);

impl fmt::Display for Unwritten {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "standard output cannot be written to: {}", self.0)
    }
}

impl Error for Unwritten {}

/// One line on standard output.
pub(crate) fn say(line: &str) -> Result<(), Unwritten> {
    writeln!(std::io::stdout().lock(), "{line}").map_err(Unwritten)
}

/// One figure on standard output: what, its value, and the target it is held against.
pub(crate) fn figure(name: &str, value: String, target: &str) -> Result<(), Unwritten> {
    say(&format!("{name:<44} {value:>26}   {target}"))
}

/// The exit code of an outcome. Who reads no further, such as `head`, has what it wanted: nothing is said of that.
pub(crate) fn ended(outcome: Outcome) -> ExitCode {
    let Err(error) = outcome else { return ExitCode::SUCCESS };
    let unwritten = error.downcast_ref::<Unwritten>();
    if unwritten.is_some_and(|lost| lost.0.kind() == std::io::ErrorKind::BrokenPipe) {
        return ExitCode::from(UNREAD);
    }
    let _ = writeln!(std::io::stderr().lock(), "error: {error}");
    ExitCode::FAILURE
}

/// The middle one of three.
pub(crate) fn median(mut values: [f64; 3]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[1]
}
