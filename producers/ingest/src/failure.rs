//! What a message that did not get into the log is answered with.

use tidefold_codec::json_in::Violation;
use tidefold_http::{FieldError, Problem, ProblemKind};
use tidefold_log::LogError;
use tidefold_telemetry::IngestMetrics;

use crate::catalog::MessageEntry;

/// Why a message is not, or perhaps not, in the log.
#[derive(Clone, Debug)]
pub(crate) enum Failure {
    /// The log said so.
    Log(LogError),
    /// An earlier message of the stream for the same partition failed, so this one was not tried: it would have
    /// overtaken it.
    OrderKept,
}

// === impl Failure ===

impl Failure {
    /// The answer; `id` is what to send the message again with.
    pub(crate) fn problem(&self, id: &str) -> Problem {
        let error = match self {
            Failure::Log(error) => error,
            Failure::OrderKept => {
                let detail = "an earlier message of this request for the same partition was not appended; this one \
                              was held back to keep their order. Send both again";
                return Problem::new(ProblemKind::LogUnavailable, detail).with_usual_retry();
            }
        };
        match error {
            LogError::Full { retry_after } => {
                Problem::of_error(error.name(), error.to_string()).with_retry_after(*retry_after)
            }
            LogError::Unknown { .. } => {
                let detail = format!("{error}; send the message again with the id {id}: it counts once");
                Problem::of_error(error.name(), detail).with_member("id", id)
            }
            LogError::TooLarge { size_bytes, limit_bytes, .. } => {
                let detail =
                    format!("the encoded message has {size_bytes} bytes; the log takes {limit_bytes}");
                Problem::of_error(error.name(), detail)
                    .with_member("limit_bytes", *limit_bytes)
                    .with_member("actual_bytes", *size_bytes)
            }
            LogError::Unavailable { .. }
            | LogError::NoSuchPartition { .. }
            | LogError::Mismatch { .. }
            | LogError::OutOfRange { .. }
            | LogError::Damaged { .. } => Problem::of_error(error.name(), error.to_string()),
        }
    }

    pub(crate) fn count(&self, metrics: &IngestMetrics) {
        let counter = match self {
            Failure::OrderKept => &metrics.unavailable,
            Failure::Log(LogError::Full { .. }) => &metrics.full,
            Failure::Log(LogError::Unknown { .. }) => &metrics.unknown,
            Failure::Log(LogError::TooLarge { .. }) => &metrics.too_large,
            Failure::Log(_) => &metrics.unavailable,
        };
        counter.inc();
    }

    /// Whether the record itself is at fault, so that those behind it may go on.
    pub(crate) fn is_the_records_own(&self) -> bool {
        matches!(self, Failure::Log(LogError::TooLarge { .. }))
    }
}

/// The mistakes an encoder found, as they stand in an answer. `inside` is where the message stands in the body: nothing,
/// or `/data`.
pub(crate) fn field_errors(violations: Vec<Violation>, inside: &str) -> impl Iterator<Item = FieldError> {
    violations.into_iter().map(move |violation| {
        let pointer = match violation.pointer.strip_prefix('#') {
            Some(rest) => format!("#{inside}{rest}"),
            None => format!("#{inside}{}", violation.pointer),
        };
        FieldError::at(pointer, violation.code, violation.detail)
    })
}

/// Adds what to send instead, where the text as a whole was no JSON object.
pub(crate) fn advise(errors: &mut [FieldError], remedy: impl FnOnce() -> Option<String>) {
    let whole = |error: &&mut FieldError| {
        error.code == "invalid_json" || (error.code == "wrong_type" && error.pointer.as_deref() == Some("#"))
    };
    if let Some(error) = errors.iter_mut().find(whole)
        && let Some(remedy) = remedy()
    {
        error.detail.push_str("; ");
        error.detail.push_str(&remedy);
    }
}

/// The answer to a message that does not fit its schema.
pub(crate) fn invalid_message(message: &MessageEntry, errors: Vec<FieldError>) -> Problem {
    let detail = match errors.as_slice() {
        [only] => format!("{}: {}", only.pointer.as_deref().unwrap_or("#"), only.detail),
        many => format!("{} mistakes in this {}", many.len(), message.name),
    };
    Problem::new(ProblemKind::InvalidMessage, detail).with_errors(errors)
}

/// The answer to a line or event around whose message, and perhaps in it, something is wrong.
pub(crate) fn invalid_envelope(errors: Vec<FieldError>) -> Problem {
    let detail = match errors.as_slice() {
        [only] => format!("{}: {}", only.pointer.as_deref().unwrap_or("#"), only.detail),
        many => format!("{} mistakes around this message and in it", many.len()),
    };
    Problem::new(ProblemKind::InvalidEnvelope, detail).with_errors(errors)
}

#[cfg(test)]
mod tests {
    use tidefold_record::TopicName;

    use super::*;

    #[test]
    fn another_topic_under_the_name_says_what_to_do() {
        let topic = TopicName::new("shop.orders");
        let detail = "it was deleted and created again; rebuild".to_owned();
        let problem = Failure::Log(LogError::Mismatch { topic, detail }).problem("k");
        assert_eq!((problem.kind(), problem.status().as_u16()), (ProblemKind::LogChanged, 503));
        assert!(problem.detail().contains("rebuild"), "{}", problem.detail());
    }
}
