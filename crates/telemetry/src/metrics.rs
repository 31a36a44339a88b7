//! Every metric, in one enum.

/// Everything that is counted; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Telemetry {}
