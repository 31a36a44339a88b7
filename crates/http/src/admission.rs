//! Which requests are let in at all: those that HTTP allows, and that no web page of a stranger sent.
//!
//! A browser sends "simple" requests of any page anywhere, without asking (Fetch standard, section 3.2), so an address
//! that only the own machine reaches is no protection from the pages that its user opens. A browser says where a request
//! comes from, in `Origin` and `Sec-Fetch-Site`; other clients send neither. A name that a stranger made lead to this
//! machine ("DNS rebinding") shows in `Host`, which is never an IP address then.

use std::net::{IpAddr, Ipv6Addr};

use axum::http::header::{HOST, ORIGIN, TRANSFER_ENCODING};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Request, Version};

use crate::catalog::ProblemKind;
use crate::present::{Asked, Present};
use crate::problem::Problem;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The header with which a request that changes something says who operates. No page can send it without being allowed
/// to (it is none of the headers that the Fetch standard lets through), and the audit line repeats it.
pub const OPERATOR: HeaderName = HeaderName::from_static("tidefold-operator");

/// What a server lets in.
#[derive(Clone, Debug, Default)]
pub struct Admission {
    /// Origins whose pages may ask: `https://shop.example`.
    pub origins: Vec<String>,
    /// Names that `Host` may have besides IP addresses and `localhost`; `None`: any.
    pub hosts: Option<Vec<String>>,
    /// Whether what changes something has to say who operates.
    pub operators: bool,
}

// === impl Admission ===

impl Admission {
    /// Judges a request by its head.
    ///
    /// # Errors
    /// 400 for what HTTP does not allow, 403 for another site's, 421 for another host's, 403 without an operator.
    pub(crate) fn judge<B>(&self, request: &Request<B>, present: Present) -> Result<(), Problem> {
        let headers = request.headers();
        let host = the_host(headers, request.version())?;
        if present.has(Asked::TransferEncoding) {
            codings(headers)?;
        }
        if present.has(Asked::Origin) || present.has(Asked::SecFetchSite) {
            self.judge_site(headers, host)?;
        }
        if let Some(names) = &self.hosts {
            let authority = request.uri().authority().map(|authority| authority.as_str());
            for named in host.into_iter().chain(authority) {
                known_host(named, names)?;
            }
        }
        // What the other port has changes nothing here: whoever asks for it is told where it is.
        let is_elsewhere = request.uri().path().starts_with("/v1");
        if self.operators && !request.method().is_safe() && !is_elsewhere {
            let named = headers.get(&OPERATOR).is_some_and(|name| !name.is_empty());
            if !named {
                let detail = "what changes something says who wants it: send `Tidefold-Operator: NAME`";
                return Err(Problem::new(ProblemKind::OperatorMissing, detail));
            }
        }
        Ok(())
    }

    fn judge_site(&self, headers: &HeaderMap, host: Option<&str>) -> Result<(), Problem> {
        let mut origins = headers.get_all(ORIGIN).iter().peekable();
        let mut sites = headers.get_all(&SEC_FETCH_SITE).iter();
        if origins.peek().is_none() && sites.all(|site| site != "cross-site") {
            return Ok(());
        }
        let sites_cross = headers.get_all(&SEC_FETCH_SITE).iter().any(|site| site == "cross-site");
        let texts: Vec<&str> = origins.map(|origin| origin.to_str().unwrap_or("?")).collect();
        let allowed = |origin: &&str| self.origins.iter().any(|known| known.eq_ignore_ascii_case(origin));
        let own = |origin: &&str| !sites_cross && host.is_some_and(|host| is_own(origin, host));
        match texts.as_slice() {
            [origin] if allowed(origin) || own(origin) => Ok(()),
            texts => {
                let from = texts.first().map_or("another site", |origin| *origin);
                let from: String = from.chars().take(200).collect();
                let detail = format!(
                    "this came from a page of {from}; pages that may ask are named in the setting listen.origins"
                );
                Err(Problem::new(ProblemKind::CrossSite, detail))
            }
        }
    }
}

/// RFC 9112, section 3.2: a request of HTTP/1.1 has one `Host`.
fn the_host(headers: &HeaderMap, version: Version) -> Result<Option<&str>, Problem> {
    let mut hosts = headers.get_all(HOST).iter();
    let refuse = |detail: &'static str| Err(Problem::new(ProblemKind::BadRequest, detail));
    match (hosts.next(), hosts.next()) {
        (None, _) if version < Version::HTTP_11 => Ok(None),
        (None, _) => refuse("a request of HTTP/1.1 has a Host header; this has none"),
        (Some(host), None) => match host.to_str() {
            Ok(host) if is_host(host) => Ok(Some(host)),
            _ => refuse("the Host header is not a host with, perhaps, a port"),
        },
        (Some(_), Some(_)) => refuse("the Host header stands more than once"),
    }
}

/// A host and, perhaps, a port: RFC 9110, section 7.2. It may be empty, as may the port.
fn is_host(text: &str) -> bool {
    let Some((name, port)) = name_and_port(text) else { return false };
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=%".contains(&byte);
    let named = match name.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']').is_some_and(|address| address.parse::<Ipv6Addr>().is_ok()),
        None => name.bytes().all(plain),
    };
    let digits = port.bytes().all(|byte| byte.is_ascii_digit());
    named && digits && (port.is_empty() || port.parse::<u16>().is_ok())
}

/// What stands before and behind the colon of the port, if there is one.
fn name_and_port(host: &str) -> Option<(&str, &str)> {
    let end_of_name = host.find(']').map_or(0, |end| end + 1);
    let (address, rest) = host.split_at_checked(end_of_name)?;
    match rest.find(':') {
        None => Some((host, "")),
        Some(_) if !address.is_empty() && !rest.starts_with(':') => None,
        Some(colon) => Some((host.get(..end_of_name + colon)?, rest.get(colon + 1..)?)),
    }
}

/// RFC 9112, section 6.1: `chunked` once and nothing else. Two lines or two codings are what smuggles requests past others.
fn codings(headers: &HeaderMap) -> Result<(), Problem> {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let (Some(first), second) = (codings.next(), codings.next()) else { return Ok(()) };
    let chunked = |value: &HeaderValue| value.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked");
    if second.is_none() && chunked(first) {
        return Ok(());
    }
    Err(Problem::new(ProblemKind::BadRequest, "Transfer-Encoding is `chunked`, once, and nothing else"))
}

/// Whether an origin is the server itself, as the caller names it.
fn is_own(origin: &str, host: &str) -> bool {
    let Some((scheme, authority)) = origin.split_once("://") else { return false };
    let standard = match scheme {
        "http" => ":80",
        "https" => ":443",
        _ => return false,
    };
    let cut = |text: &str| text.strip_suffix(standard).unwrap_or(text).to_ascii_lowercase();
    cut(authority) == cut(host)
}

fn known_host(host: &str, names: &[String]) -> Result<(), Problem> {
    let name = name_and_port(host).map_or("", |(name, _)| name);
    let name = name.strip_suffix('.').unwrap_or(name);
    let address = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().is_ok();
    // Names below it are pages' own wherever a browser or a resolver takes them for this machine (RFC 6761).
    let local = name.eq_ignore_ascii_case("localhost");
    let named =
        names.iter().any(|known| known.eq_ignore_ascii_case(name) || known.eq_ignore_ascii_case(host));
    if address || local || named {
        return Ok(());
    }
    let shown: String = host.chars().take(100).collect();
    let detail = format!(
        "this port is not known as `{shown}`: ask it by an IP address, or name the host in the setting listen.admin_hosts"
    );
    Err(Problem::new(ProblemKind::UnknownHost, detail))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(admission: &Admission, method: &str, headers: &[(&str, &str)]) -> u16 {
        let mut request = Request::builder().method(method).uri("/x");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(()).unwrap();
        let judged = admission.judge(&request, Present::among(request.headers()));
        judged.map_or_else(|problem| problem.status().as_u16(), |()| 200)
    }

    #[test]
    fn what_another_sites_page_sends_is_refused() {
        let open = Admission { origins: vec!["https://shop.example".into()], ..Admission::default() };
        let own = ("host", "127.0.0.1:8080");
        let table: &[(&[(&str, &str)], u16)] = &[
            (&[own], 200),
            (&[own, ("sec-fetch-site", "none")], 200),
            (&[own, ("sec-fetch-site", "same-origin"), ("origin", "http://127.0.0.1:8080")], 200),
            (&[own, ("origin", "http://127.0.0.1:8080")], 200),
            (&[("host", "api.example"), ("origin", "https://api.example")], 200),
            (&[("host", "api.example:443"), ("origin", "https://API.example")], 200),
            (&[own, ("origin", "https://shop.example"), ("sec-fetch-site", "cross-site")], 200),
            (&[own, ("sec-fetch-site", "cross-site")], 403),
            (&[own, ("sec-fetch-site", "cross-site"), ("origin", "http://127.0.0.1:8080")], 403),
            (&[own, ("origin", "http://127.0.0.1:3000")], 403),
            (&[own, ("origin", "http://evil.example")], 403),
            (&[own, ("origin", "null")], 403),
            (&[own, ("origin", "file://")], 403),
            (&[own, ("origin", "https://shop.example"), ("origin", "http://evil.example")], 403),
            (&[own, ("origin", "https://shop.example.evil.example")], 403),
        ];
        for (headers, status) in table {
            for method in ["GET", "POST", "DELETE"] {
                assert_eq!(judge(&open, method, headers), *status, "{method} {headers:?}");
            }
        }
    }

    #[test]
    fn a_host_is_an_address_or_a_name_that_is_known() {
        let names = Admission { hosts: Some(vec!["node-1.internal".into()]), ..Admission::default() };
        for host in [
            "127.0.0.1:8081",
            "10.1.2.3",
            "[::1]:8081",
            "localhost",
            "LOCALHOST:8081",
            "localhost.",
            "localhost:65535",
            "127.0.0.1:",
            "[::ffff:127.0.0.1]",
            "node-1.internal:8081",
            "NODE-1.internal.",
        ] {
            assert_eq!(judge(&names, "GET", &[("host", host)]), 200, "{host}");
        }
        for host in [
            "evil.example",
            "evil.example:8081",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "internal",
            "a.localhost",
            "evil.localhost:80",
            "evillocalhost",
            "localhost..",
            ".localhost",
            "node-1.internal.evil.example",
            "a.node-1.internal",
            "127.1",
            "2130706433",
            "",
        ] {
            assert_eq!(judge(&names, "GET", &[("host", host)]), 421, "{host}");
            assert_eq!(
                judge(&Admission::default(), "GET", &[("host", host)]),
                200,
                "{host} at the public port"
            );
        }
    }

    #[test]
    fn what_is_no_host_with_a_port_is_refused_at_every_port() {
        for host in [
            "localhost:abc",
            "127.0.0.1:99999",
            "127.0.0.1:65536",
            "127.0.0.1:-1",
            "127.0.0.1:+80",
            "127.0.0.1: 80",
            "127.0.0.1:80:80",
            "::1",
            "[::1",
            "::1]",
            "[]",
            "[localhost]",
            "[127.0.0.1]",
            "[::1]80",
            "[::1]:x",
            "a[::1]",
            "ann@127.0.0.1",
            "a, b",
        ] {
            for hosts in [None, Some(vec!["node-1.internal".into()])] {
                let admission = Admission { hosts, ..Admission::default() };
                assert_eq!(judge(&admission, "GET", &[("host", host)]), 400, "{host}");
            }
        }
    }

    #[test]
    fn what_changes_something_says_who_operates() {
        let admin = Admission { operators: true, ..Admission::default() };
        let host = ("host", "127.0.0.1");
        assert_eq!(judge(&admin, "GET", &[host]), 200);
        for method in ["POST", "PUT", "DELETE", "PATCH"] {
            assert_eq!(judge(&admin, method, &[host]), 403, "{method}");
            assert_eq!(judge(&admin, method, &[host, ("tidefold-operator", "")]), 403, "{method}");
            assert_eq!(judge(&admin, method, &[host, ("tidefold-operator", "ann")]), 200, "{method}");
        }
        let publish = Request::post("/v1/shop").header("host", "127.0.0.1").body(()).unwrap();
        assert!(admin.judge(&publish, Present::among(publish.headers())).is_ok());
    }

    #[test]
    fn host_and_codings_stand_once() {
        let any = Admission::default();
        assert_eq!(judge(&any, "GET", &[]), 400);
        assert_eq!(judge(&any, "GET", &[("host", "a"), ("host", "a")]), 400);
        assert_eq!(judge(&any, "GET", &[("host", "a b")]), 400);
        assert_eq!(judge(&any, "GET", &[("host", "a/b")]), 400);
        let coding = |values: &[&str]| {
            let mut headers = vec![("host", "a")];
            headers.extend(values.iter().map(|value| ("transfer-encoding", *value)));
            judge(&any, "POST", &headers)
        };
        assert_eq!(coding(&["chunked"]), 200);
        assert_eq!(coding(&["Chunked"]), 200);
        for wrong in
            [&["chunked", "chunked"][..], &["chunked, chunked"], &["gzip, chunked"], &["identity", "chunked"]]
        {
            assert_eq!(coding(wrong), 400, "{wrong:?}");
        }
    }
}
