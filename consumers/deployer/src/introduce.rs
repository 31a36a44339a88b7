//! The app made known to its control topic, by a process that folds nothing: ingest needs schema ids, whoever is up first.

use std::sync::Arc;

use tidefold_app::App;
use tidefold_log::SharedLog;

use crate::bootstrap::{define, open_topics, register};
use crate::driver::Driver;
use crate::error::DeployError;
use crate::waiting::{Waiting, patiently};

/// Opens the app's topics, adds what the control topic lacks of its definition and schema ids, and returns the topic's
/// driver. Where the log does not answer, it waits, and tells `waiting`. Any number of processes may do this at once: whichever entry comes
/// first counts, and all obey it.
///
/// # Errors
/// When the folder is not the one the log was begun with, or the log refuses for good.
pub async fn introduce(app: Arc<App>, log: SharedLog, waiting: &Waiting) -> Result<Driver, DeployError> {
    let driver = patiently(waiting, || Driver::open(Arc::clone(&log), &app.name)).await?;
    patiently(waiting, || open_topics(&app, &*log)).await?;
    patiently(waiting, || async {
        define(&app, &driver).await?;
        for message in app.topics.iter().flat_map(|topic| &topic.messages) {
            register(&app.name, message, &driver).await?;
        }
        Ok(())
    })
    .await?;
    Ok(driver)
}
