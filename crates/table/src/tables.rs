//! The tables of one generation of a projection, by their stored names.

use std::sync::Arc;

use tidefold_record::TopicName;

use crate::{TableId, TableKind, TableLayout};

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
    /// The views' tables, in the order of the topic's views.
    pub views: Vec<GenerationTable>,
    /// Verdicts of records that were not applied.
    pub verdicts: GenerationTable,
    /// One row a partition.
    pub checkpoints: GenerationTable,
}

impl GenerationTables {
    /// The tables of a generation of what is folded from `topic`. Verdicts and checkpoints carry a leading underscore,
    /// which no table of an app can.
    #[must_use]
    pub fn new<'l>(
        app: &str,
        topic: &TopicName,
        entity: Option<&Arc<TableLayout>>,
        views: impl Iterator<Item = &'l Arc<TableLayout>>,
        generation: u32,
    ) -> GenerationTables {
        let table = |layout: &Arc<TableLayout>| GenerationTable {
            id: TableId::new(app, &layout.name, generation),
            layout: Arc::clone(layout),
        };
        let own = |suffix: &str, kind| {
            let name = format!("_{}_{suffix}", topic.as_str().replace(['.', '-'], "_"));
            table(&Arc::new(TableLayout::untyped(name, kind)))
        };
        GenerationTables {
            generation,
            entity: entity.map(table),
            views: views.map(table).collect(),
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
