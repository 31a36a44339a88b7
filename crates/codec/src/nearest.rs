//! The valid name that a wrong one was most likely meant to be: one measure, whoever is answered.

/// Longer names than this are like nothing: they are no slip of the keys, and measuring them costs time.
const LONGEST: usize = 64;

/// How many letters differ, are too many, missing or changed places; upper and lower case are the same.
#[must_use]
pub fn distance(wrong: &str, name: &str) -> usize {
    strsim::damerau_levenshtein(&wrong.to_ascii_lowercase(), &name.to_ascii_lowercase())
}

/// The valid name that is most like a wrong one, if any is: a third of its letters may differ, and one always. Of several
/// that are equally like it, the first.
pub fn nearest<'n>(wrong: &str, valid: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    let letters = wrong.chars().take(LONGEST + 1).count();
    if letters > LONGEST {
        return None;
    }
    let near = |name: &'n str| {
        let distance = distance(wrong, name);
        (distance <= (letters / 3).max(1)).then_some((distance, name))
    };
    valid.filter_map(near).min_by_key(|(distance, _)| *distance).map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_third_of_the_letters_may_differ_and_case_does_not_count() {
        let names = ["partition_key", "clustering", "sql"];
        let near = |wrong: &str| nearest(wrong, names.into_iter());
        assert_eq!(near("partitionkey"), Some("partition_key"));
        assert_eq!(near("CLUSTERNIG"), Some("clustering"));
        assert_eq!(near("sq"), Some("sql"), "one may always differ");
        assert_eq!(near("zzz"), None);
        assert_eq!(near(&"partition_key".repeat(5)), None, "nothing is like a text");
    }
}
