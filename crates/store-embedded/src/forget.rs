//! Deletes that no record can contradict any more are dropped while fjall merges files.
//!
//! A delete has to keep its stamp as long as a put from before it may still arrive: until the lane's checkpoint is past
//! the record that caused it. After a loss of power the checkpoint itself may be gone; then the records are folded again,
//! and such a row is there between its put and its delete, just as it was the first time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use fjall::Slice;
use fjall::compaction::filter::{
    CompactionFilter, CompactionFilterResult, Context, Factory, ItemAccessor, Verdict,
};
use tidefold_record::Offset;
use tidefold_table::TableId;

use crate::row::Stored;
use crate::tables::lock;

/// By table and partition, the offset before which nothing is written again.
#[derive(Default)]
pub(crate) struct Passed(Mutex<HashMap<TableId, HashMap<u32, Offset>>>);

/// Makes the filter of one table.
pub(crate) struct ForgetDeletes {
    passed: Arc<Passed>,
    table: String,
}

struct Filter(HashMap<u32, Offset>);

// === impl Passed ===

impl Passed {
    pub(crate) fn set(&self, table: &TableId, partition: u32, offset: Offset) {
        let mut tables = lock(&self.0);
        match tables.get_mut(table) {
            Some(partitions) => {
                partitions.insert(partition, offset);
            }
            None => {
                tables.insert(table.clone(), HashMap::from([(partition, offset)]));
            }
        }
    }

    pub(crate) fn drop_table(&self, table: &TableId) {
        lock(&self.0).remove(table);
    }

    fn of(&self, table: &str) -> HashMap<u32, Offset> {
        let tables = lock(&self.0);
        tables.iter().find(|(id, _)| id.as_str() == table).map(|(_, of)| of.clone()).unwrap_or_default()
    }
}

// === impl ForgetDeletes ===

impl ForgetDeletes {
    pub(crate) fn new(passed: Arc<Passed>, table: &str) -> ForgetDeletes {
        ForgetDeletes { passed, table: table.to_owned() }
    }
}

impl Factory for ForgetDeletes {
    fn name(&self) -> &str {
        "forget-deletes"
    }

    fn make_filter(&self, _: &Context) -> Box<dyn CompactionFilter> {
        Box::new(Filter(self.passed.of(&self.table)))
    }
}

impl CompactionFilter for Filter {
    fn filter_item(&mut self, item: ItemAccessor<'_>, _: &Context) -> CompactionFilterResult {
        if self.0.is_empty() {
            return Ok(Verdict::Keep);
        }
        let value: Slice = item.value()?;
        Ok(match Stored::decode(&value) {
            Some(Stored::Deleted(stamp, partition))
                if self.0.get(&partition).is_some_and(|passed| stamp.offset() < *passed) =>
            {
                Verdict::Remove
            }
            _ => Verdict::Keep,
        })
    }
}
