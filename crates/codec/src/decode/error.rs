//! What can be wrong: with two schemas, and with a datum.

/// Why two schemas have no plan.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{}: {detail}", path.join("."))]
pub struct PlanError {
    /// Field names from the outside in.
    pub path: Vec<String>,
    /// What does not fit.
    pub detail: String,
}

/// Why a datum could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The datum breaks off.
    #[error("the datum ends early, at byte {at}")]
    Truncated {
        /// Byte in the datum.
        at: usize,
    },
    /// Bytes follow the datum.
    #[error("{0} bytes follow the datum")]
    Trailing(usize),
    /// A number, length, branch, symbol, UTF-8 text or float (NaN, infinite) that the type does not allow.
    #[error("the datum is malformed at byte {at}: {what}")]
    Malformed {
        /// Byte in the datum.
        at: usize,
        /// Which rule it breaks.
        what: &'static str,
    },
}
