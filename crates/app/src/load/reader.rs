//! Reading TOML tables strictly: what a section does not know is a mistake, and so is a value of the wrong type.

use std::ops::{Range, RangeInclusive};

use tidefold_codec::nearest::nearest;
use toml::de::{DeTable, DeValue};

use super::names;
use super::report::Report;
use super::text::Text;
use crate::rules;

/// A table of the document.
pub(crate) struct Table<'d> {
    pub table: &'d DeTable<'d>,
    /// Where it stands: its header, or its braces.
    pub span: Range<usize>,
    /// What it is called in messages: `[topics.orders]`.
    pub title: String,
}

/// What is needed to read.
pub(crate) struct Reader<'r> {
    pub file: &'r str,
    pub report: &'r mut Report,
}

impl Reader<'_> {
    /// Reports every key that is not allowed here.
    pub fn only(&mut self, table: &Table<'_>, allowed: &[&str]) {
        for (key, _) in table.table {
            let name: &str = key.get_ref();
            if !allowed.contains(&name) {
                self.report.toml(
                    rules::UNKNOWN_KEY,
                    &key.span(),
                    format!("{} has no key `{name}`", table.title),
                    names::nearest_or_all(name, allowed.iter().copied(), "key"),
                );
            }
        }
    }

    /// The key itself, as a text.
    pub fn key(&self, table: &Table<'_>, key: &str) -> Option<Text> {
        let (key, _) = table.table.get_key_value(key)?;
        Some(Text::new(key.get_ref(), key.span(), self.file))
    }

    /// A string.
    pub fn text(&mut self, table: &Table<'_>, key: &str) -> Option<Text> {
        let value = table.table.get(key)?;
        match value.get_ref() {
            DeValue::String(text) => Some(Text::new(text, value.span(), self.file)),
            other => {
                self.wrong_type(&value.span(), &format!("`{key}`"), "a string", other);
                None
            }
        }
    }

    /// A string that has to be there.
    pub fn required_text(&mut self, table: &Table<'_>, key: &str, help: &str) -> Option<Text> {
        if !table.table.contains_key(key) {
            self.missing(table, key, help);
        }
        self.text(table, key)
    }

    /// Reports a key that has to be there, unless it stands there misspelled: that is one mistake.
    pub fn missing(&mut self, table: &Table<'_>, key: &str, help: &str) {
        let mut keys = table.table.iter().map(|(key, _)| &**key.get_ref());
        if keys.any(|other| nearest(other, [key].into_iter()).is_some()) {
            return;
        }
        self.report.toml(rules::MISSING_KEY, &table.span, format!("{} has no `{key}`", table.title), help);
    }

    /// An array of strings; `None` where there is none, or no array.
    pub fn texts(&mut self, table: &Table<'_>, key: &str) -> Option<Vec<Text>> {
        let value = table.table.get(key)?;
        let DeValue::Array(array) = value.get_ref() else {
            self.wrong_type(&value.span(), &format!("`{key}`"), "an array of strings", value.get_ref());
            return None;
        };
        let mut texts = Vec::new();
        for item in array {
            match item.get_ref() {
                DeValue::String(text) => texts.push(Text::new(text, item.span(), self.file)),
                other => self.wrong_type(&item.span(), &format!("an element of `{key}`"), "a string", other),
            }
        }
        Some(texts)
    }

    /// An integer in a range.
    pub fn integer(&mut self, table: &Table<'_>, key: &str, allowed: RangeInclusive<i64>) -> Option<i64> {
        let value = table.table.get(key)?;
        let DeValue::Integer(integer) = value.get_ref() else {
            self.wrong_type(&value.span(), &format!("`{key}`"), "an integer", value.get_ref());
            return None;
        };
        let number = i64::from_str_radix(integer.as_str(), integer.radix()).ok();
        let number = number.filter(|number| allowed.contains(number));
        if number.is_none() {
            self.report.toml(
                rules::OUT_OF_RANGE,
                &value.span(),
                format!("`{key}` is out of range"),
                format!("write a number from {} to {}", allowed.start(), allowed.end()),
            );
        }
        number
    }

    /// A boolean, with its place.
    pub fn boolean(&mut self, table: &Table<'_>, key: &str) -> Option<(bool, Range<usize>)> {
        let value = table.table.get(key)?;
        match value.get_ref() {
            DeValue::Boolean(boolean) => Some((*boolean, value.span())),
            other => {
                self.wrong_type(&value.span(), &format!("`{key}`"), "true or false", other);
                None
            }
        }
    }

    /// A table under a key, called `title`.
    pub fn table<'d>(&mut self, table: &Table<'d>, key: &str, title: &str) -> Option<Table<'d>> {
        let (at, value) = table.table.get_key_value(key)?;
        match value.get_ref() {
            DeValue::Table(inner) => Some(Table {
                table: inner,
                span: table_span(at.span(), value.span(), self.file),
                title: title.to_owned(),
            }),
            other => {
                self.wrong_type(&value.span(), &format!("`{key}`"), "a table", other);
                None
            }
        }
    }

    /// The tables in a table, with their names.
    pub fn tables<'d>(&mut self, table: &Table<'d>, prefix: &str) -> Vec<(Text, Table<'d>)> {
        let mut tables = Vec::new();
        for (key, value) in table.table {
            let name: &str = key.get_ref();
            match value.get_ref() {
                DeValue::Table(inner) => {
                    let title = format!("[{prefix}.{name}]");
                    let span = table_span(key.span(), value.span(), self.file);
                    tables
                        .push((Text::new(name, key.span(), self.file), Table { table: inner, span, title }));
                }
                other => self.wrong_type(&value.span(), &format!("`{prefix}.{name}`"), "a table", other),
            }
        }
        tables
    }

    /// The strings in a table, with their names.
    pub fn named_texts(&mut self, table: &Table<'_>) -> Vec<(Text, Text)> {
        let mut texts = Vec::new();
        for (key, value) in table.table {
            let name: &str = key.get_ref();
            match value.get_ref() {
                DeValue::String(text) => texts
                    .push((Text::new(name, key.span(), self.file), Text::new(text, value.span(), self.file))),
                other => self.wrong_type(&value.span(), &format!("`{name}`"), "a string", other),
            }
        }
        texts
    }

    /// Reports a value of the wrong type.
    pub fn wrong_type(&mut self, span: &Range<usize>, what: &str, wanted: &str, found: &DeValue<'_>) {
        let found = match found.type_str() {
            kind @ ("integer" | "array") => format!("an {kind}"),
            kind => format!("a {kind}"),
        };
        let message = format!("{what} has to be {wanted}, not {found}");
        self.report.toml(rules::WRONG_VALUE, span, message, None);
    }
}

/// A table's place for messages about the whole table: its header or braces where they fit on a line, else its name.
fn table_span(key: Range<usize>, value: Range<usize>, file: &str) -> Range<usize> {
    let text = file.get(value.clone()).unwrap_or("");
    // A table that only its sub-tables imply has the span of a name.
    if text.starts_with(['[', '{']) && !text.contains('\n') { value } else { key }
}
