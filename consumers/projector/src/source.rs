//! Who knows what a schema id stands for.

use futures_util::future::BoxFuture;
use tidefold_fold::SchemaFate;
use tidefold_record::SchemaId;

/// Decides what a schema id stands for, once and for ever: every answer about an id is the same.
pub trait SchemaSource: Send + Sync + 'static {
    /// What the id stands for. An error holds the partition until there is an answer.
    fn fate(&self, id: SchemaId) -> BoxFuture<'_, Result<SchemaFate, SchemaSourceError>>;
}

/// Nobody could say just now.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("what schema id {} stands for cannot be found out: {detail}", id.0)]
pub struct SchemaSourceError {
    /// The id.
    pub id: SchemaId,
    /// Why, and what to do.
    pub detail: String,
}
