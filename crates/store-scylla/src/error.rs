//! What the driver says, as what the caller should do about it.

use scylla::errors::{
    ConnectionError, ConnectionPoolError, ConnectionSetupRequestErrorKind, DbError, ExecutionError,
    MetadataError, NewSessionError, PrepareError, RequestAttemptError,
};
use tidefold_codec::text;
use tidefold_store::StoreError;
use tidefold_table::TableId;

use crate::settings::Settings;

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

/// An error of connecting. A server that knows us and turns us away will do so again; any other may be up later.
/// `fault` is what we have against its certificate.
pub(crate) fn connecting(
    error: &NewSessionError,
    settings: &Settings,
    fault: Option<&'static str>,
) -> StoreError {
    let points = settings.contact_points.join(", ");
    let advice = match connection(error).and_then(|error| turned_away(error, fault)) {
        Some(advice) => advice,
        None => {
            let encrypted =
                if settings.tls.is_some() { "speak TLS (store.tls)" } else { "speak without TLS" };
            return StoreError::Unavailable {
                detail: format!(
                    "none of {points} answers as a CQL server: {error}; is one of them up, and does it {encrypted}?"
                ),
            };
        }
    };
    let fault = fault.map(|fault| format!(" ({fault})")).unwrap_or_default();
    refused(format!("to connect to {points}"), format!("{error}{fault}; {advice}"))
}

fn connection(error: &NewSessionError) -> Option<&ConnectionError> {
    match error {
        NewSessionError::MetadataError(MetadataError::ConnectionPoolError(ConnectionPoolError::Broken {
            last_connection_error,
        })) => Some(last_connection_error),
        _ => None,
    }
}

/// Which setting to look at where the server, or our own look at its certificate, says no.
fn turned_away(error: &ConnectionError, fault: Option<&str>) -> Option<&'static str> {
    if let ConnectionError::ConnectionSetupRequestError(error) = error {
        match &error.error {
            // A cluster that cannot look up logins just now answers with the same error.
            ConnectionSetupRequestErrorKind::DbError(DbError::AuthenticationError, said)
                if !said.contains("Unable to perform authentication") =>
            {
                return Some("look at store.user and store.password");
            }
            ConnectionSetupRequestErrorKind::MissingAuthentication => {
                return Some("set store.user and store.password");
            }
            _ => {}
        }
    }
    // What OpenSSL says comes wrapped several times over; its words are those of the standard's alerts.
    let mut said = format!("{} {error}", fault.unwrap_or_default());
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        said.push_str(&cause.to_string());
        source = cause.source();
    }
    const ADVICE: &[(&str, &str)] = &[
        ("IP address mismatch", "the certificate has to name the node's address: see store.tls_address"),
        ("certificate verify failed", "store.tls_ca has to hold the authority of the nodes' certificates"),
        ("wrong version number", "the server speaks without TLS: see store.tls"),
        ("alert certificate required", "the server asks for store.tls_certificate and store.tls_key"),
        ("alert bad certificate", "the server does not take store.tls_certificate"),
        ("alert unknown ca", "the server does not know the authority of store.tls_certificate"),
    ];
    ADVICE.iter().find(|(word, _)| said.contains(word)).map(|(_, advice)| *advice)
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
    match key.get(..64).filter(|first| first.len() < key.len()) {
        Some(first) => format!("0x{}…", text::hex(first)),
        None => format!("0x{}", text::hex(key)),
    }
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
