//! The nearest valid name.

/// How many names a list prints.
const LISTED: usize = 20;

/// The valid name that the wrong one was most likely meant to be.
pub(super) fn suggestion<'n>(wrong: &str, valid: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    let close = (wrong.chars().count() / 3).clamp(1, 3);
    let lower = wrong.to_ascii_lowercase();
    valid
        .map(|name| (strsim::damerau_levenshtein(&lower, &name.to_ascii_lowercase()), name))
        .filter(|(distance, _)| *distance <= close)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

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
    match suggestion(wrong, valid.clone()) {
        Some(name) => format!("did you mean `{name}`? {what}: {}", listed(valid)),
        None => format!("{what}: {}", listed(valid)),
    }
}
