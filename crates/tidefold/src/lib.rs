//! The command line, configuration and composition of Tidefold: the only crate that knows every backend.
//!
//! It deliberately holds no rule of the system: what is right or wrong in an app, a fold or a request stands in the crate
//! that owns it.
//!
//! A walk through it:
//! * [`cli`]: the commands and their flags; [`command`]: what each does.
//! * [`settings`]: flag, environment, file, default.
//! * [`node`]: the parts of a node, wired together; `ports`: where it answers; `backend`: which log and store it has; [`operate`]: what operators ask of it.
//! * [`folder`]: app folders on disk; [`scenario`]: an app's own tests, run.
//! * [`output`] and [`failure`]: what is printed, and with which exit code it ends.

mod backend;
pub mod cli;
pub mod command;
pub mod failure;
pub mod folder;
mod following;
pub mod node;
pub mod operate;
pub mod output;
mod ports;
pub mod scenario;
pub mod settings;

pub use command::run;
