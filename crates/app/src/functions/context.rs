//! What a message came with.

use super::row::{Count, Fails, Form, Function, Gives, Nulls};

const CONTEXT: Function = Function {
    name: "",
    aliases: &[],
    usage: "",
    takes: &[],
    count: Count::All,
    gives: Gives::Moment,
    nulls: Nulls::OfItsOwn,
    fails: Fails::Never,
    form: Form::EventTime,
    doc: "",
};

/// When it happened.
pub static EVENT_TIME: Function = Function {
    name: "event_time",
    usage: "`event_time()`",
    doc: "when it happened (`ce_time`), timestamp-micros; NULL where the record has none",
    ..CONTEXT
};

/// When it was taken in.
pub static APPEND_TIME: Function = Function {
    name: "append_time",
    usage: "`append_time()`",
    form: Form::AppendTime,
    doc: "when it was taken in, timestamp-micros; NULL where the record has none",
    ..CONTEXT
};

/// Who sent it.
pub static CALLER: Function = Function {
    name: "caller",
    usage: "`caller()`",
    gives: Gives::String,
    form: Form::Caller,
    doc: "the authenticated principal, string; NULL where there is none",
    ..CONTEXT
};
