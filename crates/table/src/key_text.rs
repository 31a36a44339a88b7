//! Stored keys as text, for whoever has to say which row it is.

use bumpalo::Bump;
use tidefold_codec::text;
use tidefold_record::Partition;

use crate::index::KeyColumns;
use crate::layout::{TableKind, TableLayout};
use crate::{checkpoint, control_copy, verdict};

// === impl TableLayout ===

impl TableLayout {
    /// A stored key as text: `customer_id=c-1, order_id=o-7`; of what is no key of this table, its bytes in hex.
    #[must_use]
    pub fn key_text(&self, key: &[u8]) -> String {
        let known = match self.kind {
            TableKind::Entity => Some(format!("key {}", String::from_utf8_lossy(key).escape_debug())),
            TableKind::Index | TableKind::Rollup => {
                self.without_bucket(key).ok().and_then(|key| self.columns_text(&key))
            }
            TableKind::Verdicts => verdict::Key::decode(key).ok().map(|key| key.to_string()),
            TableKind::Checkpoints => {
                checkpoint::key_of(key).ok().map(|Partition(at)| format!("partition {at}"))
            }
            TableKind::ControlCopy => control_copy::Key::decode(key).ok().map(|key| key.to_string()),
        };
        known.unwrap_or_else(|| format!("key 0x{}", text::hex(key)))
    }

    /// A key without its bucket as text.
    #[must_use]
    pub fn logical_key_text(&self, key: &[u8]) -> String {
        let text = match self.kind {
            TableKind::Index | TableKind::Rollup => self.columns_text(key),
            TableKind::Entity | TableKind::Verdicts | TableKind::Checkpoints | TableKind::ControlCopy => None,
        };
        text.unwrap_or_else(|| self.key_text(key))
    }

    fn columns_text(&self, key: &[u8]) -> Option<String> {
        let (arena, columns) = (Bump::new(), KeyColumns::of(self));
        let (datums, rest) = columns.values(key, &arena).ok()?;
        let mut out = Vec::new();
        for ((at, column), datum) in self.key_columns().zip(datums) {
            if !out.is_empty() {
                out.extend_from_slice(b", ");
            }
            out.extend_from_slice(self.columns.get(at)?.name.as_bytes());
            out.push(b'=');
            text::write(&column.ty, datum, &mut out);
        }
        let mut out = String::from_utf8_lossy(&out).escape_debug().to_string();
        match (self.kind, rest.first_chunk::<4>()) {
            (TableKind::Rollup, Some(shard)) if rest.len() == 4 => {
                out.push_str(&format!(", shard {}", u32::from_be_bytes(*shard)));
            }
            _ if !rest.is_empty() => return None,
            _ => {}
        }
        Some(out)
    }
}
