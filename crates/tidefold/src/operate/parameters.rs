//! The parameters of an operator's request.

use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use tidefold_http::{Problem, ProblemKind};

/// The parameters of a request; one that is unknown or cannot be read is a mistake, not left out.
pub(super) struct Parameters<T>(pub(super) T);

// === impl Parameters ===

impl<T: serde::de::DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Parameters<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Parameters<T>, Problem> {
        match Query::<T>::try_from_uri(&parts.uri) {
            Ok(Query(parameters)) => Ok(Parameters(parameters)),
            Err(error) => {
                let cause =
                    std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
                Err(Problem::new(
                    ProblemKind::InvalidRequest,
                    format!("the parameters cannot be read: {cause}"),
                ))
            }
        }
    }
}
