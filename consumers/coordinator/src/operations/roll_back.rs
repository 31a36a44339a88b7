//! The generation that was active before, active again.

use std::sync::Arc;

use tidefold_control::GenerationState;

use super::pair::Pair;
use crate::coordinator::Coordinator;
use crate::error::CoordinatorError;

// === impl Coordinator ===

impl Coordinator {
    /// Goes back to the generation that was active before, at a common position.
    ///
    /// # Errors
    /// When no generation is kept, or it does not get to where the active one is.
    pub async fn rollback(&self, topic: &str) -> Result<u32, CoordinatorError> {
        let source = self.process().source(topic)?;
        let control = self.process().control_log.control();
        let known = control.generations(topic);
        let kept = known.and_then(|p| p.in_state(GenerationState::Kept).last()).map(|(number, _)| number);
        let Some((from, to)) = known.and_then(|p| p.active).zip(kept) else {
            return Err(CoordinatorError::NoGeneration { topic: topic.to_owned(), wanted: "kept" });
        };
        let (process, source) = (Arc::clone(self.process()), Arc::clone(source));
        let pair = Pair { process, source, from, to, state: GenerationState::Kept, follows: true };
        // Nothing was compared, so nothing differs.
        pair.switch(&[], true, &|_| {}).await?;
        Ok(to)
    }
}
