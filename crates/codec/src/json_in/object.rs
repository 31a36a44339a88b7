//! Arrays, maps and records.

use std::borrow::Cow;
use std::ops::Range;

use smallvec::SmallVec;

use super::form::{ColumnForm, Ranges, RecordForm};
use super::path::{Path, cut};
use super::value::{Encoding, Stop};
use crate::wire::{write_chunk, write_long};

/// A field that was not in the text.
const ABSENT: (usize, usize) = (usize::MAX, usize::MAX);

/// A map's key, and where its entry was written.
type Entry<'k> = (Cow<'k, str>, Range<usize>);

// === impl Encoding ===

impl Encoding<'_, '_> {
    pub(super) fn array(&mut self, element: &ColumnForm, path: &Path<'_>) -> Result<(), Stop> {
        self.enter(path)?;
        self.reader.eat(b'[');
        let head = self.out.len();
        self.out.push(0);
        if !self.reader.eat(b']') {
            let mut count = 0;
            loop {
                self.column(element, &path.index(count))?;
                count += 1;
                if !self.more(b']', path)? {
                    break;
                }
            }
            self.close_block(head, count);
        }
        self.leave();
        Ok(())
    }

    /// Puts the count into the byte that was left for it, and makes room where it needs more.
    fn close_block(&mut self, head: usize, count: usize) {
        let mut number: SmallVec<[u8; 10]> = SmallVec::new();
        let mut bytes = Vec::new();
        match (u8::try_from(count * 2), self.out.get_mut(head)) {
            (Ok(small @ 0..0x80), Some(place)) => *place = small,
            _ => {
                write_long(count as i64, &mut bytes);
                number.extend_from_slice(&bytes);
                self.out.splice(head..=head, number);
            }
        }
        self.out.push(0);
    }

    pub(super) fn map(&mut self, value: &ColumnForm, path: &Path<'_>) -> Result<(), Stop> {
        self.enter(path)?;
        self.reader.eat(b'{');
        let head = self.out.len();
        self.out.push(0);
        if !self.reader.eat(b'}') {
            let mut entries: SmallVec<[Entry<'_>; 8]> = SmallVec::new();
            loop {
                let start = self.out.len();
                let key = self.string(path)?;
                self.expect(b':', "`:` is missing here", path)?;
                write_chunk(key.as_bytes(), self.out);
                self.column(value, &path.name(&key))?;
                entries.push((key, start..self.out.len()));
                if !self.more(b'}', path)? {
                    break;
                }
            }
            let count = entries.len();
            self.sort_entries(&mut entries, path)?;
            self.close_block(head, count);
        }
        self.leave();
        Ok(())
    }

    /// Puts a map's entries into the order of their keys: a JSON object has none, and equal maps have equal bytes.
    fn sort_entries(&mut self, entries: &mut [Entry<'_>], path: &Path<'_>) -> Result<(), Stop> {
        if entries.is_sorted_by(|(a, _), (b, _)| a < b) {
            return Ok(());
        }
        let start = entries.first().map_or(self.out.len(), |(_, range)| range.start);
        let written = self.out.len();
        entries.sort_by(|(a, _), (b, _)| a.cmp(b));
        let twice = entries.windows(2).find(|pair| matches!(pair, [(a, _), (b, _)] if a == b));
        if let Some((key, _)) = twice.and_then(<[_]>::first) {
            self.duplicate(key, path)?;
        }
        for (_, range) in entries {
            self.out.extend_from_within(range.clone());
        }
        self.out.drain(start..written);
        Ok(())
    }

    fn duplicate(&mut self, name: &str, path: &Path<'_>) -> Result<(), Stop> {
        self.violate(&path.name(name), "duplicate_key", format!("`{}` stands twice in the object", cut(name)))
    }

    /// Fields are written as they come; where that is not the schema's order, they are put in order at the end.
    pub(super) fn record(
        &mut self,
        form: &RecordForm,
        path: &Path<'_>,
        ranges: &mut Ranges,
    ) -> Result<(), Stop> {
        self.enter(path)?;
        self.reader.eat(b'{');
        let start = self.out.len();
        ranges.resize(form.fields.len(), ABSENT);
        let (mut next, mut ordered) = (0, true);
        if !self.reader.eat(b'}') {
            loop {
                let name = self.string(path)?;
                self.expect(b':', "`:` is missing here", path)?;
                match form.field(&name, next) {
                    Some(place) => {
                        ordered &= place == next;
                        next = place + 1;
                        self.field(form, place, path, ranges)?;
                    }
                    None => {
                        let here = path.name(&name);
                        self.violate(&here, "unknown_field", form.unknown(&name))?;
                        self.skip(&here)?;
                    }
                }
                if !self.more(b'}', path)? {
                    break;
                }
            }
        }
        if !ordered || next != form.fields.len() {
            self.put_in_order(form, start, path, ranges)?;
        }
        self.leave();
        Ok(())
    }

    #[inline]
    fn field(
        &mut self,
        form: &RecordForm,
        place: usize,
        path: &Path<'_>,
        ranges: &mut Ranges,
    ) -> Result<(), Stop> {
        let (Some(field), Some(range)) = (form.fields.get(place), ranges.get_mut(place)) else {
            return Ok(());
        };
        let here = path.name(&field.name);
        if *range != ABSENT {
            self.duplicate(&field.name, path)?;
            return self.skip(&here);
        }
        let start = self.out.len();
        self.column(&field.column, &here)?;
        *range = (start, self.out.len());
        Ok(())
    }

    /// Appends the fields in schema order, with defaults for those that are missing, and drops what was there.
    fn put_in_order(
        &mut self,
        form: &RecordForm,
        start: usize,
        path: &Path<'_>,
        ranges: &mut Ranges,
    ) -> Result<(), Stop> {
        let written = self.out.len();
        let shift = written - start;
        for (field, range) in form.fields.iter().zip(ranges.iter_mut()) {
            let begin = self.out.len();
            match &field.default {
                _ if *range != ABSENT => self.out.extend_from_within(range.0..range.1),
                Some(default) => self.out.extend_from_slice(default),
                None => {
                    let hint = match field.column.optional {
                        Some(_) => "it has no default; write null for no value",
                        None => "it has no default",
                    };
                    let detail = format!("`{}` is missing; {hint}", field.name);
                    self.violate(&path.name(&field.name), "missing_field", detail)?;
                }
            }
            *range = (begin - shift, self.out.len() - shift);
        }
        self.out.drain(start..written);
        Ok(())
    }
}
