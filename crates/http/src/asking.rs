//! What a request says besides what it asks for: who sent it, what it would like, what it is conditional on. The server
//! reads it once, before it looks for a route, and hands it on; a caller that may not ask is refused there.

use std::net::SocketAddr;

use axum::extract::FromRequestParts;
use axum::http::HeaderMap;
use axum::http::request::Parts;

use crate::callers::Caller;
use crate::entity_tag::Conditions;
use crate::preference::Preferences;
use crate::present::{Asked, Present};
use crate::principal::Principal;
use crate::problem::Problem;

/// Who asks, and how.
#[derive(Clone, Debug)]
pub struct Asking {
    /// Who sent it, as a holder of what belongs to all.
    pub caller: Caller,
    /// Where it came from, if a server took it in.
    pub peer: Option<SocketAddr>,
    /// Who sent it, by what was shown for it.
    pub principal: Principal,
    /// `Prefer`.
    pub preferences: Preferences,
    /// `If-Match` and `If-None-Match`.
    pub conditions: Conditions,
}

// === impl Asking ===

impl Asking {
    /// Reads a request's headers.
    ///
    /// # Errors
    /// The refusal of a caller.
    pub(crate) fn of(
        headers: &HeaderMap,
        present: Present,
        caller: Caller,
        peer: Option<SocketAddr>,
    ) -> Result<Asking, Problem> {
        let is_conditional = present.has(Asked::IfMatch) || present.has(Asked::IfNoneMatch);
        Ok(Asking {
            caller,
            peer,
            principal: Principal::of(headers)?,
            preferences: if present.has(Asked::Prefer) {
                Preferences::of(headers)
            } else {
                Preferences::default()
            },
            conditions: if is_conditional { Conditions::of(headers) } else { Conditions::default() },
        })
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Asking {
    type Rejection = Problem;

    /// What the server read; read now, of a caller of whom nothing is known, where none took the request in.
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Asking, Problem> {
        match parts.extensions.get::<Asking>() {
            Some(asking) => Ok(asking.clone()),
            None => Asking::of(&parts.headers, Present::among(&parts.headers), Caller::unknown(), None),
        }
    }
}
