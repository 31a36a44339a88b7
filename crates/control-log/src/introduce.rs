//! The app made known to its control topic, by a process that folds nothing: ingest needs schema ids, whoever is up first.

use std::sync::Arc;

use tidefold_app::App;
use tidefold_log::{Log, SharedLog, Topic, TopicSpec};
use tidefold_telemetry::Retry;

use crate::define::define;
use crate::error::ControlLogError;
use crate::schemas::register;
use crate::topic::ControlLog;
use crate::waiting::{Waiting, patiently};

/// Opens the app's topics, adds what the control topic lacks of its definition and schema ids, and returns the control
/// topic. Where the log does not answer, it waits, and reports that to `waiting`. Any number of processes may do this at once:
/// whichever entry comes first counts, and all follow it.
///
/// # Errors
/// When the folder is not the one the log was begun with, or the log refuses for good.
pub async fn introduce(
    app: Arc<App>,
    log: SharedLog,
    retry: &Retry,
    waiting: &Waiting,
) -> Result<ControlLog, ControlLogError> {
    let open = || ControlLog::open(Arc::clone(&log), &app.name);
    let control_log = patiently(retry, waiting, "open the control topic", open).await?;
    patiently(retry, waiting, "open topics", || open_topics(&app, &*log)).await?;
    patiently(retry, waiting, "make the app known", || async {
        define(&app, &control_log).await?;
        for message in app.messages() {
            register(&app.name, message, &control_log).await?;
        }
        Ok::<_, ControlLogError>(())
    })
    .await?;
    Ok(control_log)
}

/// Opens the app's data topics, in the order of the app.
///
/// # Errors
/// When the log does not answer or a topic is another.
pub async fn open_topics(app: &App, log: &dyn Log) -> Result<Vec<Topic>, ControlLogError> {
    let mut topics = Vec::new();
    for projection in &app.projections {
        let (name, partitions) = (projection.log_topic(), projection.topic.partitions);
        let spec = TopicSpec { name, partitions, create: true };
        topics.push(log.open(&spec).await.map_err(ControlLogError::log("open a topic"))?);
    }
    Ok(topics)
}
