//! Made-up messages of an app: the n-th message of a seed is always the same.
//!
//! Every key of a topic gets each of the topic's messages once, those that create an entity first, so that a made-up
//! stream has a bit of everything: creations, changes, refusals.

use tidefold_app::App;
use tidefold_app::model::{Message, Projection, Topic, When};
use tidefold_codec::json_out::branch_name;
use tidefold_codec::{ColumnType, Datum, RecordType, Type, text};

use crate::line::{Line, SourceError, envelope};

/// A counter-based generator (SplitMix64): the n-th number of a seed, without state in between.
struct Numbers {
    state: u64,
}

/// The key of a message.
struct Key<'a> {
    /// Texts begin with the topic.
    topic: &'a str,
    /// Which key of the topic.
    number: u64,
    seed: u64,
}

/// Messages in the order each key gets them.
struct Course<'a> {
    topic: &'a Topic,
    messages: Vec<&'a Message>,
}

/// `count` messages.
pub fn lines(
    app: &App,
    seed: u64,
    count: u64,
) -> impl Iterator<Item = Result<Line, SourceError>> + Send + '_ {
    let some = app.projections.iter().filter(|projection| !projection.topic.messages.is_empty());
    let courses: Vec<Course<'_>> = some.map(|projection| course(projection)).collect();
    let count = if courses.is_empty() { 0 } else { count };
    (0..count).map(move |n| {
        let course = &courses[(n % courses.len() as u64) as usize];
        let step = n / courses.len() as u64;
        let length = course.messages.len() as u64;
        let message = course.messages[(step % length) as usize];
        let mut numbers = Numbers { state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ n };
        let key = Key { topic: course.topic.name.as_str(), number: step / length, seed };
        let data = record_json(&message.record, &message.key, &key, &mut numbers);
        let id = format!("synthetic-{seed}-{n}");
        Ok(Line { number: n + 1, text: envelope(&message.name, &id, &data.to_string()), is_runs: false })
    })
}

fn course(projection: &Projection) -> Course<'_> {
    let topic = &projection.topic;
    let creates = |index: &usize| {
        let clause = projection.entity.as_ref().and_then(|entity| entity.clauses.get(*index)?.as_ref());
        clause.is_some_and(|clause| clause.when != When::Present)
    };
    let mut order: Vec<usize> = (0..topic.messages.len()).collect();
    order.sort_by_key(|index| !creates(index));
    Course { topic, messages: order.into_iter().filter_map(|index| topic.messages.get(index)).collect() }
}

fn record_json(
    record: &RecordType,
    key_fields: &[usize],
    key: &Key<'_>,
    numbers: &mut Numbers,
) -> serde_json::Value {
    let mut object = serde_json::Map::new();
    for (place, field) in record.fields.iter().enumerate() {
        let value = if key_fields.contains(&place) {
            key_json(&field.column.ty, key)
        } else {
            value_json(&field.name, &field.column, numbers)
        };
        object.insert(field.name.to_string(), value);
    }
    object.into()
}

fn key_json(ty: &Type, key: &Key<'_>) -> serde_json::Value {
    let number = key.number;
    match ty {
        Type::Int => (number % (1 << 31)).into(),
        Type::Long => (number % (1 << 63)).into(),
        Type::Uuid => format!("00000000-0000-4000-8000-{:012x}", number % (1 << 48)).into(),
        Type::Boolean => number.is_multiple_of(2).into(),
        Type::Enum(symbols) => {
            let place = number as usize % symbols.symbols.len().max(1);
            symbols.symbols.get(place).cloned().unwrap_or_default().into()
        }
        Type::String => format!("{}-{}-{number}", key.topic, key.seed).into(),
        other @ (Type::Float
        | Type::Double
        | Type::Bytes
        | Type::Fixed(_)
        | Type::Decimal { .. }
        | Type::Date
        | Type::TimeMillis
        | Type::TimeMicros
        | Type::TimestampMillis
        | Type::TimestampMicros
        | Type::LocalTimestampMillis
        | Type::LocalTimestampMicros
        | Type::Array(_)
        | Type::Map(_)
        | Type::Record(_)
        | Type::Union(_)) => plain_json(other, &mut Numbers { state: number }),
    }
}

fn value_json(name: &str, column: &ColumnType, numbers: &mut Numbers) -> serde_json::Value {
    if column.nullable && numbers.below(4) == 0 {
        return serde_json::Value::Null;
    }
    match &column.ty {
        Type::Array(element) => {
            (0..1 + numbers.below(4)).map(|_| value_json(name, element, numbers)).collect()
        }
        Type::Map(value) => {
            let entries =
                (0..numbers.below(4)).map(|n| (format!("key-{n}"), value_json(name, value, numbers)));
            serde_json::Value::Object(entries.collect())
        }
        Type::Record(record) => {
            let fields = record.fields.iter();
            let entries = fields.map(|f| (f.name.to_string(), value_json(&f.name, &f.column, numbers)));
            serde_json::Value::Object(entries.collect())
        }
        Type::Union(branches) => {
            let chosen = branches.get(numbers.below(branches.len() as u64) as usize);
            // Bare, it might be taken for a value of another branch.
            let tagged = chosen.map(|branch| {
                let value = value_json(name, branch, numbers);
                (branch_name(branches, &branch.ty).to_owned(), value)
            });
            serde_json::Value::Object(tagged.into_iter().collect())
        }
        Type::String if name == "currency" => ["EUR", "GBP", "USD"][numbers.below(3) as usize].into(),
        Type::String => format!("{name}-{}", numbers.below(1_000)).into(),
        other @ (Type::Boolean
        | Type::Int
        | Type::Long
        | Type::Float
        | Type::Double
        | Type::Bytes
        | Type::Fixed(_)
        | Type::Enum(_)
        | Type::Decimal { .. }
        | Type::Uuid
        | Type::Date
        | Type::TimeMillis
        | Type::TimeMicros
        | Type::TimestampMillis
        | Type::TimestampMicros
        | Type::LocalTimestampMillis
        | Type::LocalTimestampMicros) => plain_json(other, numbers),
    }
}

/// 2025 in milliseconds: times are made up within it.
const YEAR_START_MILLIS: u64 = 1_735_689_600_000;
const YEAR_MILLIS: u64 = 365 * DAY_MILLIS;
const DAY_MILLIS: u64 = 86_400_000;

fn plain_json(ty: &Type, numbers: &mut Numbers) -> serde_json::Value {
    match ty {
        Type::Boolean => (numbers.below(2) == 0).into(),
        Type::Int | Type::Long => (1 + numbers.below(10_000)).into(),
        Type::Float | Type::Double => (numbers.below(1_000_000) as f64 / 128.0).into(),
        Type::Bytes => "aGVsbG8=".into(),
        Type::Fixed(fixed) => base64_zeros(fixed.size).into(),
        Type::Enum(symbols) => {
            let place = numbers.below(symbols.symbols.len() as u64) as usize;
            symbols.symbols.get(place).cloned().unwrap_or_default().into()
        }
        // Four digits before the point, or as many as there may be.
        Type::Decimal { precision, scale, .. } => {
            let digits = u32::from(*precision).min(u32::from(*scale) + 4);
            let most = 10_u64.checked_pow(digits).unwrap_or(u64::MAX);
            text_json(ty, Datum::Decimal(numbers.below(most).into()))
        }
        Type::Uuid => format!("00000000-0000-4000-8000-{:012x}", numbers.next() >> 16).into(),
        Type::Date => text_json(ty, Datum::Long(numbers.below(20_000) as i64)),
        Type::TimeMillis => text_json(ty, Datum::Long(numbers.below(DAY_MILLIS) as i64)),
        Type::TimeMicros => text_json(ty, Datum::Long(numbers.below(DAY_MILLIS * 1_000) as i64)),
        Type::TimestampMillis | Type::LocalTimestampMillis => {
            text_json(ty, Datum::Long((YEAR_START_MILLIS + numbers.below(YEAR_MILLIS)) as i64))
        }
        Type::TimestampMicros | Type::LocalTimestampMicros => {
            text_json(ty, Datum::Long(((YEAR_START_MILLIS + numbers.below(YEAR_MILLIS)) * 1_000) as i64))
        }
        Type::String | Type::Array(_) | Type::Map(_) | Type::Record(_) | Type::Union(_) => {
            format!("text-{}", numbers.below(1_000)).into()
        }
    }
}

/// The text that the API takes for a value of a type, and answers with.
fn text_json(ty: &Type, datum: Datum<'_>) -> serde_json::Value {
    let mut out = Vec::new();
    text::write(ty, datum, &mut out);
    String::from_utf8_lossy(&out).into_owned().into()
}

fn base64_zeros(bytes: usize) -> String {
    let full = "AAAA".repeat(bytes / 3);
    match bytes % 3 {
        0 => full,
        1 => full + "AA==",
        _ => full + "AAA=",
    }
}

impl Numbers {
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`; 0 when the bound is 0.
    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;
    use tidefold_codec::json_in::{JsonEncoder, JsonLimits};
    use tidefold_codec::{EnumType, Field, FixedType};

    use super::*;

    fn plain() -> impl Strategy<Value = Type> {
        let fixed = |name: &str, size| Arc::new(FixedType { full_name: format!("shop.{name}"), size });
        let symbols = vec!["ONE".to_owned(), "TWO".to_owned()];
        let choice = EnumType { full_name: "shop.Choice".to_owned(), symbols, default: None };
        let decimal = (1..=38_u8).prop_flat_map(|precision| (Just(precision), 0..=precision));
        prop_oneof![
            10 => proptest::sample::select(vec![
                Type::Boolean,
                Type::Int,
                Type::Long,
                Type::Float,
                Type::Double,
                Type::Bytes,
                Type::String,
                Type::Uuid,
                Type::Date,
                Type::TimeMillis,
                Type::TimeMicros,
                Type::TimestampMillis,
                Type::TimestampMicros,
                Type::LocalTimestampMillis,
                Type::LocalTimestampMicros,
                Type::Enum(Arc::new(choice)),
            ]),
            1 => (0..20_usize).prop_map(move |size| Type::Fixed(fixed("Hash", size))),
            3 => (decimal, any::<bool>()).prop_map(move |((precision, scale), is_fixed)| Type::Decimal {
                precision,
                scale,
                fixed: is_fixed.then(|| fixed("Amount", 16)),
            }),
        ]
    }

    /// What of a union's branches there is one of: the same type of Avro, or the same name.
    fn base(ty: &Type) -> u8 {
        match ty {
            Type::Boolean => 0,
            Type::Int | Type::Date | Type::TimeMillis => 1,
            Type::Float => 2,
            Type::Double => 3,
            Type::Bytes | Type::Decimal { fixed: None, .. } => 4,
            Type::String | Type::Uuid => 5,
            Type::Enum(_) => 6,
            Type::Fixed(_) => 7,
            Type::Decimal { .. } => 8,
            Type::Long
            | Type::TimeMicros
            | Type::TimestampMillis
            | Type::TimestampMicros
            | Type::LocalTimestampMillis
            | Type::LocalTimestampMicros
            | Type::Array(_)
            | Type::Map(_)
            | Type::Record(_)
            | Type::Union(_) => 9,
        }
    }

    fn record(columns: Vec<(ColumnType, bool)>) -> Arc<RecordType> {
        let field = |(place, (column, null_first)): (usize, (ColumnType, bool))| Field {
            name: if place == 0 { "currency".into() } else { format!("field_{place}").into() },
            column,
            null_first,
            default: None,
            aliases: Vec::new(),
        };
        let fields = columns.into_iter().enumerate().map(field).collect();
        Arc::new(RecordType { full_name: "shop.Inner".to_owned(), fields })
    }

    fn column() -> impl Strategy<Value = ColumnType> {
        let nullable = |ty: BoxedStrategy<Type>| {
            (ty, any::<bool>()).prop_map(|(ty, nullable)| ColumnType { ty, nullable }).boxed()
        };
        nullable(plain().boxed()).prop_recursive(3, 24, 4, move |inner| {
            let fields = prop::collection::vec((inner.clone(), any::<bool>()), 0..4);
            let record = fields.prop_map(|columns| Type::Record(record(columns)));
            let branches = prop::collection::vec(plain().boxed(), 2..5).prop_map(|types| {
                let mut branches: Vec<ColumnType> = Vec::new();
                for ty in types {
                    let is_new = branches.iter().all(|known| base(&known.ty) != base(&ty));
                    branches.extend(is_new.then(|| ty.required()));
                }
                Type::Union(branches.into())
            });
            let ty = prop_oneof![
                inner.clone().prop_map(|element| Type::Array(Arc::new(element))),
                inner.prop_map(|value| Type::Map(Arc::new(value))),
                record,
                branches,
            ];
            nullable(ty.boxed())
        })
    }

    proptest! {
        /// Whatever an app's messages look like, the made-up ones are such.
        #[test]
        fn every_message_is_one_that_the_api_takes(
            keys in prop::collection::vec(plain(), 1..3), columns in prop::collection::vec((column(), any::<bool>()), 1..6),
            number in prop_oneof![0..1_000_u64, any::<u64>()], seed: u64,
        ) {
            let places: Vec<usize> = (columns.len()..columns.len() + keys.len()).collect();
            let keys = keys.into_iter().filter(text::is_key_type).map(|ty| (ty.required(), false));
            let record = record(columns.into_iter().chain(keys).collect());
            let places: Vec<usize> = places.into_iter().filter(|place| *place < record.fields.len()).collect();
            let key = Key { topic: "orders", number, seed };
            let made = record_json(&record, &places, &key, &mut Numbers { state: seed ^ number }).to_string();
            let encoder = JsonEncoder::new(record, places, JsonLimits::default());
            let taken = encoder.encode(made.as_bytes(), &mut Vec::new(), &mut Vec::new());
            prop_assert!(taken.is_ok(), "{}: {:?}", made, taken);
        }
    }
}
