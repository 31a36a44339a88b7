//! How many records a second one core folds: a million messages of an online shop, made in memory, folded with one index
//! and one rollup. Nothing is read or written; the store is the row cache. Run it in release:
//!
//! ```text
//!   cargo run --release -p tidefold-fold --example fold_rate [records [records in a batch]]
//! ```

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use tidefold_app::{App, SourceFile};
use tidefold_codec::json_in::{JsonEncoder, JsonLimits};
use tidefold_fold::{Changes, Effect, FoldSettings, Folder, Given, RowCache, SchemaFate, checkpoint_after};
use tidefold_record::headers::{HeadersBuilder, Known};
use tidefold_record::{BatchBuilder, Offset, Partition, RecordBatch, SchemaId, frame};
use tidefold_table::Checkpoint;

type Failure = Box<dyn std::error::Error>;

const ROUNDS: usize = 5;
/// Enough for every order.
const CACHE_BYTES: usize = 1 << 30;

/// Writes messages as ingest would.
struct Writer {
    encoders: Vec<JsonEncoder>,
    names: Vec<String>,
    batch: BatchBuilder,
    batches: Vec<RecordBatch>,
    count: u64,
    /// Records in a batch.
    len: usize,
}

fn main() -> Result<(), Failure> {
    let records: u64 = std::env::args().nth(1).map_or(Ok(1_000_000), |text| text.parse())?;
    let batch: usize = std::env::args().nth(2).map_or(Ok(1_000), |text| text.parse())?;
    let app = Arc::new(app()?);
    let mut writer = Writer::new(&app, batch);
    write_orders(&mut writer, records)?;
    let batches = writer.finish();
    let bytes: usize = batches.iter().map(RecordBatch::size_bytes).sum();

    println!("{records} records, {:.0} bytes each", bytes as f64 / records as f64);
    for _ in 0..ROUNDS {
        let (start, used) = (now(), processor_seconds());
        let (applied, written) = fold(&app, &batches)?;
        let (wall, seconds) = (start.elapsed().as_secs_f64(), processor_seconds() - used);
        let rate = records as f64 / seconds;
        print!("{applied} applied, {written} rows written; {wall:.3} s, {seconds:.3} s of processor time: ");
        println!("{rate:.0} records/s, {:.0} ns a record", 1e9 / rate);
    }
    Ok(())
}

/// Folds all batches; how many records were applied, how many rows written.
fn fold(app: &Arc<App>, batches: &[RecordBatch]) -> Result<(u64, usize), Failure> {
    let projection = &app.projections[0];
    let mut folder = Folder::new(Arc::clone(projection), Partition(0), FoldSettings::default());
    for (at, message) in projection.topic.messages.iter().enumerate() {
        folder.learn(SchemaId(at as u32), &SchemaFate::Registered(message.schema_json.as_str().into()));
    }
    let mut entities = RowCache::new(CACHE_BYTES, true);
    let mut rollups: Vec<RowCache> =
        projection.views.iter().map(|_| RowCache::new(CACHE_BYTES, true)).collect();
    let mut changes = Changes::default();
    let (mut applied, mut written, mut checkpoint) = (0, 0, Checkpoint::START);
    for batch in batches {
        let keys = batch.iter().filter_map(|record| record.key);
        for key in entities.missing(keys) {
            entities.loaded(key, None);
        }
        folder.fold(batch, Given::default(), &mut entities, &mut changes)?;
        for (view, cache) in rollups.iter_mut().enumerate() {
            cache.missing(changes.rollup_keys(view));
        }
        folder.apply_rollups(&mut changes, &mut rollups)?;
        applied += changes.applied;
        checkpoint = checkpoint_after(&checkpoint, batch);
        let effects = folder.effects(&mut changes, &mut entities, &mut rollups, checkpoint);
        written += effects.iter().map(Effect::row_count).sum::<usize>();
        entities.acknowledged();
        rollups.iter_mut().for_each(RowCache::acknowledged);
    }
    Ok((applied, written))
}

#[expect(clippy::disallowed_methods, reason = "a measurement reads the clock")]
fn now() -> Instant {
    Instant::now()
}

/// The processor time this thread has used, where the system tells: others may be at work on the machine.
fn processor_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split(' ').next().and_then(|nanos| nanos.parse::<f64>().ok()).map_or(f64::NAN, |nanos| nanos / 1e9)
}

/// The storefront with one partition, and without its third view.
fn app() -> Result<App, Failure> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../schemas/storefront");
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_file() {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let mut text = std::fs::read_to_string(&path)?;
            if name == "app.toml" {
                text = text.replace("partitions = 12", "partitions = 1");
                text.truncate(text.find("[views.units_by_sku]").unwrap_or(text.len()));
            }
            files.push(SourceFile { path: name, text });
        }
    }
    tidefold_app::load(files).map_err(|errors| format!("{errors:?}").into())
}

/// Orders are placed, paid 1,000 records later and shipped 3,000 records later; one in twenty is cancelled instead.
fn write_orders(writer: &mut Writer, records: u64) -> Result<(), Failure> {
    let mut order = 0u64;
    while writer.count < records {
        let place = format!(
            r#"{{"order_id":"o-{order:08}","customer_id":"c-{}","currency":"EUR","total_cents":{},"items":[{{"sku":"sku-{}","qty":2,"price_cents":1250}},{{"sku":"sku-{}","qty":1,"price_cents":99}}]}}"#,
            order.wrapping_mul(7_919) % 50_000,
            1_000 + order % 9_000,
            order % 500,
            order % 77
        );
        writer.write("PlaceOrder", order, &place)?;
        if let Some(paid) = order.checked_sub(1_000) {
            writer.write("PayOrder", order, &format!(r#"{{"order_id":"o-{paid:08}"}}"#))?;
        }
        if let Some(sent) = order.checked_sub(3_000) {
            let name = if sent % 20 == 0 { "CancelOrder" } else { "ShipOrder" };
            writer.write(
                name,
                order,
                &format!(
                    r#"{{"order_id":"o-{sent:08}"{}}}"#,
                    if sent % 20 == 0 { r#","reason":null"# } else { "" }
                ),
            )?;
        }
        order += 1;
    }
    Ok(())
}

// === impl Writer ===

impl Writer {
    fn new(app: &App, len: usize) -> Writer {
        let messages = &app.projections[0].topic.messages;
        Writer {
            encoders: messages
                .iter()
                .map(|m| JsonEncoder::new(Arc::clone(&m.record), m.key.clone(), JsonLimits::default()))
                .collect(),
            names: messages.iter().map(|message| message.name.clone()).collect(),
            batch: BatchBuilder::new(),
            batches: Vec::new(),
            count: 0,
            len,
        }
    }

    fn write(&mut self, name: &str, order: u64, json: &str) -> Result<(), Failure> {
        let at = self.names.iter().position(|found| found == name).ok_or("no such message")?;
        let (mut value, mut key) = (Vec::new(), Vec::new());
        frame(SchemaId(at as u32), &mut value);
        self.encoders[at]
            .encode(json.as_bytes(), &mut value, &mut key)
            .map_err(|errors| format!("{errors:?}"))?;
        let mut headers = HeadersBuilder::new();
        let time = format!(
            "2026-03-{:02}T{:02}:{:02}:{:02}.{:03}Z",
            1 + order / 86_400 % 28,
            order / 3_600 % 24,
            order / 60 % 60,
            order % 60,
            order % 1_000
        );
        headers.push(Known::CeSpecversion, b"1.0");
        headers.push(Known::CeId, format!("0195c2a0-7b1e-7000-8000-{:012x}", self.count).as_bytes());
        headers.push(Known::CeSource, b"/v1/storefront/anonymous");
        headers.push(Known::CeType, name.as_bytes());
        headers.push(Known::CeTime, time.as_bytes());
        headers.push(Known::AppendTime, time.as_bytes());
        self.batch.push(Some(&key), Some(&value), headers.as_headers());
        self.count += 1;
        if self.batch.len() == self.len {
            self.cut();
        }
        Ok(())
    }

    fn cut(&mut self) {
        let first = self.count - self.batch.len() as u64;
        self.batches.push(std::mem::take(&mut self.batch).build(Partition(0), Offset(first)));
    }

    fn finish(mut self) -> Vec<RecordBatch> {
        self.cut();
        self.batches
    }
}
