//! Publishing against a write API whose answers a test dictates.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what went wrong by failing"
)]

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use tidefold_publisher::publish::PublishError;
use tidefold_publisher::{Client, Event, Line, Options, publish};

/// What the next request gets: a whole answer, or a status for each line (202 for the rest).
enum Script {
    Whole(StatusCode),
    Lines(Vec<u16>),
}

#[derive(Clone, Default)]
struct Api {
    script: Arc<Mutex<VecDeque<Script>>>,
    received: Arc<Mutex<Vec<Vec<String>>>>,
}

async fn answer(State(api): State<Api>, body: String) -> Response {
    let lines: Vec<String> = body.lines().map(str::to_owned).collect();
    let next = api.script.lock().unwrap().pop_front();
    api.received.lock().unwrap().push(lines.clone());
    let statuses = match next {
        Some(Script::Whole(status)) => return status.into_response(),
        Some(Script::Lines(statuses)) => statuses,
        None => vec![],
    };
    let mut out = String::new();
    for index in 0..lines.len() {
        let status = statuses.get(index).copied().unwrap_or(202);
        out.push_str(&format!("{{\"index\":{index},\"status\":{status},\"position\":\"t:0:{index}\"}}\n"));
    }
    out.into_response()
}

async fn serve(script: Vec<Script>) -> (Api, Client) {
    let api = Api { script: Arc::new(Mutex::new(script.into())), ..Api::default() };
    let router = Router::new().route("/v1/shop", post(answer)).with_state(api.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = std::future::IntoFuture::into_future(axum::serve(listener, router));
    tokio::task::spawn_blocking(move || tokio::runtime::Handle::current().block_on(server));
    (api, Client::new(&url, "shop").unwrap())
}

fn lines(count: u64) -> impl Iterator<Item = Result<Line, tidefold_publisher::SourceError>> + Send {
    (1..=count).map(|number| Ok(Line { number, text: format!("{{\"n\":{number}}}"), is_runs: true }))
}

fn options() -> Options {
    Options { batch_lines: 4, ..Options::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_are_sent_again_from_the_first_one_that_was_put_off() {
    let (api, client) =
        serve(vec![Script::Whole(StatusCode::SERVICE_UNAVAILABLE), Script::Lines(vec![202, 503, 202, 202])])
            .await;
    let report = publish(lines(6), &client, options(), &mut |_| {}).await.unwrap();
    assert_eq!((report.progress.accepted, report.progress.refused, report.progress.retries), (6, 0, 2));
    let received = api.received.lock().unwrap().clone();
    let sizes: Vec<_> = received.iter().map(Vec::len).collect();
    assert_eq!(sizes, [4, 4, 3, 2]);
    assert_eq!(received[2][0], "{\"n\":2}");
    assert_eq!(report.positions, ["t:0:1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_that_is_refused_for_good_is_reported_and_the_others_go_on() {
    let (_, client) = serve(vec![Script::Lines(vec![202, 400, 202, 202])]).await;
    let report = publish(lines(4), &client, options(), &mut |_| {}).await.unwrap();
    assert_eq!((report.progress.accepted, report.progress.refused), (3, 1));
    assert_eq!((report.refusals[0].line, report.refusals[0].status), (2, Some(400)));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_that_is_not_there_ends_the_run() {
    let (_, client) = serve(vec![Script::Whole(StatusCode::NOT_FOUND)]).await;
    let error = publish(lines(4), &client, options(), &mut |_| {}).await.unwrap_err();
    assert!(matches!(error, PublishError::GaveUp { accepted: 0, .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_breaks_off_still_sends_what_came_before() {
    let (_, client) = serve(vec![]).await;
    let source = std::io::Error::other("torn");
    let broken = Err(tidefold_publisher::SourceError::Read { path: "orders.ndjson".into(), source });
    let error = publish(lines(2).chain([broken]), &client, options(), &mut |_| {}).await.unwrap_err();
    assert!(matches!(error, PublishError::Source { accepted: 2, .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_that_is_no_message_is_refused_and_the_next_one_is_read() {
    let (_, client) = serve(vec![Script::Lines(vec![202, 400])]).await;
    let wrong = Err(tidefold_publisher::SourceError::Line { number: 3, detail: "torn".into() });
    let rest = lines(5).skip(3);
    let source = lines(2).chain([wrong]).chain(rest);
    let report = publish(source, &client, options(), &mut |_| {}).await.unwrap();
    assert_eq!((report.progress.accepted, report.progress.refused), (3, 2));
    let refused: Vec<_> = report.refusals.iter().map(|refusal| (refusal.line, refusal.status)).collect();
    assert_eq!(refused, [(2, Some(400)), (3, None)]);
}

#[tokio::test]
async fn without_a_server_the_first_attempt_is_the_last() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let client = Client::new(&format!("http://{free}"), "shop").unwrap();
    let mut events = 0;
    let error = publish(lines(4), &client, options(), &mut |_| events += 1).await.unwrap_err();
    assert!(matches!(error, PublishError::NoServer { .. }), "{error}");
    assert_eq!(events, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_under_way_is_told_once_and_waited_for() {
    let unavailable = || Script::Whole(StatusCode::SERVICE_UNAVAILABLE);
    let (_, client) = serve(vec![Script::Lines(vec![]), unavailable(), unavailable()]).await;
    let mut told = Vec::new();
    let mut seen = |event: Event<'_>| {
        if let Event::Retrying(error) = event {
            told.push(error.to_string());
        }
    };
    let report = publish(lines(6), &client, options(), &mut seen).await.unwrap();
    assert_eq!((report.progress.accepted, report.progress.retries), (6, 2));
    assert_eq!(told.len(), 1, "{told:?}");
}
