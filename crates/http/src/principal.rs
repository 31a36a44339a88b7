//! Who calls, by what was shown for it. There are no credentials yet: everybody is `anonymous`. All that depends on who
//! calls asks a [`Principal`] all the same, so that keys and tokens are one change here.
//!
//! Each caller has a source of its own in each app, `/v1/{app}/{caller}`: with a message's id and key, what makes it the
//! same message as another. Whoever could name another's could make that one's messages duplicates of its own, so nobody can.
//! Sources elsewhere belong to nobody here, and everybody may name them.

use axum::http::HeaderMap;

use crate::catalog::ProblemKind;
use crate::problem::Problem;

/// Who calls. A name has no `/`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Principal(std::borrow::Cow<'static, str>);

// === impl Principal ===

impl Principal {
    /// A caller without credentials.
    pub const ANONYMOUS: Principal = Principal(std::borrow::Cow::Borrowed("anonymous"));

    /// Who sent a request, by its headers.
    ///
    /// # Errors
    /// A refusal: of credentials that are none, or of a caller that may not call. Nobody is refused yet.
    pub(crate) fn of(_: &HeaderMap) -> Result<Principal, Problem> {
        Ok(Principal::ANONYMOUS)
    }

    /// The name, as it stands in `ce_source` and `caller()`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The source of its messages in an app, where they name none.
    #[must_use]
    pub fn source(&self, app: &str) -> String {
        format!("/v1/{app}/{}", self.as_str())
    }

    /// Whether its messages may name this source: its own, anything below that, and whatever is no caller's.
    ///
    /// # Errors
    /// 403 for another caller's.
    pub fn may_speak_as(&self, app: &str, source: &str) -> Result<(), Problem> {
        let of_app = source.strip_prefix("/v1/").and_then(|rest| rest.strip_prefix(app));
        let Some(named) = of_app.and_then(|rest| rest.strip_prefix('/')) else { return Ok(()) };
        let rest = named.strip_prefix(self.as_str());
        if rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/')) {
            return Ok(());
        }
        let shown: String = source.chars().take(200).collect();
        let detail = format!(
            "the source `{shown}` is another caller's; name your own, `{}`, or leave the source out",
            self.source(app)
        );
        Err(Problem::new(ProblemKind::Forbidden, detail))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_speaks_for_itself_and_for_nobody_else() {
        let ann = Principal("ann".into());
        for own in
            ["/v1/shop/ann", "/v1/shop/ann/till-7", "/till/7", "https://a.example/v1/shop/bob", "/v1/shop"]
        {
            assert!(ann.may_speak_as("shop", own).is_ok(), "{own}");
        }
        assert!(ann.may_speak_as("shop", "/v1/shopping/bob").is_ok());
        for other in
            ["/v1/shop/bob", "/v1/shop/anna", "/v1/shop/an", "/v1/shop/", "/v1/shop//ann", "/v1/shop/bob/ann"]
        {
            let refused = ann.may_speak_as("shop", other).unwrap_err();
            assert_eq!(refused.status().as_u16(), 403, "{other}");
            assert!(refused.detail().contains("/v1/shop/ann"), "{}", refused.detail());
        }
        assert!(Principal::ANONYMOUS.may_speak_as("shop", "/v1/shop/anonymous").is_ok());
    }
}
