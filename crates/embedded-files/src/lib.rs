//! What lies in a folder that fjall is to open, looked at before fjall reads it.
//!
//! fjall takes a folder as it finds it: it cuts a journal at the first thing it cannot read, makes anew what has no file
//! `current`, and removes what its own list does not name. Each of these loses rows without a word when a file is
//! damaged or missing. So a folder is looked at first:
//!
//! * [`list`]: a folder that was closed in order lists its files, with sizes and checksums. What differs is damage.
//! * [`trees`]: each tree's `current` and version file match their checksums, and every tree that is named is there.
//! * [`journal`]: which batches the journals hold, and where the newest one breaks off.
//! * [`marks`]: how far each tree had come when the journals before this one were no longer needed.
//! * [`inspect`]: puts these together. A tree on the disk that is newer than the end of the journals is damage: fjall
//!   syncs the journal before it writes a tree's file, so no crash leaves that.
//!
//! [`cause`] says what it means when the system refuses a write.
//!
//! The bytes of tables and blob files are not read here: they have a checksum a block, which is verified at each read.

mod cause;
#[cfg(feature = "damage")]
pub mod damage;
mod fault;
mod inspect;
mod journal;
mod journal_files;
mod list;
mod marks;
mod trees;
mod versions;

pub use cause::{explain, explain_background, probe};
pub use fault::Fault;
pub use inspect::{Expected, inspect};
pub use journal::Tail;
pub use list::{Closed, check_list, remove_list, write_list};
pub use marks::{MARKS_KEY, Marks};
