//! The attributes of one message: the one place that says which there are and what each may be.
//!
//! They come one by one, as `CE-` headers of a request (`cloudevent`) or as members of a line (`envelope`), and mean the same
//! either way: the same record, or the same mistake. Which of them have to be there is the way's own affair. Names and rules
//! are those of the CloudEvents core specification; `ifmatch` is an extension of ours.

use std::borrow::Cow;

use tidefold_codec::text::parse_rfc3339_micros;
use tidefold_http::entity_tag::version_of;

use crate::media;

/// The longest message id, in bytes.
pub(crate) const ID_BYTES: usize = 255;

/// The longest `source`, `subject`, `dataschema` or extension value, in bytes.
const ATTRIBUTE_BYTES: usize = 1_024;

/// How many attributes a message may have besides those that have a place of their own.
const OTHERS: usize = 32;

/// What is said about a message besides what it says itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Attributes<'a> {
    /// The message type.
    pub(crate) kind: Option<Cow<'a, str>>,
    pub(crate) id: Option<Cow<'a, str>>,
    pub(crate) source: Option<Cow<'a, str>>,
    /// When it happened, in microseconds since 1970.
    pub(crate) time: Option<i64>,
    /// The version of the entity that a command is conditional on.
    pub(crate) if_match: Option<u64>,
    /// `subject`, `dataschema` and extension attributes.
    pub(crate) others: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    given: u8,
    /// Names without a value that was taken, so that a second one is noticed.
    passed_over: Vec<Cow<'a, str>>,
}

/// An attribute as it was given.
#[derive(Clone, Debug)]
pub(crate) enum Value<'a> {
    /// Text.
    Text(Cow<'a, str>),
    /// JSON that is no string: a number, a boolean, or what no attribute can be.
    Bare(&'a [u8]),
    /// JSON's `null`, which leaves an attribute out.
    Null,
    /// What could not be read, and why.
    Broken(Mistake),
}

/// What is wrong with an attribute: the rule, and a sentence that goes on after its name.
pub(crate) type Mistake = (&'static str, Cow<'static, str>);

/// The rule against giving an attribute twice.
pub(crate) const REPEATED: &str = "repeated";

/// The attributes that have a place of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Known {
    Type,
    Id,
    Source,
    Specversion,
    Time,
    Datacontenttype,
    Ifmatch,
    Data,
}

// === impl Value ===

impl<'a> Value<'a> {
    /// What was given; none where that is nothing.
    fn given(self) -> Result<Option<Value<'a>>, Mistake> {
        match self {
            given @ (Value::Text(_) | Value::Bare(_)) => Ok(Some(given)),
            Value::Null => Ok(None),
            Value::Broken(mistake) => Err(mistake),
        }
    }
}

// === impl Known ===

impl Known {
    fn of(name: &str) -> Option<Known> {
        Some(match name {
            "type" => Known::Type,
            "id" => Known::Id,
            "source" => Known::Source,
            "specversion" => Known::Specversion,
            "time" => Known::Time,
            "datacontenttype" => Known::Datacontenttype,
            "ifmatch" => Known::Ifmatch,
            "data" => Known::Data,
            _ => return None,
        })
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Known::Type => "type",
            Known::Id => "id",
            Known::Source => "source",
            Known::Specversion => "specversion",
            Known::Time => "time",
            Known::Datacontenttype => "datacontenttype",
            Known::Ifmatch => "ifmatch",
            Known::Data => "data",
        }
    }
}

// === impl Attributes ===

impl<'a> Attributes<'a> {
    /// Nothing but a time, if that.
    pub(crate) fn at(time: Option<i64>) -> Attributes<'a> {
        Attributes { time, ..Attributes::default() }
    }

    /// Takes an attribute.
    ///
    /// # Errors
    /// What is wrong with it; then it has no value.
    pub(crate) fn take(&mut self, name: Cow<'a, str>, value: Value<'a>) -> Result<(), Mistake> {
        match Known::of(&name) {
            Some(known) => {
                self.note(known)?;
                self.take_known(known, value)
            }
            None => self.take_other(name, value),
        }
    }

    /// Notes that an attribute was given.
    ///
    /// # Errors
    /// Where it was given before.
    pub(crate) fn note(&mut self, known: Known) -> Result<(), Mistake> {
        if self.has(known) {
            return Err(repeated());
        }
        self.given |= 1 << known as u8;
        Ok(())
    }

    /// Whether an attribute was given, with whatever value.
    pub(crate) fn has(&self, known: Known) -> bool {
        self.given & (1 << known as u8) != 0
    }

    /// Whether any was.
    pub(crate) fn is_empty(&self) -> bool {
        self.given == 0 && self.others.is_empty() && self.passed_over.is_empty()
    }

    fn take_known(&mut self, known: Known, value: Value<'a>) -> Result<(), Mistake> {
        let Some(value) = value.given()? else {
            let needed = known == Known::Type;
            return if needed { Err(("wrong_type", "is not a string".into())) } else { Ok(()) };
        };
        match known {
            Known::Type => self.kind = Some(text(value, ID_BYTES)?),
            Known::Id => self.id = Some(text(value, ID_BYTES)?),
            Known::Source => self.source = Some(text(value, ATTRIBUTE_BYTES)?),
            Known::Specversion => {
                if text(value, 16)? != "1.0" {
                    return Err(("unknown_symbol", "is not 1.0, the only version supported".into()));
                }
            }
            Known::Time => {
                self.time = parse_rfc3339_micros(text(value, 64)?.as_bytes());
                if self.time.is_none() {
                    return Err((
                        "bad_format",
                        "is not an RFC 3339 time such as 2026-01-31T12:00:00Z".into(),
                    ));
                }
            }
            Known::Datacontenttype => match media::is_json(&text(value, 255)?) {
                Some(true) => {}
                Some(false) => {
                    let detail =
                        "is no media type of JSON (application/json, …+json), which is what `data` is";
                    return Err(("unknown_symbol", detail.into()));
                }
                None => return Err(("bad_format", "is no media type such as application/json".into())),
            },
            Known::Ifmatch => self.if_match = Some(version(value)?),
            Known::Data => return Err(("not_allowed", "is no attribute; it is the message".into())),
        }
        Ok(())
    }

    fn take_other(&mut self, name: Cow<'a, str>, value: Value<'a>) -> Result<(), Mistake> {
        if self.others.iter().any(|(known, _)| *known == name) || self.passed_over.contains(&name) {
            return Err(repeated());
        }
        let taken = self.judge_other(&name, value);
        match taken {
            Ok(Some(value)) => self.others.push((name, value)),
            Ok(None) => self.passed_over.push(name),
            Err(mistake) => {
                self.passed_over.push(name);
                return Err(mistake);
            }
        }
        Ok(())
    }

    /// The text of an attribute that is only kept; none where it is left out.
    fn judge_other(&self, name: &str, value: Value<'a>) -> Result<Option<Cow<'a, str>>, Mistake> {
        if name == "data_base64" {
            return Err(("not_allowed", "is binary data; a message is JSON, in `data`".into()));
        }
        if !is_name(name) {
            let detail = "is no attribute; the message's own fields stand in `data`, extension attributes are \
                          lower-case letters and digits";
            return Err(("unknown_field", detail.into()));
        }
        let is_text = matches!(name, "subject" | "dataschema");
        let Some(value) = value.given()? else { return Ok(None) };
        if self.others.len() >= OTHERS {
            let detail = format!("is one attribute too many; {OTHERS} are allowed");
            return Err(("out_of_range", detail.into()));
        }
        match value {
            Value::Bare(json) if !is_text => bare(json).map(Some),
            value => text(value, ATTRIBUTE_BYTES).map(Some),
        }
    }
}

fn repeated() -> Mistake {
    (REPEATED, "stands more than once".into())
}

/// Whether an extension attribute may be called so.
fn is_name(name: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    !name.is_empty() && name.len() <= 64 && name.bytes().all(legal)
}

/// A text of 1 to `most` bytes without control characters.
fn text(value: Value<'_>, most: usize) -> Result<Cow<'_, str>, Mistake> {
    let Value::Text(text) = value else { return Err(("wrong_type", "is not a string".into())) };
    if text.is_empty() || text.len() > most {
        return Err(("out_of_range", format!("has {} bytes; it may have 1 to {most}", text.len()).into()));
    }
    if text.chars().any(char::is_control) {
        return Err(("bad_format", "has control characters".into()));
    }
    Ok(text)
}

/// The canonical text of an extension's boolean or integer, by the specification's type system.
fn bare(json: &[u8]) -> Result<Cow<'_, str>, Mistake> {
    match json {
        b"true" => Ok("true".into()),
        b"false" => Ok("false".into()),
        number => match serde_json::from_slice::<i32>(number) {
            Ok(number) => Ok(number.to_string().into()),
            Err(_) => Err(("wrong_type", "is neither a string, a boolean nor a 32-bit integer".into())),
        },
    }
}

/// A version: `7`, or an entity tag, with or without its quotes.
fn version(value: Value<'_>) -> Result<u64, Mistake> {
    let found = match value {
        Value::Bare(json) if json.iter().all(u8::is_ascii_digit) => {
            std::str::from_utf8(json).ok().and_then(version_of)
        }
        Value::Bare(_) => None,
        value => version_of(text(value, 64)?.trim_matches('"')),
    };
    found.ok_or(("wrong_type", "is not a version such as 7".into()))
}
