//! The rules of the batch step that tests take away one at a time, to see that each is needed. Outside tests every rule
//! holds and the question costs nothing.

/// A rule of the batch step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(test), allow(dead_code))]
pub(crate) enum Rule {
    /// An entity row is issued only after every derived change up to its offset is acknowledged.
    DerivedFirst,
    /// A row with an unacknowledged write is never evicted.
    KeepUnacknowledged,
    /// The checkpoint moves only after all of that.
    CheckpointLast,
    /// Reads run in the mirror image: rollups that were read before an entity row that is ahead are read again.
    ReadInMirrorImage,
    /// Caches die at a revoke.
    ForgetAtRevoke,
    /// A write that timed out is unknown and repeated until acknowledged.
    RepeatUnknown,
}

/// Which rules hold.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rules {
    #[cfg(test)]
    pub(crate) broken: Option<Rule>,
}

impl Rules {
    #[cfg(not(test))]
    pub(crate) fn hold(self, _rule: Rule) -> bool {
        true
    }

    #[cfg(test)]
    pub(crate) fn hold(self, rule: Rule) -> bool {
        self.broken != Some(rule)
    }
}

/// Caches that outlive their lane, by partition: what the rule to forget them forbids.
#[cfg(test)]
pub(crate) type Carried = std::sync::Arc<
    std::sync::Mutex<std::collections::HashMap<u32, (tidefold_fold::RowCache, Vec<tidefold_fold::RowCache>)>>,
>;
