//! Who calls. There are no credentials yet: everybody is `anonymous`. Routes take a [`Principal`] all the same, so that
//! API keys are one change here.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

/// Who calls.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Principal(std::borrow::Cow<'static, str>);

// === impl Principal ===

impl Principal {
    /// A caller without credentials.
    pub const ANONYMOUS: Principal = Principal(std::borrow::Cow::Borrowed("anonymous"));

    /// The name, as it stands in `ce_source` and `caller()`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Principal {
    type Rejection = Infallible;

    async fn from_request_parts(_: &mut Parts, _: &S) -> Result<Principal, Infallible> {
        Ok(Principal::ANONYMOUS)
    }
}
