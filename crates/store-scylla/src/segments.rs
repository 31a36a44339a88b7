//! A range of key bytes as ranges of clustering columns.
//!
//! CQL restricts one clustering column by a range and all before it by equality, so a range of keys is a few *segments*
//! in key order. From `(1, 5)` up to `(3, 2)` there are three: first column 1 and second from 5; first column behind 1 and
//! before 3; first column 3 and second before 2. Bounds are bytes and need not end with a column; where no value of the
//! column says what the bytes say, the segment is the wider one, and the reader leaves out the rows that are too many.

use crate::cells::Cells;
use crate::shape::KeyPart;

/// Rows whose first clustering columns equal `equal`, and whose next one lies between bounds, in key order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) equal: Vec<Vec<u8>>,
    /// The lower bound, and whether rows of this very value belong to it.
    pub(crate) low: Option<(Vec<u8>, bool)>,
    /// The upper bound, and whether rows of this very value belong to it.
    pub(crate) high: Option<(Vec<u8>, bool)>,
}

/// A bound as columns.
#[derive(Debug)]
struct Chain {
    cells: Vec<Vec<u8>>,
    end: End,
}

/// Where a bound lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// Before all keys that start with the cells.
    Before,
    /// Behind all of them.
    Behind,
    /// Somewhere among them.
    Among,
}

/// The segments between two bounds, lower inclusive, upper exclusive, in key order.
pub(crate) fn segments(parts: &[KeyPart], lower: &[u8], upper: Option<&[u8]>) -> Vec<Segment> {
    let mut low = chain(parts, lower);
    let mut high = upper.map(|upper| chain(parts, upper)).unwrap_or(Chain { cells: vec![], end: End::Among });
    let shared = low.cells.iter().zip(&high.cells).take_while(|(low, high)| low == high).count();
    let mut equal: Vec<Vec<u8>> = low.cells.drain(..shared).collect();
    high.cells.drain(..shared);
    // Both bounds lie among the keys that start with `equal`, or next to them: all of them is wide enough.
    let (Some(first), last) = (low.cells.first().cloned(), high.cells.first().cloned()) else {
        let mut found = Vec::new();
        middle(&equal, None, high.first(), &mut found);
        high.down(&mut equal, &mut found);
        return found;
    };
    let mut found = Vec::new();
    low.up(&equal, &mut found);
    let exact = low.cells.len() == 1 && low.end != End::Among;
    middle(&equal, Some((first, exact && low.end == End::Before)), high.first(), &mut found);
    if last.is_some() {
        high.down(&mut equal, &mut found);
    }
    found
}

fn middle(
    equal: &[Vec<u8>],
    low: Option<(Vec<u8>, bool)>,
    high: Option<(Vec<u8>, bool)>,
    found: &mut Vec<Segment>,
) {
    found.push(Segment { equal: equal.to_vec(), low, high });
}

fn chain(parts: &[KeyPart], bytes: &[u8]) -> Chain {
    let mut cells = Vec::new();
    let mut rest = bytes;
    for part in parts {
        if rest.is_empty() {
            return Chain { cells, end: End::Before };
        }
        match cell(part, rest) {
            Some((cell, behind)) => {
                cells.push(cell);
                rest = behind;
            }
            None => {
                let Some((cell, end)) = broken(part, rest) else { return Chain { cells, end: End::Among } };
                cells.push(cell);
                return Chain { cells, end };
            }
        }
    }
    Chain { cells, end: if rest.is_empty() { End::Before } else { End::Behind } }
}

fn cell<'b>(part: &KeyPart, bytes: &'b [u8]) -> Option<(Vec<u8>, &'b [u8])> {
    let mut cells = Cells::default();
    let rest = part.write(bytes, &mut cells).ok()?;
    let cell = cells.iter().next()??.to_vec();
    Some((cell, rest))
}

/// A bound that ends inside a column: a number cut short is that number with zeros; any other may be the successor of a
/// whole column's bytes, which is the place behind that value.
fn broken(part: &KeyPart, bytes: &[u8]) -> Option<(Vec<u8>, End)> {
    let whole = |bytes: &[u8]| cell(part, bytes).filter(|(_, rest)| rest.is_empty()).map(|(cell, _)| cell);
    if part.width().is_some_and(|width| bytes.len() < width) {
        let mut padded = bytes.to_vec();
        padded.resize(part.width()?, 0);
        return whole(&padded).map(|cell| (cell, End::Before));
    }
    let mut before = bytes.to_vec();
    let last = before.last_mut()?;
    *last = last.checked_sub(1)?;
    if let Some(cell) = whole(&before) {
        return Some((cell, End::Behind));
    }
    before.extend_from_slice(&[0xFF, 0xFF]);
    whole(&before).map(|cell| (cell, End::Behind))
}

// === impl Chain ===

impl Chain {
    /// As an upper bound: the bound of its first column.
    fn first(&self) -> Option<(Vec<u8>, bool)> {
        let exact = self.cells.len() == 1 && self.end == End::Behind;
        self.cells.first().map(|cell| (cell.clone(), exact))
    }

    /// As a lower bound: the segments of the columns behind the first, the last column's before.
    fn up(&self, equal: &[Vec<u8>], found: &mut Vec<Segment>) {
        for depth in (1..=self.cells.len()).rev() {
            let equal = [equal, self.cells.get(..depth).unwrap_or_default()].concat();
            match self.cells.get(depth) {
                None if self.end == End::Among => found.push(Segment { equal, low: None, high: None }),
                None => {}
                Some(cell) => {
                    let last = depth + 1 == self.cells.len();
                    let low = Some((cell.clone(), last && self.end == End::Before));
                    found.push(Segment { equal, low, high: None });
                }
            }
        }
    }

    /// As an upper bound: the segments of the columns behind the first, the last column's behind.
    fn down(&self, equal: &mut Vec<Vec<u8>>, found: &mut Vec<Segment>) {
        for (depth, cell) in self.cells.iter().enumerate() {
            equal.push(cell.clone());
            let (equal, last) = (equal.clone(), depth + 2 == self.cells.len());
            match self.cells.get(depth + 1) {
                None if self.end == End::Among => found.push(Segment { equal, low: None, high: None }),
                None => {}
                Some(next) => {
                    let high = Some((next.clone(), last && self.end == End::Behind));
                    found.push(Segment { equal, low: None, high });
                }
            }
        }
    }
}
