//! Problems as callers and the documentation see them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what went wrong by failing"
)]

use std::collections::HashSet;
use std::time::Duration;

use axum::response::IntoResponse;
use tidefold_http::{FieldError, Problem, ProblemKind};

#[test]
fn every_kind_has_its_own_slug_and_says_what_it_is() {
    let mut slugs = HashSet::new();
    for kind in ProblemKind::ALL {
        assert!(slugs.insert(kind.slug()), "{} stands twice", kind.slug());
        assert!(kind.slug().bytes().all(|b| b.is_ascii_lowercase() || b == b'-'), "{}", kind.slug());
        assert!(kind.status().is_client_error() || kind.status().is_server_error());
        assert!(kind.title().len() > 10 && kind.help().len() > 15, "{} is not explained", kind.slug());
        if kind.status() == 503 {
            assert!(kind.retryable(), "{} is 503 and not retryable", kind.slug());
        }
    }
}

#[test]
fn the_documentation_lists_every_kind() {
    let page = include_str!("../../../docs/http-api.md");
    for kind in ProblemKind::ALL {
        let row = format!("| `{}` | {} |", kind.slug(), kind.status().as_u16());
        assert!(page.contains(&row), "docs/http-api.md has no row that starts with {row}");
    }
}

#[test]
fn a_problem_carries_all_its_mistakes_and_members() {
    let problem = Problem::new(ProblemKind::InvalidMessage, "2 mistakes in this Order")
        .with_errors(vec![
            FieldError::at("#/items/0/qty", "out_of_range", "is 3000000000"),
            FieldError::in_parameter("ce-time", "bad_format", "is no time"),
        ])
        .with_member("limit_bytes", 5)
        .with_retry_after(Duration::from_millis(1_500));
    let mut json = Vec::new();
    problem.write_json(Some("r-1"), &mut json);
    let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
    assert_eq!(
        json,
        serde_json::json!({
            "type": "https://tidefold.dev/problems/invalid-message",
            "title": "The message does not fit its schema",
            "status": 400,
            "detail": "2 mistakes in this Order",
            "instance": "/problems/r-1",
            "code": "invalid_message",
            "request_id": "r-1",
            "retryable": false,
            "retry_after_ms": 1500,
            "errors": [
                {"detail": "is 3000000000", "pointer": "#/items/0/qty", "code": "out_of_range"},
                {"detail": "is no time", "parameter": "ce-time", "code": "bad_format"},
            ],
            "limit_bytes": 5,
        })
    );
    let response = problem.into_response();
    assert_eq!(response.status(), 400);
    assert_eq!(response.headers()["retry-after"], "2");
}
