//! Entity tags (RFC 9110, section 8.8.3) and the conditions that name them: how ours are written, and how any is read.
//!
//! Ours are `"<version>.g<generation>"`, with `.s` behind it where integers are text: a row's two forms are two
//! representations. `If-None-Match` compares all of it, a command's `If-Match` the version alone, so that another build of
//! the tables breaks no caller.

use axum::http::header::{IF_MATCH, IF_NONE_MATCH};
use axum::http::{HeaderMap, HeaderName, HeaderValue};

use crate::problem::FieldError;

/// An entity tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntityTag {
    weak: bool,
    opaque: Box<str>,
}

/// The tags that a condition names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tags {
    /// `*`: whatever there is.
    Any,
    /// One of these.
    Listed(Vec<EntityTag>),
}

/// What a request is conditional on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conditions {
    /// `If-Match`, or what is wrong with it.
    pub if_match: Option<Result<Tags, FieldError>>,
    /// `If-None-Match`. What is no tag in it matches nothing.
    pub if_none_match: Option<Tags>,
}

// === impl EntityTag ===

impl EntityTag {
    /// The tag of a row.
    #[must_use]
    pub fn of_row(version: u64, generation: u32, longs_as_text: bool) -> EntityTag {
        let form = if longs_as_text { ".s" } else { "" };
        let (mut before, mut behind) = (itoa::Buffer::new(), itoa::Buffer::new());
        let opaque = [before.format(version), ".g", behind.format(generation), form].concat();
        EntityTag { weak: false, opaque: opaque.into() }
    }

    /// As it stands in `ETag`.
    #[must_use]
    pub fn to_header(&self) -> Option<HeaderValue> {
        let weak = if self.weak { "W/" } else { "" };
        HeaderValue::try_from([weak, "\"", &self.opaque, "\""].concat()).ok()
    }

    /// The version it names, if it is a strong one of ours: `"7"`, or `"7.g2"` as a read returns it.
    #[must_use]
    pub fn version(&self) -> Option<u64> {
        if self.weak { None } else { version_of(&self.opaque) }
    }
}

/// The version in a tag's text, without its quotes.
#[must_use]
pub fn version_of(opaque: &str) -> Option<u64> {
    let version = opaque.split_once(".g").map_or(opaque, |(version, _generation)| version);
    let digits = !version.is_empty() && version.bytes().all(|byte| byte.is_ascii_digit());
    if digits { version.parse().ok() } else { None }
}

// === impl Tags ===

impl Tags {
    /// Whether this is one of them, compared weakly.
    #[must_use]
    pub fn include(&self, tag: &EntityTag) -> bool {
        match self {
            Tags::Any => true,
            Tags::Listed(tags) => tags.iter().any(|known| known.opaque == tag.opaque),
        }
    }

    /// The version, where they are one strong tag with one.
    #[must_use]
    pub fn one_version(&self) -> Option<u64> {
        match self {
            Tags::Listed(tags) => match tags.as_slice() {
                [only] => only.version(),
                _ => None,
            },
            Tags::Any => None,
        }
    }

    /// The tags of a header, and whether anything else stands in it; `None` where it is not there.
    fn read(headers: &HeaderMap, name: &HeaderName) -> Option<(Tags, bool)> {
        let mut lines = headers.get_all(name).iter().peekable();
        lines.peek()?;
        let (mut tags, mut others) = (Vec::new(), false);
        for line in lines {
            let Ok(mut rest) = line.to_str() else {
                others = true;
                continue;
            };
            loop {
                rest = rest.trim_start_matches([' ', '\t', ',']);
                if rest.is_empty() {
                    break;
                }
                if rest.trim_end() == "*" {
                    return Some((Tags::Any, others || !tags.is_empty()));
                }
                let (tag, behind) = first_tag(rest);
                match tag {
                    Some(tag) => tags.push(tag),
                    None => others = true,
                }
                rest = behind;
            }
        }
        Some((Tags::Listed(tags), others))
    }
}

/// The tag that a text begins with, and what stands behind it. What is no tag ends at the next comma.
fn first_tag(text: &str) -> (Option<EntityTag>, &str) {
    let (weak, quoted) = match text.strip_prefix("W/") {
        Some(quoted) => (true, quoted),
        None => (false, text),
    };
    let inner = quoted.strip_prefix('"').and_then(|inner| inner.split_once('"'));
    let ends = |rest: &str| rest.trim_start().is_empty() || rest.trim_start().starts_with(',');
    // A tag has no spaces, by the standard's `etagc`.
    match inner.filter(|(opaque, rest)| !opaque.contains([' ', '\t']) && ends(rest)) {
        Some((opaque, rest)) => (Some(EntityTag { weak, opaque: opaque.into() }), rest),
        None => (None, text.find(',').and_then(|comma| text.get(comma..)).unwrap_or_default()),
    }
}

// === impl Conditions ===

impl Conditions {
    /// Reads both headers.
    pub(crate) fn of(headers: &HeaderMap) -> Conditions {
        let wrong = |code, detail: &str| Err(FieldError::in_parameter("If-Match", code, detail));
        let if_match = Tags::read(headers, &IF_MATCH).map(|(tags, others)| {
            if headers.get_all(IF_MATCH).iter().nth(1).is_some() {
                return wrong("repeated", "stands more than once");
            }
            if others { wrong("bad_format", "is no list of entity tags such as \"7\"") } else { Ok(tags) }
        });
        Conditions {
            if_match,
            if_none_match: Tags::read(headers, &IF_NONE_MATCH).map(|(tags, _others)| tags),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn given(lines: &[&str]) -> Conditions {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(IF_MATCH, HeaderValue::from_str(line).unwrap());
            headers.append(IF_NONE_MATCH, HeaderValue::from_str(line).unwrap());
        }
        Conditions::of(&headers)
    }

    fn one_version(lines: &[&str]) -> Option<u64> {
        given(lines).if_match?.ok()?.one_version()
    }

    #[test]
    fn a_version_is_one_strong_tag() {
        assert_eq!(one_version(&["\"7\""]), Some(7));
        assert_eq!(one_version(&["\"7.g12\""]), Some(7));
        assert_eq!(one_version(&[" \"7.g12.s\" , "]), Some(7));
        for text in ["7", "W/\"7\"", "\"7\", \"8\"", "*", "\"-1\"", "\"\"", "\"99999999999999999999\"", "\"7"]
        {
            assert_eq!(one_version(&[text]), None, "{text} was taken");
        }
        let twice = given(&["\"7\"", "\"7\""]).if_match.unwrap().unwrap_err();
        assert_eq!(twice.code, "repeated");
    }

    #[test]
    fn a_tag_is_found_in_any_list_and_compared_weakly() {
        let tag = EntityTag::of_row(7, 2, false);
        for lines in [
            &["*"][..],
            &["\"7.g2\""],
            &["W/\"7.g2\""],
            &["\"a,b\",\"7.g2\""],
            &["\"x\"", "W/\"7.g2\""],
            &["7.g2, \"7.g2\""],
            &[",, \"7.g2\",,"],
        ] {
            assert!(given(lines).if_none_match.unwrap().include(&tag), "{lines:?}");
        }
        for lines in [
            &["7.g2"][..],
            &["\"7.g1\""],
            &["\"7.g2.s\""],
            &["\"8.g2\", W/\"9.g2\""],
            &["w/\"7.g2\""],
            &["\"7.g2"],
            &[""],
        ] {
            assert!(!given(lines).if_none_match.unwrap().include(&tag), "{lines:?}");
        }
        assert_eq!(given(&[]), Conditions::default());
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(version: u64, generation: u32, text: bool, weak: bool) {
            let tag = EntityTag { weak, ..EntityTag::of_row(version, generation, text) };
            let header = tag.to_header().unwrap();
            let conditions = given(&[header.to_str().unwrap()]);
            prop_assert_eq!(conditions.if_match.unwrap().unwrap().one_version(), (!weak).then_some(version));
            prop_assert!(conditions.if_none_match.unwrap().include(&tag));
        }

        #[test]
        fn any_text_is_read_without_end_or_panic(lines in prop::collection::vec("[ -~]{0,20}", 0..4)) {
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            let _ = given(&lines);
        }
    }
}
