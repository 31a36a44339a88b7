//! Valid names, as a list.

/// The first names of a list.
pub(super) fn list<'n>(names: impl Iterator<Item = &'n str>) -> String {
    let names: Vec<_> = names.take(20).collect();
    names.join(", ")
}
