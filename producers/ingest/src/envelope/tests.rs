//! Envelopes, right and wrong.

use super::*;

fn codes(line: &str) -> Vec<(String, String)> {
    let (_, errors) = parse(line.as_bytes());
    errors.into_iter().map(|e| (e.pointer.unwrap_or_default(), e.code.into_owned())).collect()
}

fn one(line: &str) -> (String, String) {
    let mut codes = codes(line);
    assert_eq!(codes.len(), 1, "{line} has {codes:?}");
    codes.remove(0)
}

fn is(pointer: &str, code: &str) -> (String, String) {
    (pointer.to_owned(), code.to_owned())
}

#[test]
fn a_whole_line_is_taken_apart() {
    let line = r#" {"type":"PayOrder","id":"p-1","time":"2026-01-31T12:00:00Z","source":"/shop","specversion":"1.0",
        "ifmatch":7,"subject":"o-1","tenant":"t-1","retries":3,"data":{"a":[1,{"b":"}\"]"}]}} "#;
    let (envelope, errors) = parse(line.as_bytes());
    assert_eq!(errors, vec![]);
    assert_eq!(envelope.attributes.kind.as_deref(), Some("PayOrder"));
    assert_eq!(envelope.attributes.id.as_deref(), Some("p-1"));
    assert_eq!(envelope.attributes.source.as_deref(), Some("/shop"));
    assert_eq!(envelope.attributes.time, Some(1_769_860_800_000_000));
    assert_eq!(envelope.attributes.if_match, Some(7));
    let others: Vec<(&str, &str)> = envelope.attributes.others.iter().map(|(n, v)| (&**n, &**v)).collect();
    assert_eq!(others, [("subject", "o-1"), ("tenant", "t-1"), ("retries", "3")]);
    assert_eq!(envelope.data, Some(&br#"{"a":[1,{"b":"}\"]"}]}"#[..]));
}

#[test]
fn every_mistake_is_told() {
    let line = r#"{"id":"","time":"noon","Extra":1,"ifmatch":"x","specversion":"0.3","id":"b","data":{}}"#;
    assert_eq!(
        codes(line),
        [
            is("#/id", "out_of_range"),
            is("#/time", "bad_format"),
            is("#/Extra", "unknown_field"),
            is("#/ifmatch", "wrong_type"),
            is("#/specversion", "unknown_symbol"),
            is("#/id", "duplicate_key"),
            is("#/type", "missing_field"),
        ]
    );
}

#[test]
fn what_is_not_one_object_is_invalid_json() {
    for line in [
        "[]",
        "1",
        "{",
        r#"{"type""#,
        r#"{"type":}"#,
        r#"{"type":"A" "data":{}}"#,
        r#"{"type":"A","data":{}} x"#,
        r#"{"type":"A","data":{"#,
        r#"{"type":"A","data":"x}"#,
        r#"{type:"A"}"#,
        "{\"type\":\"A\",\"data\":{},}",
    ] {
        assert_eq!(codes(line).last().map(|(_, code)| code.clone()), Some("invalid_json".into()), "{line}");
    }
}

#[test]
fn null_leaves_an_attribute_out_but_not_the_type() {
    assert_eq!(codes(r#"{"type":"A","id":null,"data":{}}"#), []);
    assert_eq!(one(r#"{"type":null,"data":{}}"#), is("#/type", "wrong_type"));
}

#[test]
fn escapes_are_read_and_lone_surrogates_refused() {
    let (envelope, errors) = parse(br#"{"type":"A","id":"a\u00e9\/","data":{}}"#);
    assert_eq!((envelope.attributes.id.as_deref(), errors.len()), (Some("a\u{e9}/"), 0));
    assert_eq!(one(r#"{"type":"A","id":"\ud800","data":{}}"#), is("#/id", "invalid_json"));
    assert_eq!(one(r#"{"type":"A","id":"a\u0007","data":{}}"#), is("#/id", "bad_format"));
}

#[test]
fn data_of_any_depth_is_cut_out_without_recursion() {
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    let line = format!(r#"{{"type":"A","data":{deep}}}"#);
    let (envelope, errors) = parse(line.as_bytes());
    assert_eq!(errors, vec![]);
    assert_eq!(envelope.data.map(<[u8]>::len), Some(20_000));
}

#[test]
fn an_id_of_ten_kilobytes_is_refused() {
    let line = format!(r#"{{"type":"A","id":"{}","data":{{}}}}"#, "x".repeat(10_240));
    assert_eq!(one(&line), is("#/id", "out_of_range"));
}

#[test]
fn data_is_json_under_any_of_its_names() {
    for name in [
        "application/json; charset=utf-8",
        "Application/JSON",
        "text/json",
        "application/vnd.acme.door+json ;v=1",
    ] {
        assert_eq!(codes(&format!(r#"{{"type":"A","datacontenttype":"{name}","data":{{}}}}"#)), [], "{name}");
    }
    for (name, code) in [("text/plain", "unknown_symbol"), ("json", "bad_format"), ("", "out_of_range")] {
        let line = format!(r#"{{"type":"A","datacontenttype":"{name}","data":{{}}}}"#);
        assert_eq!(one(&line), is("#/datacontenttype", code), "{name}");
    }
    assert_eq!(one(r#"{"type":"A","data_base64":"AA==","data":{}}"#), is("#/data_base64", "not_allowed"));
}

#[test]
fn a_byte_order_mark_is_passed_over_and_what_is_no_line_is_named() {
    assert_eq!(codes("\u{feff}{\"type\":\"A\",\"data\":{}}"), []);
    let said = |line: &[u8]| parse(line).1.into_iter().map(|error| error.detail).collect::<String>();
    assert!(said(b"\x1f\x8b\x08\0").contains("gzip"));
    assert!(said(b"{\0\"\0t\0").contains("UTF-16"));
    assert!(said(br#"{"type":"A","data":{}}{"type":"A","data":{}}"#).contains("--data-binary"));
}
