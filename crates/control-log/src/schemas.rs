//! Our own id authority: which schema an id stands for, decided once and for ever by the first entry about it.

use tidefold_app::model::Message;
use tidefold_control::{Control, Entry, SchemaRecord};
use tidefold_record::SchemaId;

use crate::error::ControlLogError;
use crate::topic::ControlLog;

/// Nobody could say just now what an id stands for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("what schema id {} stands for cannot be found out: {detail}", id.0)]
pub struct Undecided {
    /// The id.
    pub id: SchemaId,
    /// Why, and what to do.
    pub detail: String,
}

/// Gives a message's schema the next free id, unless it has one.
///
/// # Errors
/// When no id is left, or the log does not answer.
pub async fn register(app: &str, message: &Message, control_log: &ControlLog) -> Result<(), ControlLogError> {
    let schema = &message.schema_json;
    let decide = |control: &Control| {
        if control.id_of(schema).is_some() {
            return Ok(None);
        }
        let id = control.free_id().ok_or_else(|| ControlLogError::NoSchemaId { app: app.to_owned() })?;
        Ok(Some(Entry::SchemaRegistered { id, schema: schema.clone() }))
    };
    loop {
        match control_log.try_append(decide).await {
            // The id was taken by another entry in between: the next free one is another.
            Err(ControlLogError::Refused { .. }) => {}
            other => return other.map(|_| ()),
        }
    }
}

// === impl ControlLog ===

impl ControlLog {
    /// What an id stands for: reads control to its end; an id that stands nowhere is one that our own authority never gave,
    /// so it is refused, with its block. Whichever entry about it came first counts.
    ///
    /// # Errors
    /// When the log does not answer.
    pub async fn schema(&self, id: SchemaId) -> Result<SchemaRecord, Undecided> {
        if let Some(record) = self.control().schema(id) {
            return Ok(record.clone());
        }
        let reason = "no message of the app was registered under it, nor under those below";
        let refuse = |control: &Control| {
            let id = Control::to_refuse(id);
            let entry = Entry::SchemaRefused { id, reason: reason.to_owned() };
            control.schema(id).is_none().then_some(entry)
        };
        let detail = match self.append(refuse).await {
            Ok(_) => "control has no entry about it",
            Err(ControlLogError::Refused { .. }) => "another entry about it came first",
            Err(error) => return Err(Undecided { id, detail: error.to_string() }),
        };
        match self.control().schema(id) {
            Some(record) => Ok(record.clone()),
            None => Err(Undecided { id, detail: detail.to_owned() }),
        }
    }
}
