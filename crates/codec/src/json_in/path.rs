//! Where in a text a mistake stands, and how it is told.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::form::Violation;

/// How much of a name from outside is repeated.
const NAME_CHARS: usize = 120;

/// RFC 3986, 3.5, but for the `/` and `~` that a pointer escapes itself.
const NOT_IN_A_FRAGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'!')
    .remove(b'$')
    .remove(b'&')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')')
    .remove(b'*')
    .remove(b'+')
    .remove(b',')
    .remove(b';')
    .remove(b'=')
    .remove(b':')
    .remove(b'@')
    .remove(b'?');

/// A place in a JSON text, kept on the stack; it is only written out for a mistake.
#[derive(Clone, Copy, Debug)]
pub(super) enum Path<'p> {
    Root,
    Name(&'p Path<'p>, &'p str),
    Index(&'p Path<'p>, usize),
}

// === impl Path ===

impl<'p> Path<'p> {
    pub(super) fn name(&'p self, name: &'p str) -> Path<'p> {
        Path::Name(self, name)
    }

    pub(super) fn index(&'p self, index: usize) -> Path<'p> {
        Path::Index(self, index)
    }

    pub(super) fn violation(&self, code: &'static str, detail: impl Into<String>) -> Violation {
        let mut pointer = String::new();
        self.write(&mut pointer);
        Violation { pointer, code, detail: detail.into() }
    }

    fn write(&self, out: &mut String) {
        match self {
            Path::Root => out.push('#'),
            Path::Index(parent, index) => {
                parent.write(out);
                out.push('/');
                out.push_str(&index.to_string());
            }
            Path::Name(parent, name) => {
                parent.write(out);
                out.push('/');
                name.chars().take(NAME_CHARS).for_each(|c| write_char(c, out));
            }
        }
    }
}

/// The pointer to a member of the outermost object.
pub fn pointer_to_member(name: &str) -> String {
    let mut out = "#/".to_owned();
    name.chars().take(NAME_CHARS).for_each(|c| write_char(c, &mut out));
    out
}

/// RFC 6901: `~` and `/` are escaped in a pointer, and in a URI fragment all that no fragment may hold.
fn write_char(c: char, out: &mut String) {
    match c {
        '~' => out.push_str("~0"),
        '/' => out.push_str("~1"),
        c => out.extend(utf8_percent_encode(c.encode_utf8(&mut [0; 4]), NOT_IN_A_FRAGMENT)),
    }
}

/// A text from outside, cut.
pub(super) fn cut(text: &str) -> String {
    let mut cut: String = text.chars().take(NAME_CHARS).collect();
    if cut.len() < text.len() {
        cut.push('…');
    }
    cut
}
