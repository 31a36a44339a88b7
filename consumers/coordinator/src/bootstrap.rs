//! The first start of an app, and every later one: what control lacks of it, and its first generations.

use std::sync::Arc;

use tidefold_app::App;
use tidefold_control::{Control, Entry, GenerationState, Generations};
use tidefold_control_log::{ControlLog, define, register};
use tidefold_store::{Store, Table};
use tidefold_table::GenerationTables;

use crate::error::CoordinatorError;
use crate::source::Source;

/// Opens the tables of a generation.
pub(crate) async fn open_tables(
    store: &dyn Store,
    tables: &GenerationTables,
) -> Result<(), CoordinatorError> {
    let tables: Vec<_> =
        tables.all().map(|table| Table { id: table.id.clone(), layout: Arc::clone(&table.layout) }).collect();
    store.open(&tables).await.map_err(CoordinatorError::store("open tables"))
}

/// Makes the app known to its control topic, as far as it is not: every step may be repeated.
pub(crate) async fn bootstrap(
    app: &App,
    sources: &[Arc<Source>],
    control_log: &ControlLog,
    store: &dyn Store,
    window: u64,
) -> Result<(), CoordinatorError> {
    define(app, control_log).await?;
    for message in app.messages() {
        register(&app.name, message, control_log).await?;
    }
    for source in sources {
        let name = source.name.as_str();
        let begin = |control: &Control| {
            let manifest = source.manifest(control, window, None)?;
            let entry = Entry::Building { topic: name.to_owned(), generation: 1, manifest };
            control.generations(name).is_none().then_some(entry)
        };
        let control = control_log.append(begin).await?;
        // Killed between the two entries, it goes on here: no other generation can have come in between.
        if control.generations(name).and_then(first_unfinished) != Some(1) {
            continue;
        }
        // What does not load is told where its lanes would begin.
        let Ok(projection) = source.built_from(&control, 1) else { continue };
        open_tables(store, &projection.tables(1)).await?;
        let activate = |control: &Control| {
            let wanted = control.generations(name).and_then(first_unfinished) == Some(1);
            wanted.then(|| Entry::Activated { topic: name.to_owned(), generation: 1 })
        };
        control_log.append(activate).await?;
    }
    Ok(())
}

/// The first generation, while no generation was ever active: it is empty, so it is activated at once.
fn first_unfinished(projection: &Generations) -> Option<u32> {
    let building = projection.in_state(GenerationState::Building).next()?.0;
    projection.active.is_none().then_some(building)
}
