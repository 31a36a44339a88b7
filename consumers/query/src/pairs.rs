//! A query string's names and values, strictly: what is no UTF-8 is refused, since a key with a replacement character in
//! it would be another key.

use std::borrow::Cow;

use percent_encoding::percent_decode;
use tidefold_http::{FieldError, Problem, ProblemKind};

/// The most parameters of one query: no table has so many key columns.
pub(crate) const PARAMETERS: usize = 100;

/// Names and values in the order they stand.
///
/// # Errors
/// Every parameter that is no UTF-8.
pub(crate) fn read(query: Option<&str>) -> Result<Vec<(String, String)>, Problem> {
    let (mut pairs, mut errors) = (Vec::new(), Vec::new());
    if query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()).nth(PARAMETERS).is_some() {
        let detail = format!("a query has at most {PARAMETERS} parameters");
        return Err(Problem::new(ProblemKind::InvalidQuery, detail));
    }
    for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        match (decode(name), decode(value)) {
            (Some(name), Some(value)) => pairs.push((name, value)),
            (known, _) => {
                let detail = format!("{pair} is not UTF-8 once its escapes are read");
                errors.push(FieldError::in_parameter(known.as_deref().unwrap_or(name), "bad_format", detail));
            }
        }
    }
    if errors.is_empty() {
        return Ok(pairs);
    }
    Err(Problem::new(ProblemKind::InvalidQuery, "escape the bytes of UTF-8 text").with_errors(errors))
}

/// `+` is a space, `%xx` a byte, anything else itself; `None` where that is no UTF-8.
fn decode(text: &str) -> Option<String> {
    let spaced = text.replace('+', " ");
    percent_decode(spaced.as_bytes()).decode_utf8().ok().map(Cow::into_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_read_once_and_text_stays_text() {
        let pairs = read(Some("a=b+c&%C3%A9=%26%3d&&x&p=%zz%2")).unwrap();
        let expected = [("a", "b c"), ("\u{e9}", "&="), ("x", ""), ("p", "%zz%2")];
        assert_eq!(pairs, expected.map(|(a, b)| (a.to_owned(), b.to_owned())));
        assert_eq!(read(None).unwrap(), []);
    }

    #[test]
    fn bytes_that_are_no_text_are_refused_by_name() {
        let problem = read(Some("a=%FF&b=1&%FE=2&c=%ED%A0%80")).unwrap_err();
        let names: Vec<_> = problem.errors().iter().map(|e| e.parameter.as_deref().unwrap()).collect();
        assert_eq!(names, ["a", "%FE", "c"]);
    }
}
