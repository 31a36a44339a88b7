//! The `tidefold` binary.
fn main() {}
