//! The JSON that is taken and the JSON that is not.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what went wrong by failing"
)]

mod support;

use std::sync::Arc;

use apache_avro::Schema;
use proptest::prelude::*;
use serde_json::{Value as Json, json};
use support::{Rng, parse, record_value, schema};
use tidefold_codec::json_in::{JsonEncoder, JsonLimits};
use tidefold_codec::schema::record_type;
use tidefold_codec::{RecordType, json_out};

type Told = Vec<(String, &'static str)>;

fn field(ty: Json) -> Arc<RecordType> {
    let schema = json!({"type": "record", "name": "M", "fields": [{"name": "a", "type": ty}]});
    record_type(&Schema::parse(&schema).unwrap()).unwrap()
}

fn told(record: &Arc<RecordType>, json: &[u8], limits: JsonLimits) -> Result<Vec<u8>, Told> {
    let (mut datum, mut key) = (b"before".to_vec(), b"key".to_vec());
    let encoded = JsonEncoder::new(record.clone(), Vec::new(), limits).encode(json, &mut datum, &mut key);
    if let Err(violations) = encoded {
        assert_eq!((datum.as_slice(), key.as_slice()), (&b"before"[..], &b"key"[..]));
        return Err(violations.into_iter().map(|v| (v.pointer, v.code)).collect());
    }
    Ok(datum.split_off(6))
}

/// What becomes of `{"a": value}`: its JSON again, or the code of its only mistake.
fn of(ty: Json, value: &str) -> Result<String, &'static str> {
    let record = field(ty);
    match told(&record, format!("{{\"a\": {value}}}").as_bytes(), JsonLimits::default()) {
        Ok(datum) => {
            let mut json = Vec::new();
            json_out::record_to_json(&record, &datum, &mut json).unwrap();
            Ok(String::from_utf8(json).unwrap()[5..].strip_suffix('}').unwrap().to_owned())
        }
        Err(told) => {
            assert_eq!(told.len(), 1, "{told:?}");
            Err(told[0].1)
        }
    }
}

fn logical(base: &str, name: &str) -> Json {
    support::logical(base, name)
}

fn ok(text: &str) -> Result<String, &'static str> {
    Ok(text.to_owned())
}

#[test]
fn whole_numbers_are_taken_in_every_spelling() {
    let cases = [
        ("7", ok("7")),
        ("-0", ok("0")),
        ("7.0", ok("7")),
        ("1e3", ok("1000")),
        ("120e-1", ok("12")),
        ("2147483648", Err("out_of_range")),
        ("99999999999999999999999999999999999999999999", Err("out_of_range")),
        ("1e999999999999999999999", Err("out_of_range")),
        ("1.5", Err("wrong_type")),
        ("1e-1", Err("wrong_type")),
        ("\"7\"", Err("wrong_type")),
        ("true", Err("wrong_type")),
        ("null", Err("null_not_allowed")),
        ("[7]", Err("wrong_type")),
    ];
    for (value, expected) in cases {
        assert_eq!(of(json!("int"), value), expected, "{value}");
    }
    assert_eq!(of(json!("long"), "\"-9223372036854775808\""), ok("-9223372036854775808"));
    assert_eq!(of(json!("long"), "9223372036854775808"), Err("out_of_range"));
    assert_eq!(of(json!("long"), "\"9223372036854775808\""), Err("out_of_range"));
    assert_eq!(of(json!("long"), "\"seven\""), Err("wrong_type"));
}

#[test]
fn floats_are_finite_and_decimals_exact() {
    assert_eq!(of(json!("double"), "0.1"), ok("0.1"));
    assert_eq!(of(json!("double"), "-0.0"), ok("0.0"));
    assert_eq!(of(json!("double"), "1e400"), Err("out_of_range"));
    assert_eq!(of(json!("float"), "1e39"), Err("out_of_range"));
    assert_eq!(of(json!("float"), "0.1"), ok("0.1"));
    assert_eq!(of(json!("double"), "NaN"), Err("invalid_json"));
    assert_eq!(of(json!("double"), "\"NaN\""), Err("wrong_type"));
    let money = json!({"type": "bytes", "logicalType": "decimal", "precision": 4, "scale": 2});
    assert_eq!(of(money.clone(), "\"12.3\""), ok("\"12.30\""));
    assert_eq!(of(money.clone(), "12.30"), ok("\"12.30\""));
    assert_eq!(of(money.clone(), "1.2300e1"), ok("\"12.30\""));
    assert_eq!(of(money.clone(), "\"-0.01\""), ok("\"-0.01\""));
    assert_eq!(of(money.clone(), "12.345"), Err("out_of_range"));
    assert_eq!(of(money.clone(), "\"123.4\""), Err("out_of_range"));
    assert_eq!(of(money, "\"12,30\""), Err("bad_format"));
}

#[test]
fn times_and_texts_have_one_form_each() {
    let cases = [
        (logical("int", "date"), "\"2024-02-29\"", ok("\"2024-02-29\"")),
        (logical("int", "date"), "\"2023-02-29\"", Err("bad_format")),
        (logical("int", "date"), "19000", Err("wrong_type")),
        (logical("int", "time-millis"), "\"23:59:59.9999\"", ok("\"23:59:59.999\"")),
        (logical("long", "time-micros"), "\"24:00:00\"", Err("bad_format")),
        (
            logical("long", "timestamp-millis"),
            "\"2026-01-31T13:00:00.5+01:00\"",
            ok("\"2026-01-31T12:00:00.500Z\""),
        ),
        (logical("long", "timestamp-millis"), "-1", ok("\"1969-12-31T23:59:59.999Z\"")),
        (logical("long", "timestamp-millis"), "\"2026-01-31T12:00:00\"", Err("bad_format")),
        (logical("long", "timestamp-micros"), "9223372036854775807", Err("out_of_range")),
        (
            logical("long", "local-timestamp-micros"),
            "\"2026-01-31T12:00:00.000001\"",
            ok("\"2026-01-31T12:00:00.000001\""),
        ),
        (logical("long", "local-timestamp-micros"), "\"2026-01-31T12:00:00Z\"", Err("bad_format")),
        (
            logical("string", "uuid"),
            "\"0190163D-8694-739B-AEA5-966C26F8AD91\"",
            ok("\"0190163d-8694-739b-aea5-966c26f8ad91\""),
        ),
        (logical("string", "uuid"), "\"0190163d8694739baea5966c26f8ad91\"", Err("bad_format")),
        (json!("bytes"), "\"AQID\"", ok("\"AQID\"")),
        (json!("bytes"), "\"AQI\"", Err("bad_format")),
        (json!("bytes"), "\"AQJ=\"", Err("bad_format")),
        (json!({"type": "fixed", "name": "F", "size": 3}), "\"AQID\"", ok("\"AQID\"")),
        (json!({"type": "fixed", "name": "F", "size": 4}), "\"AQID\"", Err("out_of_range")),
        (json!({"type": "enum", "name": "E", "symbols": ["RED"]}), "\"red\"", Err("unknown_symbol")),
        (json!("string"), "\"\\ud83e\\udd80\\u0041\\/\"", ok("\"🦀A/\"")),
        (json!("string"), "7", Err("wrong_type")),
    ];
    for (ty, value, expected) in cases {
        assert_eq!(of(ty.clone(), value), expected, "{ty} {value}");
    }
}

#[test]
fn a_unions_branch_is_chosen_by_the_value_or_by_name() {
    let union = json!(["null", "long", "string", logical("int", "date"), {"type": "array", "items": "int"}]);
    let cases = [
        ("null", ok("null")),
        ("7", ok("{\"long\":7}")),
        ("\"x\"", ok("{\"string\":\"x\"}")),
        ("\"2026-01-31\"", Err("ambiguous_union")),
        ("{\"date\": \"2026-01-31\"}", ok("{\"date\":\"2026-01-31\"}")),
        ("{\"int\": \"2026-01-31\"}", ok("{\"date\":\"2026-01-31\"}")),
        ("[1]", ok("{\"array\":[1]}")),
        ("true", Err("wrong_type")),
        ("{\"float\": 1}", Err("wrong_type")),
    ];
    for (value, expected) in cases {
        assert_eq!(of(union.clone(), value), expected, "{value}");
    }
    let card = json!({"type": "record", "name": "Card", "fields": [{"name": "number", "type": "string"}]});
    let cash = json!({"type": "record", "name": "Cash", "fields": [{"name": "note", "type": "string", "default": ""}]});
    let payment = json!([card, cash, {"type": "map", "values": "long"}]);
    let cases = [
        (r#"{"Card": {"number": "1"}}"#, ok(r#"{"Card":{"number":"1"}}"#)),
        (r#"{"number": "x"}"#, ok(r#"{"Card":{"number":"x"}}"#)),
        (r#"{"number": "1"}"#, Err("ambiguous_union")),
        (r#"{"a": 1, "b": 2}"#, ok(r#"{"map":{"a":1,"b":2}}"#)),
        (r#"{"Card": 1, "Cash": 2}"#, ok(r#"{"map":{"Card":1,"Cash":2}}"#)),
        ("{}", Err("ambiguous_union")),
        (r#"{"number": 1.5}"#, Err("wrong_type")),
    ];
    for (value, expected) in cases {
        assert_eq!(of(payment.clone(), value), expected, "{value}");
    }
    assert_eq!(
        of(json!(["long", "boolean"]), "7"),
        ok("7"),
        "where the form says the branch, it stands bare"
    );
}

#[test]
fn broken_texts_are_named_once_with_their_place() {
    let record = field(json!({"type": "map", "values": "string"}));
    let broken: &[&[u8]] = &[
        b"",
        b"{",
        b"{\"a\"",
        b"{\"a\":",
        b"{\"a\":{}",
        b"{\"a\":{},}",
        b"{\"a\":{}} x",
        b"{\"a\":{\"b\":\"\\x\"}}",
        b"{\"a\":{\"b\":\"\n\"}}",
        b"{\"a\":{\"b\":\"\\ud800\"}}",
        b"{\"a\":{\"b\":\"\\udc00\\ud800\"}}",
        b"{\"a\":{\"b\":\"\\u12\"}}",
        b"{\"a\":{\"b\" \"c\"}}",
        b"{a:{}}",
        b"{'a':{}}",
        b"{\"a\":nul}",
        b"{\"a\":{}}\0",
        b"{\"a\":{\"b\":\"\xff\"}}",
        b"\xef\xbb\xbf\xef\xbb\xbf{\"a\":{}}",
        b"{\xef\xbb\xbf\"a\":{}}",
        b"{\"a\":{\"b\":01}}",
        b"{\"a\":{\"b\":1.}}",
        b"{\"a\":{\"b\":-}}",
        b"{\"a\":{\"b\":+1}}",
        b"{\"a\":{\"b\":\"",
    ];
    for text in broken {
        let told = told(&record, text, JsonLimits::default()).unwrap_err();
        assert_eq!(
            told.last().map(|(_, code)| *code),
            Some("invalid_json"),
            "{}",
            String::from_utf8_lossy(text)
        );
    }
    assert_eq!(told(&record, b"[]", JsonLimits::default()), Err(vec![("#".to_owned(), "wrong_type")]));
}

#[test]
fn a_key_twice_in_any_object_is_refused() {
    let record = field(json!({"type": "map", "values": "int"}));
    let many: String = (0..100).map(|at| format!("\"k{at}\": 1,")).collect();
    let twice = format!("{{\"a\": {{{many} \"k\\u0035\": 2}}}}");
    assert_eq!(
        told(&record, twice.as_bytes(), JsonLimits::default()),
        Err(vec![("#/a/k5".to_owned(), "duplicate_key")])
    );
    let twice = br#"{"a": {}, "\u0061": {}}"#;
    assert_eq!(told(&record, twice, JsonLimits::default()), Err(vec![("#/a".to_owned(), "duplicate_key")]));
}

#[test]
fn nesting_and_the_number_of_mistakes_are_bounded() {
    let record = field(json!("int"));
    let deep = format!("{{\"a\": {}1{}}}", "[".repeat(10_000), "]".repeat(10_000));
    let told_deep = told(&record, deep.as_bytes(), JsonLimits::default()).unwrap_err();
    assert_eq!(told_deep.last(), Some(&("#/a".to_owned(), "too_deep")));
    let many: String = (0..1000).map(|at| format!(",\"x{at}\": 1")).collect();
    let many = format!("{{\"a\": 1{many}}}");
    assert_eq!(told(&record, many.as_bytes(), JsonLimits::default()).unwrap_err().len(), 100);
}

#[test]
fn a_wrong_name_gets_the_nearest_right_one_and_pointers_are_escaped() {
    let schema =
        json!({"type": "record", "name": "M", "fields": [{"name": "customer_id", "type": "string"}]});
    let record = record_type(&Schema::parse(&schema).unwrap()).unwrap();
    let encoder = JsonEncoder::new(record, vec![0], JsonLimits::default());
    let encode = |json: &str| {
        let told = encoder.encode(json.as_bytes(), &mut Vec::new(), &mut Vec::new()).unwrap_err();
        told.into_iter().map(|violation| violation.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(
        encode(r#"{"custmer_id": "c", "a/b~ü": 1, "customer_id": ""}"#),
        [
            "#/custmer_id: M has no such field; did you mean `customer_id`?",
            "#/a~1b~0%C3%BC: M has no such field; its fields are customer_id",
        ]
    );
    assert_eq!(encode(r#"{"customer_id": ""}"#), ["#/customer_id: the key is empty"]);
    let long = "k".repeat(1025);
    let told = encode(&format!(r#"{{"customer_id": "{long}"}}"#));
    assert_eq!(told, ["#/customer_id: the key has 1025 bytes; 1024 are allowed"]);
    let mut key = Vec::new();
    let fits = format!(r#"{{"customer_id": "{}"}}"#, &long[1..]);
    encoder.encode(fits.as_bytes(), &mut Vec::new(), &mut key).unwrap();
    assert_eq!(key.len(), 1024);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn whatever_is_taken_is_json_in_other_eyes_too(
        seed in any::<u64>(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), prop::sample::select(b"{}[]\",:0123 \\ntruefals.-e\xff".to_vec())), 0..3),
    ) {
        let mut rng = Rng(seed);
        let (_, record) = parse(&schema(&mut rng));
        let (json, _) = record_value(&mut rng, &record);
        let mut text = json.to_string().into_bytes();
        for (at, byte) in &edits {
            let at = at.index(text.len());
            text[at] = *byte;
        }
        let encoded = told(&record, &text, JsonLimits::default());
        if edits.is_empty() {
            prop_assert!(encoded.is_ok());
        }
        match (encoded, serde_json::from_slice::<Json>(&text)) {
            (Ok(datum), other) => {
                prop_assert!(other.is_ok(), "{:?}", String::from_utf8_lossy(&text));
                prop_assert!(json_out::record_to_json(&record, &datum, &mut Vec::new()).is_ok());
            }
            // serde_json takes the last of two equal keys and finds numbers too large that this crate can name.
            (Err(told), Ok(_)) => prop_assert!(told.iter().all(|(_, code)| *code != "invalid_json"), "{told:?}"),
            (Err(_), Err(_)) => {}
        }
    }

    /// Texts of every length around sixteen, with what is escaped anywhere in them.
    #[test]
    fn a_text_is_written_as_json_that_says_the_same(text in r#"[a-zä\x00-\x1f"\\/𝄞]{0,40}"#) {
        let mut written = Vec::new();
        json_out::write_string(&text, &mut written);
        prop_assert_eq!(serde_json::from_slice::<String>(&written).unwrap(), text);
    }

    #[test]
    fn fields_in_any_order_make_the_same_datum(seed in any::<u64>(), turn in any::<usize>()) {
        let mut rng = Rng(seed);
        let (_, record) = parse(&schema(&mut rng));
        let (json, _) = record_value(&mut rng, &record);
        let mut members: Vec<_> = json.as_object().unwrap().iter().map(|(k, v)| format!("{}: {v}", json!(k))).collect();
        let at = turn % members.len().max(1);
        members.rotate_left(at);
        members.reverse();
        let shuffled = format!("{{{}}}", members.join(" , "));
        let limits = JsonLimits::default();
        prop_assert_eq!(told(&record, shuffled.as_bytes(), limits), told(&record, json.to_string().as_bytes(), limits));
    }
}
