//! Requests as people write them who know other APIs: answered as they expect, or with what to write instead. None finds
//! nothing in silence.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what went wrong by failing"
)]

#[macro_use]
mod support;

use serde_json::{Value, json};
use support::backends::Backends;
use support::{Client, Node};

/// Method, path, status, and words of the answer.
type Asked = (&'static str, &'static str, u16, &'static str);

const TABLE: &[Asked] = &[
    // Rows and lists that are there, spelled in more than one way.
    ("GET", "/v1/storefront/orders/o-1", 200, "\"order_id\":\"o-1\""),
    ("HEAD", "/v1/storefront/orders/o-1", 200, ""),
    ("GET", "/v1/storefront/orders?order_id=o-1", 200, "\"order_id\":\"o-1\""),
    ("GET", "/v1/storefront/orders?order_id.eq=o-1", 200, "\"order_id\":\"o-1\""),
    ("GET", "/v1/storefront/orders/a%2Fb", 200, "\"order_id\":\"a/b\""),
    ("GET", "/v1/storefront/orders/a,b", 200, "\"order_id\":\"a,b\""),
    ("GET", "/v1/storefront/orders?order_id=a,b", 200, "\"order_id\":\"a,b\""),
    ("GET", "/v1/storefront/orders_by_customer?customer_id=c-1&limit=1", 200, "\"next_cursor\":\"A"),
    ("GET", "/v1/storefront/orders_by_customer?customer_id.eq=c-1&limit=1", 200, "\"next_cursor\":\"A"),
    // A value is a value, even where it looks like something else.
    ("GET", "/v1/storefront/orders_by_customer?customer_id=eq.c-1", 200, "\"items\":[]"),
    ("GET", "/v1/storefront/orders_by_customer?customer_id=Doe,+Jane", 200, "\"items\":[]"),
    ("GET", "/v1/storefront/orders_by_customer?customer_id.eq=c-1,c-9", 200, "\"items\":[]"),
    ("GET", "/v1/storefront/orders?order_id=o-7", 200, "\"items\":[]"),
    // Several values, where one is taken.
    ("GET", "/v1/storefront/orders?order_id=o-1,o-9", 400, "/v1/storefront/orders/o-1"),
    ("GET", "/v1/storefront/orders?order_id=o-1%2Co-9", 400, "order_id.eq=o-1,o-9"),
    ("GET", "/v1/storefront/orders_by_customer?customer_id=c-1,c-9", 400, "customer_id=c-1; if"),
    ("GET", "/v1/storefront/orders?order_id=o-1&order_id=o-9", 400, "given more than once"),
    ("GET", "/v1/storefront/orders?order_id=o-1&order_id.eq=o-9", 400, "given more than once"),
    ("GET", "/v1/storefront/orders?order_id.in=o-1,o-9", 400, "order_id.in"),
    // Keys that nothing can have.
    ("GET", "/v1/storefront/orders?order_id=", 400, "1 to 1024 bytes"),
    ("GET", "/v1/storefront/orders?order_id", 400, "1 to 1024 bytes"),
    ("GET", "/v1/storefront/orders?", 400, "order_id has to be given"),
    // Paths that are nearly right.
    ("GET", "/v1/storefront/orders/", 404, "it is /v1/storefront/orders "),
    ("GET", "/v1/storefront/orders/o-1/", 404, "it is /v1/storefront/orders/o-1 "),
    ("GET", "/v1/storefront/orders/a/b", 404, "/v1/storefront/orders/a%2Fb"),
    ("GET", "//v1/storefront", 404, "it is /v1/storefront "),
    ("POST", "/v1/storefront/PlaceOrder/", 404, "it is /v1/storefront/PlaceOrder "),
    ("GET", "/v1/storefront/", 404, "it is /v1/storefront "),
    ("GET", "/v1", 404, "/v1/{app}"),
    ("GET", "/V1/storefront", 404, "/v1/storefront"),
    ("GET", "/storefront/orders", 404, "/v1/storefront/orders"),
    ("GET", "/metrics", 404, "admin port"),
    ("GET", "/admin/v1/status", 404, "admin port"),
    // Names that are nearly right, or of the other kind.
    ("GET", "/v1/storefront/Orders/o-1", 404, "did you mean orders?"),
    ("GET", "/v1/Storefront/orders/o-1", 404, "the app storefront"),
    ("GET", "/v1/storefront/PlaceOrder", 404, "sent, with POST"),
    ("POST", "/v1/storefront/orders", 404, "read, with GET"),
    ("POST", "/v1/storefront/placeOrder", 404, "did you mean `PlaceOrder`?"),
    ("GET", "/v1/storefront/outcomes", 404, "outcomes"),
    // Parameters of other APIs.
    ("GET", "/v1/storefront/orders_by_customer?customer_id=c-1&limit=0", 400, "from 1 to 1000"),
    ("GET", "/v1/storefront/orders_by_customer?customer_id=c-1&limit=abc", 400, "from 1 to 1000"),
    ("GET", "/v1/storefront/orders_by_customer?customer_id=c-1&limit=", 400, "from 1 to 1000"),
    ("GET", "/v1/storefront/orders_by_customer?customer_id=c-1&cursor=", 400, "next_cursor"),
    ("GET", "/v1/storefront/orders_by_customer?customer_id=c-1&page=2", 400, "cursor=…"),
    ("GET", "/v1/storefront/orders_by_customer?customer_id=c-1&offset=2", 400, "cursor=…"),
    ("GET", "/v1/storefront/orders_by_customer?customer_id=c-1&per_page=2", 400, "limit=…"),
    (
        "GET",
        "/v1/storefront/orders_by_customer?customer_id=c-1&sort=placed_at",
        400,
        "placed_at DESC, order_id",
    ),
    (
        "GET",
        "/v1/storefront/orders_by_customer?customer_id=c-1&order_by=placed_at",
        400,
        "placed_at DESC, order_id",
    ),
    ("GET", "/v1/storefront/orders_by_customer?customer_id=c-1&fields=status", 400, "all its columns"),
    ("GET", "/v1/storefront/orders_by_customer?customer_id=c-1&wait=5", 400, "Prefer: wait=5"),
    ("GET", "/v1/storefront/orders_by_customer?customer_id=c-1&placed_at%5Bgte%5D=x", 400, "placed_at.gte=…"),
    ("GET", "/v1/storefront/orders_by_customer?customer_id=c-1&placed_at__lt=x", 400, "placed_at.lt=…"),
    ("GET", "/v1/storefront/orders_by_customer?customer_id=c-1&placed_at%3E=x", 400, "placed_at.gte=…"),
    (
        "GET",
        "/v1/storefront/orders_by_customer?customer_id=c-1&placed_at.after=x",
        400,
        "eq, gt, gte, lt and lte",
    ),
    ("GET", "/v1/storefront/orders_by_customer?Customer_Id=c-1", 400, "did you mean customer_id?"),
    ("GET", "/v1/storefront/orders_by_customer?customerId=c-1", 400, "did you mean customer_id?"),
    ("GET", "/v1/storefront/orders_by_customer?customer_id=c-1&Limit=5", 400, "did you mean limit?"),
    ("GET", "/v1/storefront/orders?page=2", 400, "no pages"),
    ("GET", "/v1/storefront/orders/o-1?fields=status", 400, "no parameters"),
    ("GET", "/v1/storefront?limit=5", 400, "no parameters"),
    // Methods.
    ("DELETE", "/v1/storefront/orders/o-1", 405, "Allow"),
    ("PUT", "/v1/storefront/PlaceOrder", 405, "Allow"),
    ("PATCH", "/", 405, "Allow"),
    ("OPTIONS", "/v1/storefront/orders", 204, ""),
    ("OPTIONS", "/nothing", 404, "GET / lists"),
];

on_every_log_and_store!(
    every_request_is_answered_as_meant_or_told_how_to_ask,
    longs_come_as_text_where_a_caller_prefers_it,
);

async fn order(client: &Client, node: &Node, id: &str, customer: &str, cents: i64) {
    let url = format!("{}/v1/storefront/PlaceOrder", node.http);
    let item = json!({ "sku": "tea", "qty": 2, "price_cents": cents });
    let order = json!({ "order_id": id, "customer_id": customer, "currency": "EUR", "total_cents": cents, "items": [item] });
    let answer = client.post(&url, &[("prefer", "wait=10")], &order).await.unwrap();
    assert_eq!(answer.status, 200, "{:?}", answer.body);
}

async fn every_request_is_answered_as_meant_or_told_how_to_ask(backends: &Backends) {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start_with("storefront", folder.path(), &backends.flags());
    let client = Client::new();
    for id in ["o-1", "o-2", "a/b", "a,b"] {
        order(&client, &node, id, "c-1", 100).await;
    }
    let mut wrong = Vec::new();
    for (method, path, status, said) in TABLE {
        let headers = [("content-type", "application/json")];
        let body = if *method == "POST" { "{}" } else { "" };
        let answer =
            client.send(method, &format!("{}{path}", node.http), &headers, body.to_owned()).await.unwrap();
        let text = match &answer.body {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let allows = answer.headers.get("allow").is_some_and(|allow| allow.to_str().unwrap().contains("GET"));
        let tells_methods = allows || !(*status == 405 || *status == 204) || path.contains("PlaceOrder");
        if answer.status != *status || !text.contains(said) || !tells_methods {
            wrong.push(format!(
                "{method} {path}: {} {text} {:?}",
                answer.status,
                answer.headers.get("allow")
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

async fn longs_come_as_text_where_a_caller_prefers_it(backends: &Backends) {
    const LARGE: i64 = 9_007_199_254_740_993;
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start_with("storefront", folder.path(), &backends.flags());
    let client = Client::new();
    order(&client, &node, "o-1", "c-1", LARGE).await;
    order(&client, &node, "o-2", "c-1", 7).await;
    let of = async |path: &str, prefer: Option<&str>| {
        let headers: Vec<_> = prefer.map(|prefer| ("prefer", prefer)).into_iter().collect();
        let answer = client.get(&format!("{}/v1/storefront/{path}", node.http), &headers).await;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        answer
    };
    let (plain, text) = (of("orders/o-1", None).await, of("orders/o-1", Some("wait=1, longs=string")).await);
    assert_eq!(plain.body["total_cents"], json!(LARGE));
    assert_eq!(text.body["total_cents"], json!(LARGE.to_string()));
    // Deep inside too, but an int is no long.
    assert_eq!(text.body["items"], json!([{ "sku": "tea", "qty": 2, "price_cents": LARGE.to_string() }]));
    assert_eq!(
        (text.headers["preference-applied"].to_str().unwrap(), text.headers["vary"].to_str().unwrap()),
        ("longs=string", "prefer")
    );
    assert_eq!(
        (plain.headers.get("preference-applied"), plain.headers["vary"].to_str().unwrap()),
        (None, "prefer")
    );
    assert_ne!(plain.headers["etag"], text.headers["etag"], "two forms, two tags");
    let tag = text.headers["etag"].to_str().unwrap();
    let same = [("prefer", "longs=string"), ("if-none-match", tag)];
    assert_eq!(client.get(&format!("{}/v1/storefront/orders/o-1", node.http), &same).await.status, 304);

    // In pages, whose cursors go on in either form, and in sums.
    let page = of("orders_by_customer?customer_id=c-1&limit=1", Some("longs=string")).await;
    assert_eq!(page.body["items"][0]["total_cents"], json!("7"), "small ones too: a column has one form");
    let cursor = page.body["next_cursor"].as_str().unwrap();
    let path = format!("orders_by_customer?customer_id=c-1&limit=1&cursor={cursor}");
    assert_eq!(of(&path, None).await.body["items"][0]["total_cents"], json!(LARGE));
    assert_eq!(of("units_by_sku?sku=tea", Some("longs=string")).await.body["items"][0]["units"], json!("4"));
    assert_eq!(
        of("orders?order_id=o-1", Some("longs=string")).await.body["items"][0]["total_cents"],
        json!(LARGE.to_string())
    );

    // What is read as text is taken as text.
    let again = json!({ "order_id": "o-3", "customer_id": "c-2", "currency": "EUR", "total_cents": LARGE.to_string(), "items": text.body["items"] });
    let url = format!("{}/v1/storefront/PlaceOrder", node.http);
    assert_eq!(client.post(&url, &[("prefer", "wait=10")], &again).await.unwrap().status, 200);
    assert_eq!(of("orders/o-3", None).await.body["items"], plain.body["items"]);
}
