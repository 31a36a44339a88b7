//! What to say of a name that is none.

use tidefold_codec::nearest::nearest;

/// How many names a list prints.
const LISTED: usize = 20;

/// The names as a list, cut when it is long.
pub(super) fn listed<'n>(names: impl Iterator<Item = &'n str>) -> String {
    let names: Vec<&str> = names.collect();
    let more = names.len().saturating_sub(LISTED);
    let mut list = names.into_iter().take(LISTED).collect::<Vec<_>>().join(", ");
    if list.is_empty() {
        list.push_str("(none)");
    }
    if more > 0 {
        list.push_str(&format!(" and {more} more"));
    }
    list
}

/// What to say about an unknown name: the nearest valid one, or all of them.
pub(super) fn help<'n>(wrong: &str, what: &str, valid: impl Iterator<Item = &'n str> + Clone) -> String {
    match nearest(wrong, valid.clone()) {
        Some(name) => format!("did you mean `{name}`? {what}: {}", listed(valid)),
        None => format!("{what}: {}", listed(valid)),
    }
}
