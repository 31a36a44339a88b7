//! What a change feed is to be told: one publication for each folded record, in offset order. Whoever publishes makes the
//! feed's entry of it ([`tidefold_table::feed`]), of a generation that the fold does not know.

use bytes::Bytes;
use tidefold_app::model::Projection;
use tidefold_codec::columns;
use tidefold_record::Offset;
use tidefold_table::Verdict;

use crate::transition::Transition;

/// What the feed says of one record. Whoever reads it drops offsets it has seen: entries come at least once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publication {
    /// The record.
    pub offset: Offset,
    /// Its key, as it stands in the log.
    pub key: Option<Bytes>,
    /// What became of it.
    pub verdict: Verdict,
    /// The place of its message in the topic, where it could be read and had to be.
    pub message: Option<usize>,
    /// The entity's columns before it, encoded, where it was applied and there was one.
    pub old: Option<Bytes>,
    /// The entity's columns after it, encoded, where it was applied and there is one.
    pub new: Option<Bytes>,
}

// === impl Publication ===

impl Publication {
    pub(crate) fn of(projection: &Projection, transition: &Transition<'_>) -> Publication {
        let state = |slots: &[_]| {
            let types =
                projection.entity.iter().flat_map(|entity| &entity.columns).map(|column| &column.column);
            let mut bytes = Vec::new();
            columns::encode(types, slots, &mut bytes);
            Bytes::from(bytes)
        };
        Publication {
            offset: transition.offset,
            key: transition.key.map(Bytes::copy_from_slice),
            verdict: transition.verdict.clone(),
            message: transition.message.map(|message| message.index),
            old: transition.old.map(state),
            new: transition.new.map(state),
        }
    }
}
