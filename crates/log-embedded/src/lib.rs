//! The embedded log on fjall: group commit, one fsync for all who wait
