//! One POST of many lines, and what became of each.

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::header::{CONTENT_TYPE, RETRY_AFTER};
use hyper_util::client::legacy::Client as HyperClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::Deserialize;

use crate::line::Line;

/// Sends lines to one app's write API over a kept connection.
#[derive(Clone, Debug)]
pub struct Client {
    http: HyperClient<HttpConnector, Full<Bytes>>,
    uri: hyper::Uri,
}

/// What became of a line.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct LineAnswer {
    /// Its place in the request, from 0.
    pub index: usize,
    /// 202, or why not.
    pub status: u16,
    /// Where it stands in the log.
    pub position: Option<String>,
    /// What is wrong with it.
    pub problem: Option<serde_json::Value>,
}

/// What the write API says of a range of positions: what was not applied before `until`.
#[derive(Debug, Deserialize)]
pub(crate) struct Told {
    pub(crate) until: u64,
    pub(crate) items: Vec<Item>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Item {
    pub(crate) position: String,
    pub(crate) outcome: String,
    #[serde(default)]
    pub(crate) codes: Vec<String>,
}

/// A request that did not get answers.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// The address is not one.
    #[error("`{url}` is not an address of a write API; write http://host:port")]
    Url {
        /// What was given.
        url: String,
    },
    /// Nobody is there: nothing was sent.
    #[error("{uri} cannot be reached: {detail}")]
    Unreachable {
        /// The address.
        uri: String,
        /// Why.
        detail: String,
    },
    /// Nobody answered, or the answer broke off: the lines may or may not be in the log. Send them again.
    #[error("{uri} did not answer: {detail}")]
    NoAnswer {
        /// The address.
        uri: String,
        /// Why.
        detail: String,
    },
    /// The request was refused as a whole.
    #[error("{uri} answered {status}: {body}")]
    Refused {
        /// The address.
        uri: String,
        /// The status.
        status: u16,
        /// Seconds after which to try again, where the answer says so.
        retry_after_seconds: Option<u64>,
        /// What the answer says, cut to 2,000 characters.
        body: String,
    },
}

impl Client {
    /// A client for `POST <url>/v1/<app>`.
    ///
    /// # Errors
    /// When the URL is not one.
    pub fn new(url: &str, app: &str) -> Result<Client, ClientError> {
        let text = format!("{}/v1/{app}", url.trim_end_matches('/'));
        let uri: hyper::Uri = text.parse().map_err(|_| ClientError::Url { url: url.to_owned() })?;
        if uri.scheme_str() != Some("http") {
            return Err(ClientError::Url { url: url.to_owned() });
        }
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        Ok(Client { http: HyperClient::builder(TokioExecutor::new()).build(connector), uri })
    }

    /// Sends lines and returns what became of each, in their order.
    ///
    /// # Errors
    /// When there are no answers.
    pub async fn send(&self, lines: &[Line]) -> Result<Vec<LineAnswer>, ClientError> {
        let mut body = String::with_capacity(lines.iter().map(|line| line.text.len() + 1).sum());
        for line in lines {
            body.push_str(&line.text);
            body.push('\n');
        }
        let no_answer = |detail: String| ClientError::NoAnswer { uri: self.uri.to_string(), detail };
        let request = hyper::Request::post(self.uri.clone())
            .header(CONTENT_TYPE, "application/x-ndjson")
            .body(Full::new(Bytes::from(body)))
            .map_err(|error| no_answer(error.to_string()))?;
        let response = self.http.request(request).await.map_err(|error| {
            if error.is_connect() {
                ClientError::Unreachable { uri: self.uri.to_string(), detail: chain(&error) }
            } else {
                no_answer(chain(&error))
            }
        })?;
        let status = response.status();
        let retry_after_seconds =
            response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        let body = response.into_body().collect().await.map_err(|error| no_answer(chain(&error)))?.to_bytes();
        if !status.is_success() {
            let body = told(&body);
            let uri = self.uri.to_string();
            return Err(ClientError::Refused { uri, status: status.as_u16(), retry_after_seconds, body });
        }
        let answers: Vec<LineAnswer> = body
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
            .map(serde_json::from_slice)
            .collect::<Result<_, _>>()
            .map_err(|error| no_answer(format!("an answer line is not JSON: {error}")))?;
        if answers.len() != lines.len() {
            return Err(no_answer(format!("{} of {} lines were answered", answers.len(), lines.len())));
        }
        Ok(answers)
    }
}

impl Client {
    /// What was not applied of the positions of a partition from `first` on and before `until`, as far as it is folded.
    pub(crate) async fn outcomes(
        &self,
        partition: &str,
        first: u64,
        until: u64,
    ) -> Result<Told, ClientError> {
        let uri = format!("{}/outcomes/{partition}:{first}?until={until}", self.uri);
        let no_answer = |detail: String| ClientError::NoAnswer { uri: uri.clone(), detail };
        let request = hyper::Request::get(&uri).body(Full::new(Bytes::new()));
        let request = request.map_err(|error| no_answer(error.to_string()))?;
        let response = self.http.request(request).await.map_err(|error| no_answer(chain(&error)))?;
        let status = response.status();
        let body = response.into_body().collect().await.map_err(|error| no_answer(chain(&error)))?.to_bytes();
        if !status.is_success() {
            let (status, body) = (status.as_u16(), told(&body));
            return Err(ClientError::Refused { uri, status, retry_after_seconds: None, body });
        }
        serde_json::from_slice(&body).map_err(|error| no_answer(error.to_string()))
    }
}

/// A problem's title and detail, or the text as it came.
fn told(body: &[u8]) -> String {
    let problem: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    match (problem["title"].as_str(), problem["detail"].as_str()) {
        (Some(title), Some(detail)) => format!("{title}: {detail}").chars().take(2_000).collect(),
        _ => String::from_utf8_lossy(body).chars().take(2_000).collect(),
    }
}

/// An error and its causes in one line: hyper's own text leaves the cause out.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
