//! What becomes of generations, an operation a file.
//!
//! * `replay`: the topics' tables built anew. [`build`]: a generation from its first record on, beside the live one;
//!   `begin`: those that run here, and those finished for whoever is gone.
//! * [`compare`]: two generations, row by row.
//! * `pair`: a generation and the one to take its place, brought to a common position; `activate`: that one put there.
//! * `roll_back`: the one before, again. `retire`: those that are not needed any more, dropped.
//! * `add_dead_letter`, `lift_breaker`: what an operator does about a partition that stands.

mod activate;
mod add_dead_letter;
pub(crate) mod begin;
pub mod build;
pub mod compare;
mod lift_breaker;
mod pair;
mod replay;
mod retire;
mod roll_back;
