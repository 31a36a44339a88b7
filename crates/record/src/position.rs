//! Coordinates in a log. Arithmetic goes through named methods, so that "the last one read" and "the next one to
//! read" can never be mixed up by a stray `+ 1`.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// The place of a record in its partition: 0 for the first, rising, never reused. Offsets need not be dense: a
/// Kafka log has gaps where control records or aborted data stood.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Offset(pub u64);

/// A partition of a topic, from 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Partition(pub u32);

/// The name of a topic as an app writes it (`orders`); the log's own name for it is `<app>.<topic>`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicName(Arc<str>);

/// Topic, partition and offset of one record. Prints and parses as `orders:3:918`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Position {
    /// The topic.
    pub topic: TopicName,
    /// The partition.
    pub partition: Partition,
    /// The record's own offset.
    pub offset: Offset,
}

/// A text that is not `topic:partition:offset`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a position; write topic:partition:offset, for example orders:3:918")]
pub struct ParsePositionError {
    /// What was given, cut to 80 characters.
    pub text: String,
}

// === impl Offset ===

impl Offset {
    /// The first offset of every partition.
    pub const ZERO: Offset = Offset(0);
    /// The largest offset that is folded: the first of the eight bytes of the offset behind it is still 0, which stored
    /// rows use to say their format. A million records a second get there in two thousand years.
    pub const MAX: Offset = Offset((1 << 56) - 2);

    /// The offset after this one: what a reader asks for once it has read this record.
    #[must_use]
    pub fn next(self) -> Offset {
        Offset(self.0 + 1)
    }

    /// The offset `count` places on.
    #[must_use]
    pub fn advance(self, count: u64) -> Offset {
        Offset(self.0 + count)
    }

    /// The offset `count` places back, or the first.
    #[must_use]
    pub fn back(self, count: u64) -> Offset {
        Offset(self.0.saturating_sub(count))
    }

    /// How many offsets lie from `earlier` up to this one; 0 when this one is earlier.
    #[must_use]
    pub fn distance_from(self, earlier: Offset) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

// === impl TopicName ===

impl TopicName {
    /// Any text: whether it is a legal topic name is judged where a name enters (an app folder, a URL).
    pub fn new(name: impl Into<Arc<str>>) -> TopicName {
        TopicName(name.into())
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// `<app>.<topic>`, the name under which a log keeps this topic.
    #[must_use]
    pub fn in_app(&self, app: &str) -> TopicName {
        TopicName(format!("{app}.{}", self.0).into())
    }
}

impl fmt::Display for TopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

// === impl Position ===

impl Position {
    /// A position from its parts.
    #[must_use]
    pub fn new(topic: TopicName, partition: Partition, offset: Offset) -> Position {
        Position { topic, partition, offset }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.topic, self.partition, self.offset)
    }
}

impl FromStr for Position {
    type Err = ParsePositionError;

    fn from_str(text: &str) -> Result<Position, ParsePositionError> {
        let refuse = || ParsePositionError { text: text.chars().take(80).collect() };
        let mut parts = text.rsplitn(3, ':');
        let offset = parts.next().and_then(decimal).filter(|n| *n <= Offset::MAX.0).ok_or_else(refuse)?;
        let partition =
            parts.next().and_then(decimal).and_then(|n| u32::try_from(n).ok()).ok_or_else(refuse)?;
        let topic = parts.next().filter(|t| !t.is_empty() && t.len() <= 249).ok_or_else(refuse)?;
        Ok(Position::new(TopicName::new(topic), Partition(partition), Offset(offset)))
    }
}

/// Digits only: `u64::from_str` would take a leading `+`.
fn decimal(text: &str) -> Option<u64> {
    if text.bytes().all(|b| b.is_ascii_digit()) { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_prints_as_it_parses() {
        let position: Position = "orders:3:918".parse().unwrap();
        assert_eq!(position, Position::new(TopicName::new("orders"), Partition(3), Offset(918)));
        assert_eq!(position.to_string(), "orders:3:918");
    }

    #[test]
    fn texts_that_are_no_position_are_refused() {
        for text in [
            "",
            "orders",
            "orders:3",
            ":3:918",
            "orders:x:1",
            "orders:3:+1",
            "orders:-1:1",
            "o:1:99999999999999999999",
        ] {
            assert!(text.parse::<Position>().is_err(), "{text} was taken for a position");
        }
    }
}
