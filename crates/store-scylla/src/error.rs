//! What the driver says, as what the caller should do about it.

use scylla::errors::{DbError, ExecutionError, NewSessionError, PrepareError, RequestAttemptError};
use tidefold_app::layout::TableId;
use tidefold_store::StoreError;

/// An error of a statement. `what` names the request.
pub(crate) fn executing(what: &str, error: &ExecutionError) -> StoreError {
    let for_good = match error {
        ExecutionError::BadQuery(_) | ExecutionError::UseKeyspaceError(_) => true,
        ExecutionError::LastAttemptError(attempt) => is_for_good(attempt),
        ExecutionError::PrepareError(error) => prepare_is_for_good(error),
        _ => false,
    };
    sorted(what, for_good, error.to_string())
}

pub(crate) fn preparing(what: &str, error: &PrepareError) -> StoreError {
    sorted(what, prepare_is_for_good(error), error.to_string())
}

pub(crate) fn connecting(error: &NewSessionError, points: &[String]) -> StoreError {
    let points = points.join(", ");
    StoreError::Unavailable {
        detail: format!(
            "none of {points} answers as a CQL server: {error}; is one of them up, and the login right?"
        ),
    }
}

/// A result that does not look like one of the statement.
pub(crate) fn answer(what: &str, error: &dyn std::fmt::Display) -> StoreError {
    StoreError::Unavailable { detail: format!("the answer to the request {what} cannot be read: {error}") }
}

pub(crate) fn refused(what: impl Into<String>, detail: impl Into<String>) -> StoreError {
    StoreError::Refused { what: what.into(), detail: detail.into() }
}

/// Bytes that are none of the table's.
pub(crate) fn misshapen(table: &TableId, key: &[u8]) -> StoreError {
    refused(
        format!("a row of table {table}"),
        format!(
            "key {} or its value does not fit the table's columns: was the table opened with the layout of another definition?",
            hex(key)
        ),
    )
}

/// The first bytes of a key for a message.
pub(crate) fn hex(key: &[u8]) -> String {
    let mut text: String = key.iter().take(64).map(|byte| format!("{byte:02x}")).collect();
    if key.len() > 64 {
        text.push('…');
    }
    format!("0x{text}")
}

fn sorted(what: &str, for_good: bool, detail: String) -> StoreError {
    match for_good {
        true => refused(what, detail),
        false => StoreError::Unavailable { detail: format!("{what}: {detail}") },
    }
}

fn prepare_is_for_good(error: &PrepareError) -> bool {
    matches!(error, PrepareError::AllAttemptsFailed { first_attempt } if is_for_good(first_attempt))
}

fn is_for_good(attempt: &RequestAttemptError) -> bool {
    match attempt {
        RequestAttemptError::SerializationError(_) | RequestAttemptError::CqlRequestSerialization(_) => true,
        RequestAttemptError::DbError(error, _) => matches!(
            error,
            DbError::SyntaxError
                | DbError::Invalid
                | DbError::AlreadyExists { .. }
                | DbError::FunctionFailure { .. }
                | DbError::AuthenticationError
                | DbError::Unauthorized
                | DbError::ConfigError
                | DbError::ProtocolError
        ),
        _ => false,
    }
}
