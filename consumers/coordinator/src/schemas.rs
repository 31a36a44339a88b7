//! What a schema id stands for, as control says it to lanes.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use tidefold_control::SchemaRecord;
use tidefold_control_log::ControlLog;
use tidefold_fold::SchemaFate;
use tidefold_projector::{SchemaSource, SchemaSourceError};
use tidefold_record::SchemaId;

/// The schema ids of one app.
pub(crate) struct Schemas(pub(crate) ControlLog);

// === impl Schemas ===

impl SchemaSource for Schemas {
    fn fate(&self, id: SchemaId) -> BoxFuture<'_, Result<SchemaFate, SchemaSourceError>> {
        Box::pin(async move {
            match self.0.schema(id).await {
                Ok(SchemaRecord::Registered(schema)) => Ok(SchemaFate::Registered(Arc::clone(&schema))),
                Ok(SchemaRecord::Refused(_)) => Ok(SchemaFate::Refused),
                Err(undecided) => Err(SchemaSourceError { id: undecided.id, detail: undecided.detail }),
            }
        })
    }
}
