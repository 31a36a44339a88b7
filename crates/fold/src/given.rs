//! What a fold is told from outside: what schema ids stand for, and verdicts that are known already.

use std::collections::BTreeMap;
use std::sync::Arc;

use tidefold_record::Offset;
use tidefold_table::Verdict;

/// What control says of a schema id.
#[derive(Clone, Debug)]
pub enum SchemaFate {
    /// The id stands for this schema, for ever.
    Registered(Arc<str>),
    /// The id is refused, for ever: records with it are dead.
    Refused,
}

/// What is known of a batch's verdicts before it is folded. The default: nothing, every record is judged.
#[derive(Clone, Copy, Debug, Default)]
pub struct Given<'a> {
    /// A rebuild: the verdict rows of the active generation for the batch's range. Rejected and duplicate are taken as
    /// they are, records without a row are applied without asking the guards, dead ones are judged anew.
    pub published: Option<&'a BTreeMap<Offset, Verdict>>,
    /// An entity row is ahead ([`crate::FoldError::RowAhead`]): this generation's own verdict rows from the batch's start up to
    /// the row's offset. They are the verdicts of records that can no longer be judged, because their entity is at or
    /// past them (one without a row was applied). Everything else is judged as without.
    pub own: Option<&'a BTreeMap<Offset, Verdict>>,
}
