//! Made-up messages of an app: the n-th message of a seed is always the same.
//!
//! Every key of a topic gets each of the topic's messages once, those that create an entity first, so that a made-up
//! stream has a bit of everything: creations, changes, refusals.

use tidefold_app::App;
use tidefold_app::model::{Message, Topic, When};
use tidefold_codec::{ColumnType, Type};

use crate::line::{Line, SourceError, envelope};

/// A counter-based generator (SplitMix64): the n-th number of a seed, without state in between.
struct Numbers {
    state: u64,
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
    let courses: Vec<Course<'_>> = app.topics.iter().filter(|t| !t.messages.is_empty()).map(course).collect();
    let count = if courses.is_empty() { 0 } else { count };
    (0..count).map(move |n| {
        let course = &courses[(n % courses.len() as u64) as usize];
        let step = n / courses.len() as u64;
        let length = course.messages.len() as u64;
        let message = course.messages[(step % length) as usize];
        let mut numbers = Numbers { state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ n };
        let data = message_json(course.topic, message, step / length, seed, &mut numbers);
        let id = format!("synthetic-{seed}-{n}");
        Ok(Line { number: n + 1, text: envelope(&message.name, &id, &data.to_string()), is_runs: false })
    })
}

fn course(topic: &Topic) -> Course<'_> {
    let creates = |index: &usize| {
        let transition = topic.entity.as_ref().and_then(|entity| entity.transitions.get(*index)?.as_ref());
        transition.is_some_and(|t| t.when != When::Present)
    };
    let mut order: Vec<usize> = (0..topic.messages.len()).collect();
    order.sort_by_key(|index| !creates(index));
    Course { topic, messages: order.into_iter().filter_map(|index| topic.messages.get(index)).collect() }
}

fn message_json(
    topic: &Topic,
    message: &Message,
    key: u64,
    seed: u64,
    numbers: &mut Numbers,
) -> serde_json::Value {
    let mut object = serde_json::Map::new();
    for (place, field) in message.record.fields.iter().enumerate() {
        let value = if message.key.contains(&place) {
            key_json(&field.column.ty, topic, key, seed)
        } else {
            value_json(&field.name, &field.column, numbers)
        };
        object.insert(field.name.to_string(), value);
    }
    object.into()
}

fn key_json(ty: &Type, topic: &Topic, key: u64, seed: u64) -> serde_json::Value {
    match ty {
        Type::Int | Type::Long => key.into(),
        Type::Uuid => format!("00000000-0000-4000-8000-{key:012x}").into(),
        Type::Boolean => key.is_multiple_of(2).into(),
        Type::Enum(symbols) => {
            let place = key as usize % symbols.symbols.len().max(1);
            symbols.symbols.get(place).cloned().unwrap_or_default().into()
        }
        Type::String => format!("{}-{seed}-{key}", topic.name).into(),
        other => plain_json(other, &mut Numbers { state: key }),
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
            branches.first().map_or(serde_json::Value::Null, |b| value_json(name, b, numbers))
        }
        Type::String if name == "currency" => ["EUR", "GBP", "USD"][numbers.below(3) as usize].into(),
        Type::String => format!("{name}-{}", numbers.below(1_000)).into(),
        other => plain_json(other, numbers),
    }
}

/// 2025 in milliseconds: times are made up within it.
const YEAR_START_MILLIS: u64 = 1_735_689_600_000;
const YEAR_MILLIS: u64 = 365 * 86_400_000;

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
        Type::Decimal { precision, scale, .. } => {
            let digits = u32::from(precision - scale).clamp(1, 4);
            let whole = numbers.below(10_u64.pow(digits));
            if *scale == 0 { whole.to_string().into() } else { format!("{whole}.5").into() }
        }
        Type::Uuid => format!("00000000-0000-4000-8000-{:012x}", numbers.next() >> 16).into(),
        Type::Date | Type::TimeMillis | Type::TimeMicros => numbers.below(20_000).into(),
        Type::TimestampMillis | Type::LocalTimestampMillis => {
            (YEAR_START_MILLIS + numbers.below(YEAR_MILLIS)).into()
        }
        Type::TimestampMicros | Type::LocalTimestampMicros => {
            ((YEAR_START_MILLIS + numbers.below(YEAR_MILLIS)) * 1_000).into()
        }
        _ => format!("text-{}", numbers.below(1_000)).into(),
    }
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
