//! What the key of a table allows.

use tidefold_table::layout::unit_name;
use tidefold_table::{Bucket, TableLayout};

/// The most buckets by time that a query may span.
pub(crate) const BUCKETS_MAX: usize = 1_000;

/// What the key of a table allows, in one sentence.
pub(crate) fn allowed(layout: &TableLayout) -> String {
    let name = |at: &usize| layout.columns.get(*at).map_or("", |column| column.name.as_str());
    let partition: Vec<_> = layout.partition_key.iter().map(|at| format!("{}=…", name(at))).collect();
    let mut text = format!("{} takes {}", layout.name, partition.join("&"));
    let clustering: Vec<_> = layout.clustering.iter().map(|c| name(&c.column)).collect();
    if let Some(first) = clustering.first() {
        text.push_str(&format!(
            ", then equality on {} from the front, then one range on the next (such as {first}.gte=…&{first}.lt=…)",
            clustering.join(", ")
        ));
    }
    if let Some((first, unit)) = clustering.first().zip(by_time(layout)) {
        text.push_str(&format!(
            "; {first} has to be given, or both ends of a range of at most {BUCKETS_MAX} {unit}s"
        ));
    }
    text
}

/// The unit that a table's buckets have, where they are by time.
pub(crate) fn by_time(layout: &TableLayout) -> Option<&'static str> {
    match layout.bucket? {
        Bucket::Trunc { unit } => Some(unit_name(unit)),
        Bucket::Hash { .. } => None,
    }
}
