//! The tables of one generation of a projection, by their stored names.

use std::sync::Arc;

use crate::layout::{TableId, TableKind, TableLayout};
use crate::model::{App, Topic};

/// A table of a generation.
#[derive(Clone, Debug)]
pub struct GenerationTable {
    /// Its stored name.
    pub id: TableId,
    /// Its columns and key.
    pub layout: Arc<TableLayout>,
}

/// All tables of one generation of a projection.
#[derive(Clone, Debug)]
pub struct GenerationTables {
    /// The generation.
    pub generation: u32,
    /// The entity's table, if the topic has an entity.
    pub entity: Option<GenerationTable>,
    /// The views' tables, in the order of `Topic::views`.
    pub views: Vec<GenerationTable>,
    /// Verdicts of records that were not applied.
    pub verdicts: GenerationTable,
    /// One row a partition.
    pub checkpoints: GenerationTable,
}

impl GenerationTables {
    /// The tables of a generation. Verdicts and checkpoints carry a leading underscore, which no table of an app can.
    #[must_use]
    pub fn new(app: &App, topic: &Topic, generation: u32) -> GenerationTables {
        let table = |layout: &Arc<TableLayout>| GenerationTable {
            id: TableId::new(&app.name, &layout.name, generation),
            layout: Arc::clone(layout),
        };
        let own = |suffix: &str, kind| {
            let name = format!("_{}_{suffix}", topic.name.as_str().replace(['.', '-'], "_"));
            table(&Arc::new(TableLayout {
                name,
                kind,
                columns: vec![],
                partition_key: vec![],
                clustering: vec![],
                bucket: None,
            }))
        };
        GenerationTables {
            generation,
            entity: topic.entity.as_ref().map(|entity| table(&entity.layout)),
            views: topic.views.iter().map(|view| table(&view.layout)).collect(),
            verdicts: own("verdicts", TableKind::Verdicts),
            checkpoints: own("checkpoints", TableKind::Checkpoints),
        }
    }

    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = &GenerationTable> {
        self.entity.iter().chain(&self.views).chain([&self.verdicts, &self.checkpoints])
    }

    /// The table of an entity or view by the name a query uses.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<&GenerationTable> {
        self.entity.iter().chain(&self.views).find(|table| table.layout.name == name)
    }
}
