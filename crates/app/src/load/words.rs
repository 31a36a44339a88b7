//! The words of a SQL text, without understanding it: which names it mentions, what it reads from, and what it says when
//! comments and layout are left out.

use std::collections::BTreeSet;
use std::ops::Range;

/// A piece of SQL text that means something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Word<'t> {
    pub text: &'t str,
    pub span: Range<usize>,
    /// How many parentheses are open around it.
    pub depth: usize,
    /// A bare name or keyword, not a literal or sign.
    pub name: bool,
}

/// Takes a text apart.
pub(crate) fn words(text: &str) -> Vec<Word<'_>> {
    let mut words = Vec::new();
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        let first = rest.chars().next().unwrap_or(' ');
        if first == ')' {
            depth = depth.saturating_sub(1);
        }
        let length = if first.is_whitespace() {
            first.len_utf8()
        } else if rest.starts_with("--") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else {
            let length = word_length(rest, first);
            let name = first.is_alphabetic() || first == '_';
            let text = rest.get(..length).unwrap_or(rest);
            words.push(Word { text, span: at..at + length, depth, name });
            length
        };
        if first == '(' {
            depth += 1;
        }
        at += length;
    }
    words
}

fn word_length(rest: &str, first: char) -> usize {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    if part(first) {
        return rest.find(|c| !part(c)).unwrap_or(rest.len());
    }
    if first == '\'' || first == '"' {
        let body = rest.get(1..).unwrap_or("");
        return body.find(first).map_or(rest.len(), |end| end + 2);
    }
    first.len_utf8()
}

/// Whether a text mentions one of the names.
pub(crate) fn mentions(text: &str, names: &BTreeSet<String>) -> bool {
    !names.is_empty() && words(text).iter().any(|word| names.contains(word.text.trim_matches('"')))
}

/// The name behind the outermost FROM.
pub(crate) fn source(text: &str) -> Option<(String, Range<usize>)> {
    let words = words(text);
    let from = words.iter().position(|word| word.depth == 0 && word.text.eq_ignore_ascii_case("from"))?;
    let table = words.get(from + 1).filter(|word| word.name || word.text.starts_with('"'))?;
    Some((table.text.trim_matches('"').to_owned(), table.span.clone()))
}

/// The text with one space between its words.
pub(crate) fn canonical(text: &str) -> String {
    let words = words(text);
    let texts: Vec<&str> = words.iter().map(|word| word.text).collect();
    texts.join(" ")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_source_is_what_stands_behind_the_outermost_from() {
        let text =
            "SELECT extract(day FROM placed_at) AS \"from\", -- FROM x\n 'FROM y' FROM orders, UNNEST(items)";
        let (name, span) = source(text).unwrap();
        assert_eq!((name.as_str(), &text[span]), ("orders", "orders"));
        assert_eq!(source("SELECT 1"), None);
    }

    #[test]
    fn comments_and_layout_do_not_count() {
        assert_eq!(canonical("a  =\n'x  y' -- no\n/* no */ , b=1"), "a = 'x  y' , b = 1");
        assert_eq!(canonical("a='x  y', b = 1"), canonical("a =  'x  y',b=1"));
    }

    #[test]
    fn a_name_in_a_text_literal_is_not_mentioned() {
        let names = BTreeSet::from(["items".to_owned()]);
        assert!(mentions("cardinality(state.items) > 0", &names));
        assert!(!mentions("state.item = 'items'", &names));
    }

    proptest! {
        #[test]
        fn any_text_is_taken_apart(text in ".{0,40}") {
            for word in words(&text) {
                prop_assert_eq!(&text[word.span.clone()], word.text);
            }
        }
    }
}
