//! Asks a running node's operators' API.

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Method;
use hyper::header::{HeaderValue, USER_AGENT};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use tidefold_http::OPERATOR;

use crate::failure::{Code, Failure, chain};

/// A node's operators' API.
pub(super) struct Admin {
    url: String,
    http: Client<HttpConnector, Full<Bytes>>,
}

impl Admin {
    pub(super) fn new(url: &str) -> Admin {
        let http = Client::builder(TokioExecutor::new()).build(HttpConnector::new());
        Admin { url: url.trim_end_matches('/').to_owned(), http }
    }

    /// The path of the node's app, for commands that name none.
    pub(super) async fn app(&self) -> Result<String, Failure> {
        let listed = self.get("/admin/v1").await?;
        let path = listed["apps"][0]["href"].as_str().map(str::to_owned);
        path.ok_or_else(|| Failure::new(Code::Failed, format!("{} serves no app", self.url)))
    }

    /// A JSON answer.
    pub(super) async fn get(&self, path: &str) -> Result<Value, Failure> {
        let mut last = Value::Null;
        self.lines(Method::GET, path, |value| last = value).await?;
        Ok(last)
    }

    /// A JSON answer to a POST.
    pub(super) async fn post(&self, path: &str) -> Result<Value, Failure> {
        let mut last = Value::Null;
        self.lines(Method::POST, path, |value| last = value).await?;
        Ok(last)
    }

    /// An answer of JSON lines, each passed on as it comes.
    pub(super) async fn lines(
        &self,
        method: Method,
        path: &str,
        mut seen: impl FnMut(Value),
    ) -> Result<(), Failure> {
        let uri = format!("{}{path}", self.url);
        let unreachable = |detail: String| {
            let text = format!(
                "{} does not answer\n  because: {detail}\nis a node running? start one with `tidefold up`, or name it with --node",
                self.url
            );
            Failure::new(Code::Failed, text)
        };
        let request = hyper::Request::builder()
            .method(method)
            .uri(&uri)
            .header(USER_AGENT, agent())
            .header(OPERATOR, operator())
            .body(Full::default());
        let request = request.map_err(|_| {
            Failure::new(Code::Usage, format!("`{}` is not an address; write http://host:port", self.url))
        })?;
        let response = self.http.request(request).await.map_err(|error| unreachable(chain(&error)))?;
        let status = response.status();
        let mut body = response.into_body();
        let mut waiting: Vec<u8> = Vec::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| unreachable(chain(&error)))?;
            waiting.extend_from_slice(frame.data_ref().map_or(&[][..], |chunk| chunk));
            if !status.is_success() {
                continue;
            }
            while let Some(end) = waiting.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = waiting.drain(..=end).collect();
                seen(parse(&line)?);
            }
        }
        if !status.is_success() {
            return Err(refused(status.as_u16(), &waiting));
        }
        if !waiting.trim_ascii().is_empty() {
            seen(parse(&waiting)?);
        }
        Ok(())
    }
}

/// Which command line asks, and who sits before it, as far as the system says so: the node logs it.
fn agent() -> HeaderValue {
    let release = concat!("tidefold/", env!("CARGO_PKG_VERSION"));
    let value = HeaderValue::try_from(format!("{release} ({})", user()));
    value.unwrap_or(HeaderValue::from_static(release))
}

/// Who asks, as the node's log names it.
fn operator() -> HeaderValue {
    HeaderValue::try_from(user()).unwrap_or(HeaderValue::from_static("tidefold"))
}

/// The user of this command line: who the environment says it is, else the name that the system's list of users has for
/// its number, else the number.
fn user() -> String {
    let told =
        ["USER", "LOGNAME"].iter().filter_map(|name| std::env::var(name).ok()).find(|user| is_plain(user));
    told.unwrap_or_else(|| {
        let uid = rustix::process::getuid().as_raw();
        let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
        name_of(uid, &users).unwrap_or_else(|| format!("uid {uid}"))
    })
}

/// The name of a user's number in the lines of `/etc/passwd`.
fn name_of(uid: u32, users: &str) -> Option<String> {
    users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, number) = (fields.next()?, fields.nth(1)?);
        (number.parse() == Ok(uid) && is_plain(name)).then(|| name.to_owned())
    })
}

/// Whether a name can stand in a header as it is.
fn is_plain(user: &str) -> bool {
    !user.is_empty() && user.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.@".contains(&byte))
}

fn parse(line: &[u8]) -> Result<Value, Failure> {
    serde_json::from_slice(line)
        .map_err(|error| Failure::new(Code::Failed, format!("the node's answer is not JSON: {error}")))
}

/// A problem as a failure.
fn refused(status: u16, body: &[u8]) -> Failure {
    let code = match status {
        404 => Code::NotFound,
        409 | 412 | 422 => Code::Conflict,
        400 => Code::Usage,
        504 => Code::TimedOut,
        _ => Code::Failed,
    };
    let problem: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
    let text = match (problem["title"].as_str(), problem["detail"].as_str()) {
        (Some(title), Some(detail)) => format!("{title}: {detail}"),
        _ => format!("the node answered {status}: {}", String::from_utf8_lossy(body)),
    };
    let failure = Failure::new(code, text);
    if problem.is_object() { failure.with_problem(problem) } else { failure }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_users_number_is_named_as_the_system_names_it() {
        let users = "root:x:0:0:root:/root:/bin/sh\n# none\nbad name:x:7:7::/:\nanna:x:1000:1000::/home/anna:/bin/sh\n";
        for (uid, name) in [(0, Some("root")), (1_000, Some("anna")), (7, None), (5, None)] {
            assert_eq!(name_of(uid, users).as_deref(), name, "{uid}");
        }
    }
}
