//! Rests, and calls that block.

use std::time::Duration;

use tidefold_log::LogError;

/// A rest before brokers are asked again.
#[expect(
    clippy::disallowed_methods,
    reason = "brokers learn of a new topic or leader one after the other and tell nobody"
)]
pub(crate) async fn pause(time: Duration) {
    tokio::time::sleep(time).await;
}

/// Runs what blocks where it may.
pub(crate) async fn blocking<T: Send + 'static>(
    ask: impl FnOnce() -> Result<T, LogError> + Send + 'static,
) -> Result<T, LogError> {
    tokio::task::spawn_blocking(ask).await.unwrap_or_else(|_| {
        Err(LogError::Unavailable { detail: "the process is shutting down; start it again".to_owned() })
    })
}
