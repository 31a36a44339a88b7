//! Random schemas and values from one seed, in every form that a test compares.

#![allow(dead_code, reason = "each test binary uses a part")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "this is test code outside a test function")]

use std::sync::Arc;

use apache_avro::types::Value as Avro;
use apache_avro::{Decimal, Schema};
use serde_json::{Value as Json, json};
use tidefold_codec::schema::record_type;
use tidefold_codec::{ColumnType, Datum, RecordType, Type, text};

/// SplitMix64: small, seeded, the same everywhere.
pub struct Rng(pub u64);

impl Rng {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    pub fn chance(&mut self, one_in: u64) -> bool {
        self.below(one_in) == 0
    }

    /// A number of any magnitude.
    pub fn long(&mut self) -> i64 {
        let shift = self.below(64);
        (self.next() as i64) >> shift
    }

    pub fn within(&mut self, low: i64, high: i64) -> i64 {
        match self.below(8) {
            0 => low,
            1 => high,
            _ => low + self.below((high - low) as u64 + 1) as i64,
        }
    }

    pub fn text(&mut self) -> String {
        const PIECES: [&str; 14] =
            ["a", "B", "7", " ", "/", "%", "\"", "\\", "\n", "\u{0}", "é", "漢", "🦀", "lorem ipsum"];
        (0..self.below(6)).map(|_| PIECES[self.below(PIECES.len() as u64) as usize]).collect()
    }

    pub fn bytes(&mut self, size: u64) -> Vec<u8> {
        (0..size).map(|_| self.next() as u8).collect()
    }
}

/// A random record schema. Fields may be nullable in either branch order; `defaults`: some have a default.
pub fn schema(rng: &mut Rng) -> Json {
    Schemas { names: 0, bytes_decimals: true, union_records: 2 }.record(rng, 3)
}

/// The schema, parsed, and its record type.
pub fn parse(schema: &Json) -> (Schema, Arc<RecordType>) {
    let schema = Schema::parse(schema).unwrap_or_else(|error| panic!("{error}: {schema:#}"));
    let record = record_type(&schema).unwrap_or_else(|problems| panic!("{problems:?}"));
    (schema, record)
}

/// Makes schemas whose named types have different names.
pub struct Schemas {
    pub names: u32,
    pub bytes_decimals: bool,
    /// apache-avro does not tell the records of a union apart when it resolves.
    pub union_records: u64,
}

impl Schemas {
    fn name(&mut self, kind: &str) -> String {
        self.names += 1;
        format!("{kind}{}", self.names)
    }

    pub fn record(&mut self, rng: &mut Rng, depth: u32) -> Json {
        let name = self.name("Record");
        let fields = 0..rng.below(7) + u64::from(depth == 3);
        let fields: Vec<_> = fields
            .map(|at| json!({"name": format!("f{at}"), "type": self.column(rng, depth, true)}))
            .collect();
        json!({"type": "record", "name": name, "namespace": "test.random", "fields": fields})
    }

    fn column(&mut self, rng: &mut Rng, depth: u32, field: bool) -> Json {
        if depth > 0 && rng.chance(8) {
            return self.union(rng, depth);
        }
        let ty = self.ty(rng, depth);
        match rng.below(6) {
            0 => json!(["null", ty]),
            1 if field => json!([ty, "null"]),
            _ => ty,
        }
    }

    fn union(&mut self, rng: &mut Rng, depth: u32) -> Json {
        let mut branches = Vec::new();
        if rng.chance(3) {
            branches.push(json!("null"));
        }
        // At most one unnamed type of a kind.
        let unnamed: [fn(&mut Rng) -> Json; 4] = [
            |rng| if rng.chance(2) { json!("int") } else { logical("int", "date") },
            |rng| if rng.chance(2) { json!("long") } else { logical("long", "timestamp-micros") },
            |rng| if rng.chance(2) { json!("string") } else { logical("string", "uuid") },
            |_| json!("boolean"),
        ];
        branches.extend(unnamed.iter().filter_map(|make| if rng.chance(2) { Some(make(rng)) } else { None }));
        if rng.chance(2) {
            branches.push(json!({"type": "array", "items": self.column(rng, depth - 1, false)}));
        }
        branches.extend((0..rng.below(self.union_records + 1)).map(|_| self.record(rng, depth - 1)));
        if branches.len() < 3 {
            branches.push(json!("double"));
            branches.push(json!("bytes"));
        }
        Json::Array(branches)
    }

    fn ty(&mut self, rng: &mut Rng, depth: u32) -> Json {
        let last = if depth > 0 { 23 } else { 19 };
        match rng.below(last) {
            0 => json!("boolean"),
            1 => json!("int"),
            2 => json!("long"),
            3 => json!("float"),
            4 => json!("double"),
            5 => json!("bytes"),
            6 => json!("string"),
            7 => json!({"type": "fixed", "name": self.name("Fixed"), "size": rng.below(9)}),
            8 => json!({"type": "enum", "name": self.name("Enum"), "symbols": ["RED", "GREEN", "BLUE"]}),
            9 if self.bytes_decimals => {
                json!({"type": "bytes", "logicalType": "decimal", "precision": 1 + rng.below(38), "scale": 1})
            }
            9 | 10 => {
                json!({"type": "fixed", "name": self.name("Amount"), "size": 16, "logicalType": "decimal",
                "precision": 12, "scale": rng.below(5)})
            }
            11 => logical("string", "uuid"),
            12 => logical("int", "date"),
            13 => logical("int", "time-millis"),
            14 => logical("long", "time-micros"),
            15 => logical("long", "timestamp-millis"),
            16 => logical("long", "timestamp-micros"),
            17 => logical("long", "local-timestamp-millis"),
            18 => logical("long", "local-timestamp-micros"),
            19 | 20 => json!({"type": "array", "items": self.column(rng, depth - 1, false)}),
            21 => json!({"type": "map", "values": self.column(rng, depth - 1, false)}),
            _ => self.record(rng, depth - 1),
        }
    }
}

pub fn logical(base: &str, name: &str) -> Json {
    json!({"type": base, "logicalType": name})
}

/// A value of a record: as JSON in our mapping, and as apache-avro has it.
pub fn record_value(rng: &mut Rng, record: &RecordType) -> (Json, Avro) {
    let mut json = serde_json::Map::new();
    let mut avro = Vec::new();
    for field in &record.fields {
        let (as_json, as_avro) = column_value(rng, &field.column, field.null_first);
        json.insert(field.name.to_string(), as_json);
        avro.push((field.name.to_string(), as_avro));
    }
    (Json::Object(json), Avro::Record(avro))
}

fn column_value(rng: &mut Rng, column: &ColumnType, null_first: bool) -> (Json, Avro) {
    let nulls = u32::from(column.nullable);
    if column.nullable && rng.chance(3) {
        let first = null_first || matches!(column.ty, Type::Union(_));
        return (Json::Null, Avro::Union(u32::from(!first), Box::new(Avro::Null)));
    }
    if let Type::Union(branches) = &column.ty {
        let at = rng.below(branches.len() as u64) as usize;
        let (json, avro) = value(rng, &branches[at].ty);
        let name = tidefold_codec::schema::type_text(&branches[at]);
        let name = name.split('<').next().unwrap().to_owned();
        return (json!({ name: json }), Avro::Union(at as u32 + nulls, Box::new(avro)));
    }
    let (json, avro) = value(rng, &column.ty);
    if column.nullable {
        return (json, Avro::Union(u32::from(null_first), Box::new(avro)));
    }
    (json, avro)
}

fn written(ty: &Type, datum: Datum<'_>) -> Json {
    let mut out = Vec::new();
    text::write(ty, datum, &mut out);
    Json::String(String::from_utf8(out).unwrap())
}

const DAY: i64 = 86_400_000_000;
const FIRST: i64 = -719_162 * DAY;
const LAST: i64 = 2_932_897 * DAY - 1;

fn value(rng: &mut Rng, ty: &Type) -> (Json, Avro) {
    let mut time = |low: i64, high: i64, avro: fn(i64) -> Avro| {
        let value = rng.within(low, high);
        (written(ty, Datum::Long(value)), avro(value))
    };
    match ty {
        Type::Date => return time(-719_162, 2_932_896, |v| Avro::Date(v as i32)),
        Type::TimeMillis => return time(0, 86_399_999, |v| Avro::TimeMillis(v as i32)),
        Type::TimeMicros => return time(0, DAY - 1, Avro::TimeMicros),
        Type::TimestampMillis => return time(FIRST / 1000, LAST / 1000, Avro::TimestampMillis),
        Type::TimestampMicros => return time(FIRST, LAST, Avro::TimestampMicros),
        Type::LocalTimestampMillis => return time(FIRST / 1000, LAST / 1000, Avro::LocalTimestampMillis),
        Type::LocalTimestampMicros => return time(FIRST, LAST, Avro::LocalTimestampMicros),
        _ => {}
    }
    match ty {
        Type::Array(element) => {
            let count = if rng.chance(30) { 70 } else { rng.below(4) };
            let values = (0..count).map(|_| column_value(rng, element, true));
            let (json, avro): (Vec<_>, Vec<_>) = values.unzip();
            (Json::Array(json), Avro::Array(avro))
        }
        Type::Map(element) => {
            let entries: Vec<_> = (0..rng.below(4))
                .map(|at| (format!("{at}{}", rng.text()), column_value(rng, element, true)))
                .collect();
            let json = entries.iter().map(|(key, (json, _))| (key.clone(), json.clone())).collect();
            let avro = entries.into_iter().map(|(key, (_, avro))| (key, avro)).collect();
            (Json::Object(json), Avro::Map(avro))
        }
        Type::Record(record) => record_value(rng, record),
        _ => scalar_value(rng, ty),
    }
}

fn scalar_value(rng: &mut Rng, ty: &Type) -> (Json, Avro) {
    match ty {
        Type::Boolean => {
            let value = rng.chance(2);
            (json!(value), Avro::Boolean(value))
        }
        Type::Int => {
            let value = rng.long() as i32;
            (json!(value), Avro::Int(value))
        }
        Type::Long => {
            let value = rng.long();
            (json!(value), Avro::Long(value))
        }
        Type::Float => {
            let value = Some(f32::from_bits(rng.next() as u32)).filter(|v| v.is_finite()).unwrap_or(0.5);
            (json!(f64::from(value)), Avro::Float(value))
        }
        Type::Double => {
            let value = Some(f64::from_bits(rng.next())).filter(|v| v.is_finite()).unwrap_or(0.1);
            (json!(value), Avro::Double(value))
        }
        Type::String => {
            let value = rng.text();
            (json!(value), Avro::String(value))
        }
        Type::Bytes => {
            let size = rng.below(7);
            let value = rng.bytes(size);
            (json!(base64(&value)), Avro::Bytes(value))
        }
        Type::Fixed(fixed) => {
            let value = rng.bytes(fixed.size as u64);
            (json!(base64(&value)), Avro::Fixed(fixed.size, value))
        }
        Type::Enum(symbols) => {
            let at = rng.below(symbols.symbols.len() as u64) as usize;
            (json!(symbols.symbols[at]), Avro::Enum(at as u32, symbols.symbols[at].clone()))
        }
        Type::Uuid => {
            let value = apache_uuid(rng);
            (Json::String(value.to_string()), Avro::Uuid(value))
        }
        Type::Decimal { precision, fixed, .. } => {
            let limit = 10i128.pow(u32::from(*precision));
            let value = (i128::from(rng.next() as i64) * i128::from(rng.next() as i64)) % limit;
            let bytes = value.to_be_bytes();
            let short = if fixed.is_some() { &bytes[..] } else { shortest(&bytes) };
            (written(ty, Datum::Decimal(value)), Avro::Decimal(Decimal::from(short)))
        }
        other => panic!("no scalar: {other:?}"),
    }
}

fn apache_uuid(rng: &mut Rng) -> uuid::Uuid {
    uuid::Uuid::from_u64_pair(rng.next(), rng.next())
}

fn shortest(bytes: &[u8]) -> &[u8] {
    match bytes {
        [0, next, ..] if next & 0x80 == 0 => shortest(&bytes[1..]),
        [0xff, next, ..] if next & 0x80 != 0 => shortest(&bytes[1..]),
        _ => bytes,
    }
}

/// Base64, written a second time and differently, to check against.
pub fn base64(bytes: &[u8]) -> String {
    let bits: String = bytes.iter().map(|byte| format!("{byte:08b}")).collect();
    let mut text = String::new();
    for chunk in bits.as_bytes().chunks(6) {
        let group = format!("{:0<6}", std::str::from_utf8(chunk).unwrap());
        let value = u8::from_str_radix(&group, 2).unwrap();
        text.push(match value {
            0..26 => (b'A' + value) as char,
            26..52 => (b'a' + value - 26) as char,
            52..62 => (b'0' + value - 52) as char,
            62 => '+',
            _ => '/',
        });
    }
    while !text.len().is_multiple_of(4) {
        text.push('=');
    }
    text
}
