//! Valid names, and the nearest to a wrong one.

/// The first names of a list.
pub(super) fn list<'n>(names: impl Iterator<Item = &'n str>) -> String {
    let names: Vec<_> = names.take(20).collect();
    names.join(", ")
}

/// The valid name that a wrong one is most like, if it is like one at all.
pub(super) fn nearest<'n>(name: &str, valid: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    let length = name.chars().count();
    if length > 64 {
        return None;
    }
    let near = |candidate: &'n str| {
        let distance =
            strsim::damerau_levenshtein(&name.to_ascii_lowercase(), &candidate.to_ascii_lowercase());
        (distance <= (length / 3).max(1)).then_some((distance, candidate))
    };
    valid.filter_map(near).min_by_key(|(distance, _)| *distance).map(|(_, candidate)| candidate)
}
