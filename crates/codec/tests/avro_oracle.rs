//! What we write, `apache-avro` reads; what it writes, we read; and every place of a value gives it back.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what went wrong by failing"
)]

mod support;

use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value as Avro;
use apache_avro::writer::datum::GenericDatumWriter;
use bumpalo::Bump;
use proptest::prelude::*;
use serde_json::Value as Json;
use support::{Rng, parse, record_value, schema};
use tidefold_codec::columns::{self, Written};
use tidefold_codec::decode::{DecodeError, Plan};
use tidefold_codec::json_in::{JsonEncoder, JsonLimits, Violation};
use tidefold_codec::{ColumnType, Datum, RecordType, Type, json_out};

struct Case {
    schema: Schema,
    record: std::sync::Arc<RecordType>,
    json: Json,
    avro: Avro,
}

fn case(seed: u64) -> Case {
    let mut rng = Rng(seed);
    let (schema, record) = parse(&schema(&mut rng));
    let (json, avro) = record_value(&mut rng, &record);
    Case { schema, record, json, avro }
}

fn encode(record: &std::sync::Arc<RecordType>, json: &[u8]) -> Result<Vec<u8>, Vec<Violation>> {
    let mut datum = Vec::new();
    let encoder = JsonEncoder::new(record.clone(), Vec::new(), JsonLimits::default());
    encoder.encode(json, &mut datum, &mut Vec::new()).map(|()| datum)
}

fn slots<'a>(
    plan: &'a Plan,
    record: &RecordType,
    datum: &'a [u8],
    arena: &'a Bump,
) -> Result<Vec<Datum<'a>>, DecodeError> {
    let mut slots = vec![Datum::Null; record.fields.len()];
    plan.read(datum, &mut slots, arena).map(|_| slots)
}

fn slots_json(record: &RecordType, slots: &[Datum<'_>]) -> Vec<Json> {
    let mut texts = Vec::new();
    for (field, slot) in record.fields.iter().zip(slots) {
        let mut out = Vec::new();
        json_out::write(&field.column, *slot, &mut out);
        texts.push(serde_json::from_slice(&out).expect("what we write is JSON"));
    }
    texts
}

fn all(record: &RecordType) -> Vec<bool> {
    vec![true; record.fields.len()]
}

/// The text of a value, the members of its objects in some order.
fn shuffled(json: &Json, rng: &mut Rng) -> String {
    let list = |texts: Vec<String>| texts.join(",");
    match json {
        Json::Array(items) => format!("[{}]", list(items.iter().map(|item| shuffled(item, rng)).collect())),
        Json::Object(members) => {
            let mut texts: Vec<_> = members
                .iter()
                .map(|(name, value)| format!("{}:{}", Json::from(name.as_str()), shuffled(value, rng)))
                .collect();
            for at in (1..texts.len()).rev() {
                texts.swap(at, rng.below(at as u64 + 1) as usize);
            }
            format!("{{{}}}", list(texts))
        }
        scalar => scalar.to_string(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn apache_avro_reads_what_we_write(seed in any::<u64>()) {
        let case = case(seed);
        let datum = encode(&case.record, case.json.to_string().as_bytes()).map_err(|v| TestCaseError::fail(format!("{v:?}")))?;
        let read = GenericDatumReader::builder(&case.schema).build().unwrap().read_value(&mut datum.as_slice()).unwrap();
        prop_assert_eq!(read, case.avro);
    }

    #[test]
    fn we_read_what_apache_avro_writes(seed in any::<u64>(), blocks in prop::option::of(1usize..40)) {
        let case = case(seed);
        let writer = GenericDatumWriter::builder(&case.schema).maybe_target_block_size(blocks).build().unwrap();
        let theirs = writer.write_value_to_vec(case.avro).unwrap();
        let ours = encode(&case.record, case.json.to_string().as_bytes()).unwrap();
        let plan = Plan::new(&case.schema, &case.record, &all(&case.record)).unwrap();
        let arena = Bump::new();
        let from_theirs = slots(&plan, &case.record, &theirs, &arena).unwrap();
        let from_ours = slots(&plan, &case.record, &ours, &arena).unwrap();
        prop_assert_eq!(slots_json(&case.record, &from_theirs), slots_json(&case.record, &from_ours));
    }

    #[test]
    fn whoever_writes_a_value_the_same_bytes_stand_for_it(seed in any::<u64>(), blocks in prop::option::of(1usize..40)) {
        let case = case(seed);
        let writer = GenericDatumWriter::builder(&case.schema).maybe_target_block_size(blocks).build().unwrap();
        let theirs = writer.write_value_to_vec(case.avro).unwrap();
        let ours = encode(&case.record, case.json.to_string().as_bytes()).unwrap();
        let plan = Plan::new(&case.schema, &case.record, &vec![false; case.record.fields.len()]).unwrap();
        let arena = Bump::new();
        let mut slots = vec![Datum::Null; case.record.fields.len()];
        let canonical = plan.read(&ours, &mut slots, &arena).unwrap();
        prop_assert!(canonical, "what we write is canonical");
        let canonical = plan.read(&theirs, &mut slots, &arena).unwrap();
        prop_assert_eq!(plan.value_bytes(&theirs, canonical, &arena), ours.as_slice());
        prop_assert_eq!(plan.value_bytes(&theirs, false, &arena), ours.as_slice());
    }

    #[test]
    fn members_in_any_order_are_the_same_datum(seed in any::<u64>(), order in any::<u64>()) {
        let case = case(seed);
        let json = shuffled(&case.json, &mut Rng(order));
        let datum = encode(&case.record, case.json.to_string().as_bytes());
        prop_assert_eq!(encode(&case.record, json.as_bytes()), datum);
    }

    #[test]
    fn json_comes_back_to_the_same_datum(seed in any::<u64>()) {
        let case = case(seed);
        let datum = encode(&case.record, case.json.to_string().as_bytes()).unwrap();
        let mut json = Vec::new();
        json_out::record_to_json(&case.record, &datum, &mut json).unwrap();
        prop_assert_eq!(encode(&case.record, &json), Ok(datum));
    }

    #[test]
    fn stored_columns_come_back_as_the_same_slots_and_bytes(seed in any::<u64>(), set in any::<u64>()) {
        let case = case(seed);
        let datum = encode(&case.record, case.json.to_string().as_bytes()).unwrap();
        let plan = Plan::new(&case.schema, &case.record, &all(&case.record)).unwrap();
        let arena = Bump::new();
        let slots = slots(&plan, &case.record, &datum, &arena).unwrap();
        let types: Vec<_> = case.record.fields.iter().map(|field| &field.column).collect();
        let mut bytes = Vec::new();
        columns::encode(types.iter().copied(), &slots, &mut bytes);
        let mut back = vec![Datum::Null; slots.len()];
        columns::decode(types.iter().copied(), &bytes, &mut back).unwrap();
        prop_assert_eq!(&slots, &back);
        let mut own = vec![Datum::Null; slots.len()];
        let mut ends = vec![0; slots.len()];
        columns::decode_own(types.iter().copied(), 0, &bytes, &mut own, &mut ends).unwrap();
        prop_assert_eq!(&slots, &own);
        // Some columns are set, some of those to what they were.
        let is_set = |at: usize| set >> (at % 64) & 1 == 1;
        let places = types.iter().zip(&slots).enumerate();
        let new: Vec<_> =
            places.map(|(at, (column, slot))| if is_set(at) { other(column, *slot) } else { *slot }).collect();
        let (mut all, mut over) = (Vec::new(), Vec::new());
        columns::encode(types.iter().copied(), &new, &mut all);
        let written = Written { bytes: &bytes, ends: &ends };
        columns::encode_over(types.iter().copied(), &new, written, is_set, &mut over);
        prop_assert_eq!(all, over);
        let mut again = Vec::new();
        columns::encode(types.iter().copied(), &back, &mut again);
        prop_assert_eq!(bytes, again);
    }

    #[test]
    fn unwanted_fields_are_null_and_the_rest_is_the_same(seed in any::<u64>(), mask in any::<u64>()) {
        let case = case(seed);
        let datum = encode(&case.record, case.json.to_string().as_bytes()).unwrap();
        let wanted: Vec<_> = (0..case.record.fields.len()).map(|at| mask >> at & 1 == 1).collect();
        let arena = Bump::new();
        let whole = Plan::new(&case.schema, &case.record, &all(&case.record)).unwrap();
        let part = Plan::new(&case.schema, &case.record, &wanted).unwrap();
        let whole = slots(&whole, &case.record, &datum, &arena).unwrap();
        let part = slots(&part, &case.record, &datum, &arena).unwrap();
        for ((wanted, whole), part) in wanted.iter().zip(whole).zip(part) {
            prop_assert_eq!(part, if *wanted { whole } else { Datum::Null });
        }
    }

    #[test]
    fn damaged_bytes_are_refused_or_read_as_some_value(
        seed in any::<u64>(),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let case = case(seed);
        let mut datum = encode(&case.record, case.json.to_string().as_bytes()).unwrap();
        for (at, byte) in flips.iter().filter(|_| !datum.is_empty()).collect::<Vec<_>>() {
            let at = at.index(datum.len());
            datum[at] = *byte;
        }
        if let (Some(cut), false) = (cut, datum.is_empty()) {
            datum.truncate(cut.index(datum.len()));
        }
        let plan = Plan::new(&case.schema, &case.record, &all(&case.record)).unwrap();
        let arena = Bump::new();
        let mut json = Vec::new();
        let whole = json_out::record_to_json(&case.record, &datum, &mut json);
        match slots(&plan, &case.record, &datum, &arena) {
            Ok(slots) => {
                prop_assert!(whole.is_ok());
                prop_assert_eq!(slots_json(&case.record, &slots).len(), slots.len());
                let mut bytes = Vec::new();
                columns::encode(case.record.fields.iter().map(|f| &f.column), &slots, &mut bytes);
                let mut back = vec![Datum::Null; slots.len()];
                columns::decode(case.record.fields.iter().map(|f| &f.column), &bytes, &mut back).unwrap();
                prop_assert_eq!(slots, back);
            }
            Err(error) => prop_assert_eq!(whole, Err(error)),
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(seed in any::<u64>(), bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let case = case(seed);
        let plan = Plan::new(&case.schema, &case.record, &all(&case.record)).unwrap();
        let arena = Bump::new();
        let read = slots(&plan, &case.record, &bytes, &arena).is_ok();
        prop_assert_eq!(read, json_out::record_to_json(&case.record, &bytes, &mut Vec::new()).is_ok());
        let mut back = vec![Datum::Null; case.record.fields.len()];
        let _ = columns::decode(case.record.fields.iter().map(|f| &f.column), &bytes, &mut back);
        let _ = columns::decode_own(case.record.fields.iter().map(|f| &f.column), 0, &bytes, &mut back, &mut vec![0; case.record.fields.len()]);
        for field in &case.record.fields {
            if let tidefold_codec::Type::Array(element) = &field.column.ty {
                let count = columns::elements(element, &bytes).take(1000).filter(Result::is_ok).count();
                prop_assert!(count <= 1000);
            }
        }
    }
}

/// Another value of a column's type, where one is easily found.
fn other<'a>(column: &ColumnType, slot: Datum<'a>) -> Datum<'a> {
    match (slot, &column.ty) {
        _ if column.nullable => Datum::Null,
        (Datum::Text(_), Type::String) => Datum::Text("another"),
        (Datum::Boolean(yes), _) => Datum::Boolean(!yes),
        (Datum::Long(_), _) => Datum::Long(0),
        _ => slot,
    }
}
