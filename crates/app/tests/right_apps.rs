//! What a right folder becomes.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what went wrong by failing"
)]

mod support;

use apache_avro::Schema;
use support::{app, folder, root, storefront_with};
use tidefold_app::model::{Action, MessageKind, ViewKind, When};
use tidefold_app::summary::summary;
use tidefold_app::{SourceFile, difference, load};

#[test]
fn every_app_of_the_repository_loads() {
    for entry in std::fs::read_dir(root().join("schemas")).unwrap() {
        let entry = entry.unwrap();
        if entry.path().is_dir() {
            let name = entry.file_name().into_string().unwrap();
            assert_eq!(app(folder(&name)).name, name);
        }
    }
}

#[test]
fn the_storefront_is_what_its_folder_says() {
    let app = app(folder("storefront"));
    let projection = app.projection("orders").unwrap();
    let topic = &projection.topic;
    assert_eq!((topic.partitions, topic.max_message_bytes), (12, 1_000_000));
    let key: Vec<&str> = topic.key.iter().map(|field| field.name.as_str()).collect();
    assert_eq!(key, ["order_id"]);
    let messages: Vec<&str> = topic.messages.iter().map(|message| message.name.as_str()).collect();
    assert_eq!(messages, ["PlaceOrder", "PayOrder", "ShipOrder", "CancelOrder"]);
    assert!(topic.messages.iter().all(|message| message.kind == MessageKind::Command));

    let entity = projection.entity.as_ref().unwrap();
    assert_eq!((entity.key_columns, entity.columns.len(), entity.max_state_bytes), (1, 8, 65_536));
    assert_eq!(entity.columns[0].name, "order_id");
    let place = entity.clauses[0].as_ref().unwrap();
    assert_eq!(place.when, When::Absent);
    let Action::Set(set) = &place.action else { panic!("{place:?}") };
    let set: Vec<&str> = set.iter().map(|(at, _)| entity.columns[*at].name.as_str()).collect();
    assert_eq!(set, ["customer_id", "currency", "status", "total_cents", "items", "placed_at"]);
    let pay = entity.clauses[1].as_ref().unwrap();
    assert_eq!((pay.when, pay.requires[0].code.as_str()), (When::Present, "not_payable"));

    let kinds: Vec<(&str, bool)> = projection
        .views
        .iter()
        .map(|view| (view.name.as_str(), matches!(view.kind, ViewKind::Index { .. })))
        .collect();
    assert_eq!(kinds, [("orders_by_customer", true), ("revenue_by_minute", false), ("units_by_sku", false)]);
    let by_customer = &projection.views[0].layout;
    assert_eq!((by_customer.partition_key.as_slice(), by_customer.clustering.len()), ([0].as_slice(), 2));
    assert!(by_customer.clustering[0].descending && !by_customer.clustering[1].descending);
}

#[test]
fn only_fields_that_something_reads_are_used() {
    let app = app(folder("storefront"));
    let used = |name: &str| {
        let (projection, at) = app.message(name).unwrap();
        projection.topic.messages[at].used.clone()
    };
    assert_eq!(used("PlaceOrder"), [true; 5]);
    // The reason is kept in the log and read by nothing.
    assert_eq!(used("CancelOrder"), [true, false]);
}

#[test]
fn a_message_schema_stands_on_its_own() {
    let app = app(folder("storefront"));
    let (projection, at) = app.message("PlaceOrder").unwrap();
    let message = &projection.topic.messages[at];
    assert_eq!(
        message.schema_json,
        concat!(
            r#"{"type":"record","name":"PlaceOrder","fields":[{"name":"order_id","type":"string"},"#,
            r#"{"name":"customer_id","type":"string"},{"name":"currency","type":"string"},"#,
            r#"{"name":"total_cents","type":"long"},{"name":"items","type":{"type":"array","items":"#,
            r#"{"type":"record","name":"OrderItem","fields":[{"name":"sku","type":"string"},"#,
            r#"{"name":"qty","type":"int"},{"name":"price_cents","type":"long"}]}}}]}"#
        )
    );
    assert_eq!(Schema::parse_str(&message.schema_json).unwrap(), message.schema);
}

#[test]
fn types_of_other_files_and_namespaces_are_found() {
    let order = r#"{"type": "record", "name": "PlaceOrder", "namespace": "shop", "fields": [
        {"name": "order_id", "type": "string"}, {"name": "customer_id", "type": "string"},
        {"name": "currency", "type": "string"}, {"name": "total_cents", "type": "long"},
        {"name": "gift", "type": ["null", "shop.parts.Item"], "default": null},
        {"name": "items", "type": {"type": "array", "items": "parts.Item"}}]}"#;
    let order = order.replace("\"parts.Item\"", "\"shop.parts.Item\"");
    let item = r#"[{"type": "enum", "name": "shop.parts.Unit", "symbols": ["PIECE", "KILO"]},
        {"type": "record", "name": "Item", "namespace": "shop.parts", "fields": [
        {"name": "sku", "type": "string"}, {"name": "qty", "type": "int"}, {"name": "unit", "type": "Unit"},
        {"name": "again", "type": ["null", "Unit"], "default": null}]}]"#;
    let mut files = storefront_with(&[("app.toml", "array<OrderItem>", "array<shop.parts.Item>")]);
    for file in &mut files {
        match file.path.as_str() {
            "PlaceOrder.avsc" => file.text = order.clone(),
            "OrderItem.avsc" => file.text = item.to_owned(),
            _ => {}
        }
    }
    let app = app(files);
    let (projection, at) = app.message("PlaceOrder").unwrap();
    let json = &projection.topic.messages[at].schema_json;
    assert_eq!(json.matches(r#""name":"shop.parts.Unit""#).count(), 1, "{json}");
    assert_eq!(json.matches(r#""shop.parts.Unit""#).count(), 2, "{json}");
    assert_eq!(Schema::parse_str(json).unwrap(), projection.topic.messages[at].schema);
}

#[test]
fn layout_and_comments_do_not_change_the_hash() {
    let hash = |patches: &[(&str, &str, &str)]| app(storefront_with(patches)).definition_hash;
    let plain = hash(&[]);
    assert_eq!(plain.len(), 64);
    assert_eq!(plain, hash(&[("app.toml", "partitions = 12", "# twelve\npartitions   = 1_2")]));
    assert_eq!(plain, hash(&[("app.toml", "status = 'shipped'", "status  =\\n 'shipped' -- gone")]));
    assert_eq!(
        plain,
        hash(&[(
            "app.toml",
            "[entities.orders.on.PayOrder]",
            "[entities.orders.on.PayOrder]\nwhen = 'present'"
        )])
    );
    assert_eq!(plain, hash(&[("OrderItem.avsc", "\"doc\": \"An article of an order.\",", "")]));
    assert_eq!(plain, hash(&[("OrderItem.avsc", "\"type\": \"int\"", "\"type\":{\"type\":\"int\"}")]));
    assert_ne!(plain, hash(&[("app.toml", "'shipped'\"", "'sent'\"")]));
    assert_ne!(plain, hash(&[("app.toml", "partitions = 12", "partitions = 6")]));
    assert_ne!(plain, hash(&[("OrderItem.avsc", "\"type\": \"int\"", "\"type\": \"long\"")]));
}

#[test]
fn the_order_of_sections_does_not_change_the_hash() {
    let files = folder("storefront");
    let plain = app(files.clone()).definition_hash;
    let mut moved = files;
    let text = &mut moved.iter_mut().find(|file| file.path == "app.toml").unwrap().text;
    let views = text.find("[views.units_by_sku]").unwrap();
    let section = text.split_off(views);
    let before = text.find("[entities.orders]").unwrap();
    text.insert_str(before, &format!("{section}\n"));
    assert_eq!(plain, app(moved).definition_hash);
}

#[test]
fn a_difference_is_told_in_words() {
    let old = app(folder("storefront"));
    let tell = |patches: &[(&str, &str, &str)]| difference(&old, &app(storefront_with(patches)));
    assert_eq!(tell(&[("app.toml", "partitions = 12", "partitions = 12 # a dozen")]), Vec::<String>::new());
    assert_eq!(
        tell(&[("app.toml", "partitions = 12", "partitions = 6")]),
        ["the partitions of the topic `orders`: was `12`, is `6`"]
    );
    assert_eq!(
        tell(&[(
            "app.toml",
            "paid_at = \"timestamp-millis?\"",
            "paid_at = \"timestamp-millis?\"\nnote = \"string?\""
        )]),
        ["the column `note` of the entity `orders` was added"]
    );
    assert_eq!(
        tell(&[("app.toml", "set = \"status = 'shipped'\"", "set = \"status = 'sent'\"")]),
        ["`set` of `on.ShipOrder` of the entity `orders`: was `status = 'shipped'`, is `status = 'sent'`"]
    );
    assert_eq!(
        tell(&[("app.toml", "[views.units_by_sku]", "[views.units_by_article]")]),
        ["the view `units_by_article` was added", "the view `units_by_sku` was removed"]
    );
    assert_eq!(
        tell(&[("CancelOrder.avsc", "\"reason\"", "\"cause\"")]),
        ["the schema of `CancelOrder` of the topic `orders` changed"]
    );
}

#[test]
fn the_summary_reads_well() {
    let expected = "\
storefront: 1 topic, 4 tables

topic orders  key (order_id), 12 partitions
  commands  PlaceOrder, PayOrder, ShipOrder, CancelOrder
  entity    orders  key (order_id)
              order_id     string
              customer_id  string
              currency     string
              status       string
              total_cents  long
              items        array<OrderItem>
              placed_at    timestamp-millis
              paid_at      timestamp-millis?
  index     orders_by_customer  key (customer_id), by placed_at DESC, order_id
              customer_id  string
              placed_at    timestamp-millis
              order_id     string
              status       string
              total_cents  long
  rollup    revenue_by_minute  key (currency, day), by minute DESC
              currency       string
              day            timestamp-millis
              minute         timestamp-millis
              orders         long
              revenue_cents  long?
  rollup    units_by_sku  key (sku)
              sku    string
              units  long?
";
    let summary = summary(&app(folder("storefront")));
    assert_eq!(summary.to_string(), expected);
    let json = serde_json::to_value(&summary).unwrap();
    assert_eq!(json["topics"][0]["tables"][1]["clustering"][0], "placed_at DESC");
}

#[test]
fn names_that_others_chose_work_as_keys() {
    let toml = r#"
app = "camel"
[topics.orders]
key = ["orderId", "SHOP_ID"]
partitions = 1
events = ["OrderPlaced"]
[entities.orders]
topic = "orders"
[entities.orders.columns]
customer_id = "string"
[entities.orders.on.OrderPlaced]
when = "any"
set = "customer_id = msg.customerId"
[views.by_customer]
sql = "SELECT customer_id, orderId, o.SHOP_ID FROM orders AS o"
partition_key = ["customer_id"]
clustering = ["orderId DESC", "SHOP_ID"]
[topics.clicks]
key = ["pageUrl"]
partitions = 1
events = ["Clicked"]
[views.clicks]
sql = "SELECT pageUrl, count(*) AS clicks FROM Clicked GROUP BY pageUrl"
partition_key = ["pageUrl"]
"#;
    let record = |name: &str, fields: &[&str]| {
        let fields: Vec<_> =
            fields.iter().map(|field| format!(r#"{{"name":"{field}","type":"string"}}"#)).collect();
        format!(r#"{{"type":"record","name":"{name}","fields":[{}]}}"#, fields.join(","))
    };
    let files = [
        ("app.toml", toml.to_owned()),
        ("OrderPlaced.avsc", record("OrderPlaced", &["orderId", "SHOP_ID", "customerId"])),
        ("Clicked.avsc", record("Clicked", &["pageUrl"])),
    ];
    // With the marks that Windows tools write.
    let marked = files.map(|(path, text)| SourceFile { path: path.into(), text: format!("\u{feff}{text}") });
    let app = app(marked.to_vec());
    let names = |view: &tidefold_app::model::View| -> Vec<String> {
        view.layout.columns.iter().map(|column| column.name.clone()).collect()
    };
    assert_eq!(names(&app.projections[0].views[0]), ["customer_id", "orderId", "SHOP_ID"]);
    assert_eq!(names(&app.projections[1].views[0]), ["pageUrl", "clicks"]);
    assert!(app.sources.iter().all(|source| !source.text.contains('\u{feff}')));

    let wrong = load(vec![
        SourceFile { path: "app.toml".into(), text: toml.replace("msg.customerId", "msg.customerid") },
        SourceFile {
            path: "OrderPlaced.avsc".into(),
            text: record("OrderPlaced", &["orderId", "SHOP_ID", "customerId"]),
        },
        SourceFile { path: "Clicked.avsc".into(), text: record("Clicked", &["pageUrl"]) },
    ])
    .unwrap_err();
    let help: String = wrong.list.iter().filter_map(|one| one.help.clone()).collect();
    assert!(help.contains("customerId"), "{wrong}");
}

/// What is ignored leaves no trace in the schema that is registered; an invalid decimal stays as it always was.
#[test]
fn ignored_logical_types_are_their_base_types() {
    let field = |attributes: &str| {
        let patch = format!(r#""price_cents", "type": "long"}}, {{"name": "x", "type": {{{attributes}}}}}"#);
        let files = storefront_with(&[("OrderItem.avsc", r#""price_cents", "type": "long"}"#, &patch)]);
        let app = app(files);
        let place =
            app.projections[0].topic.messages.iter().find(|message| message.name == "PlaceOrder").unwrap();
        (place.schema_json.clone(), app.warnings.list.len())
    };
    let (json, warnings) = field(r#""type": "string", "logicalType": "email""#);
    assert!(json.contains(r#"{"name":"x","type":"string"}"#) && warnings == 1, "{json}");
    let (json, warnings) = field(r#""type": "bytes", "logicalType": "uuid""#);
    assert!(json.contains(r#"{"name":"x","type":"bytes"}"#) && warnings == 1, "{json}");
    let (json, warnings) = field(r#""type": "bytes", "logicalType": "decimal", "precision": 4, "scale": 5"#);
    assert!(json.contains(r#""logicalType":"decimal","precision":4,"scale":5"#) && warnings == 1, "{json}");
    let (json, warnings) = field(r#""type": "long", "logicalType": "timestamp-millis""#);
    assert!(json.contains(r#""logicalType":"timestamp-millis""#) && warnings == 0, "{json}");
}
