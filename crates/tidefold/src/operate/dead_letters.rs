//! `tidefold dead-letters`: records that could not be folded, with why.

use serde::{Deserialize, Serialize};
use tidefold_app::model::{Projection, Topic};
use tidefold_codec::nearest::nearest;
use tidefold_codec::text::parse_rfc3339_micros;
use tidefold_http::{Problem, ProblemKind};
use tidefold_log::ReadLimit;
use tidefold_record::{Offset, Partition, Position, RecordBatch};
use tidefold_store::published::Published;
use tidefold_table::verdict::DeadReason;
use tidefold_table::{GenerationTables, Verdict};

use super::letter::{DeadLetter, DeadLetterRecord};
use super::operator::{Operator, trouble};

/// Which dead letters are listed.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Filter {
    /// At most this many; 50 where nothing is said, 10,000 at most.
    pub limit: Option<usize>,
    /// Of this topic.
    pub topic: Option<String>,
    /// Of this partition.
    pub partition: Option<u32>,
    /// Dead for this reason.
    pub code: Option<String>,
    /// Of this message type.
    #[serde(rename = "type")]
    pub message_type: Option<String>,
    /// With this key.
    pub key: Option<String>,
    /// Appended at this time (RFC 3339) or later. What ingest did not append goes by its `ce_time`.
    pub since: Option<String>,
    /// Appended before this time.
    pub until: Option<String>,
    /// Behind this position: where the list before ended.
    pub after: Option<String>,
}

/// A part of the list.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Listed {
    /// Oldest first by topic and partition.
    pub items: Vec<DeadLetter>,
    /// How many more there are behind the last.
    pub more: u64,
    /// Whether that is all; else counting was given up there.
    pub more_is_exact: bool,
    /// How many that are wanted otherwise were left out, as they have no time to choose by.
    #[serde(skip_serializing_if = "is_zero")]
    pub timeless: u64,
    /// What to give as `after` for the next part; none where this was the last.
    pub next: Option<String>,
}

/// A filter, judged.
struct Wanted<'a> {
    filter: &'a Filter,
    limit: usize,
    since: Option<i64>,
    until: Option<i64>,
    after: Option<Position>,
}

/// Reads records of a partition, some ahead where the next one wanted is near.
struct Reader<'a> {
    operator: &'a Operator,
    projection: &'a Projection,
    batch: Option<RecordBatch>,
    reads: usize,
}

/// Verdict rows that one scan returns.
const PAGE: usize = 1_000;
/// Dead letters that one answer has at most.
const MOST: usize = 10_000;
/// Offsets that are read at once where more than one of them is wanted.
const NEAR: u64 = 250;
/// Rows and records that are looked at to count what is behind the last one shown.
const COUNTED_ROWS: usize = 1_000_000;
const COUNTED_READS: usize = 2_000;

pub(super) async fn list(operator: &Operator, filter: &Filter) -> Result<Listed, Problem> {
    let wanted = Wanted::new(operator, filter)?;
    let listed = listed(operator, &wanted).await?;
    if listed.items.is_empty()
        && let Some(name) = filter.message_type.as_deref()
    {
        known_type(operator, name).await?;
    }
    Ok(listed)
}

/// Refuses a type that nothing is of. Other writers' records are of types that the app does not have, so a type counts too
/// where any dead letter is of it.
async fn known_type(operator: &Operator, name: &str) -> Result<(), Problem> {
    let projections = operator.projections();
    let known = || projections.iter().flat_map(|known| &known.topic.messages).map(|m| m.name.as_str());
    if known().any(|known| known == name) {
        return Ok(());
    }
    let any = Filter { limit: Some(1), message_type: Some(name.to_owned()), ..Filter::default() };
    let any = listed(operator, &Wanted::new(operator, &any)?).await?;
    if !any.items.is_empty() {
        return Ok(());
    }
    let advice = nearest(name, known()).map_or_else(
        || format!("the app has {}", known().collect::<Vec<_>>().join(", ")),
        |near| format!("did you mean {near}?"),
    );
    let detail =
        format!("type={name}: the app has no such message type and no dead letter is of it; {advice}");
    Err(Problem::new(ProblemKind::InvalidRequest, detail))
}

async fn listed(operator: &Operator, wanted: &Wanted<'_>) -> Result<Listed, Problem> {
    let filter = wanted.filter;
    let mut listed = Listed { more_is_exact: true, ..Listed::default() };
    let mut rows_seen = 0;
    for projection in &operator.projections() {
        if filter.topic.as_ref().is_some_and(|name| projection.name() != name) {
            continue;
        }
        let Some(tables) = active(operator, projection) else { continue };
        let published = Published::of(operator.store(), &tables);
        for partition in (0..projection.topic.partitions).map(Partition) {
            let Some(mut next) = wanted.start(operator, projection, partition) else { continue };
            let mut reader = Reader { operator, projection, batch: None, reads: 0 };
            loop {
                let page =
                    published.dead_letters(partition, next..Offset::MAX, PAGE).await.map_err(trouble)?;
                rows_seen += page.looked_at;
                take(wanted, partition, page.letters, &mut reader, &mut listed).await?;
                let Some(more) = page.next else { break };
                next = more;
                if listed.items.len() >= wanted.limit && rows_seen >= COUNTED_ROWS {
                    listed.more_is_exact = false;
                }
                if !listed.more_is_exact {
                    return Ok(listed.ended());
                }
            }
        }
    }
    Ok(listed.ended())
}

/// Puts what is wanted of a page of dead letters into the list, or counts it.
async fn take(
    wanted: &Wanted<'_>,
    partition: Partition,
    letters: Vec<(Offset, DeadReason)>,
    reader: &mut Reader<'_>,
    listed: &mut Listed,
) -> Result<(), Problem> {
    let is_wanted = |reason: &DeadReason| wanted.filter.code.as_ref().is_none_or(|code| reason.code == *code);
    let rows: Vec<_> = letters.into_iter().filter(|(_, reason)| is_wanted(reason)).collect();
    let control = reader.operator.coordinator().control_log().control();
    for (at, (offset, reason)) in rows.iter().enumerate() {
        let is_full = listed.items.len() >= wanted.limit;
        if is_full && !wanted.asks_record() {
            listed.more += 1;
            continue;
        }
        if is_full && reader.reads >= COUNTED_READS {
            listed.more_is_exact = false;
            return Ok(());
        }
        let near = rows.get(at + 1).is_some_and(|(next, _)| next.0 - offset.0 < NEAR);
        let position = Position::new(reader.projection.topic.name.clone(), partition, *offset);
        let batch = reader.at(partition, *offset, near).await?;
        let letter = DeadLetter::new(&position, reason, batch.get(*offset).as_ref(), &control);
        if !wanted.has(&letter) {
            continue;
        }
        match wanted.has_time(&letter) {
            None => listed.timeless += 1,
            Some(false) => {}
            Some(true) if is_full => listed.more += 1,
            Some(true) => listed.items.push(letter),
        }
    }
    Ok(())
}

pub(super) async fn show(operator: &Operator, position: &Position) -> Result<DeadLetterRecord, Problem> {
    let projection = &*operator.projection(position.topic.as_str())?;
    let absent = || {
        let text = format!("{position} is not a dead letter; `tidefold dead-letters list` lists what is");
        Problem::new(ProblemKind::NotFound, text)
    };
    let tables = active(operator, projection).ok_or_else(absent)?;
    let published = Published::of(operator.store(), &tables);
    let verdict = published.verdict(position.partition, position.offset).await.map_err(trouble)?;
    let Some(Verdict::Dead(reason)) = verdict else { return Err(absent()) };
    let mut reader = Reader { operator, projection, batch: None, reads: 0 };
    let batch = reader.at(position.partition, position.offset, false).await?;
    let record = batch.get(position.offset);
    let control = operator.coordinator().control().borrow().clone();
    let letter = DeadLetter::new(position, &reason, record.as_ref(), &control);
    Ok(DeadLetterRecord::new(letter, record.as_ref(), &control))
}

/// The tables of a topic's active generation.
pub(super) fn active(operator: &Operator, projection: &Projection) -> Option<GenerationTables> {
    let generation = operator.coordinator().control().borrow().active(projection.name())?;
    Some(projection.tables(generation))
}

/// Refuses partitions that no topic that is asked has.
fn known_partitions(operator: &Operator, filter: &Filter, after: Option<&Position>) -> Result<(), Problem> {
    let of_filter = filter.partition.map(|number| ("partition", filter.topic.as_deref(), number));
    let of_after = after.map(|at| ("after", Some(at.topic.as_str()), at.partition.0));
    for (parameter, topic, number) in of_filter.into_iter().chain(of_after) {
        let projections = operator.projections();
        let topics = projections.iter().map(|projection| &projection.topic);
        let asked: Vec<&Topic> =
            topics.filter(|known| topic.is_none_or(|topic| known.name.as_str() == topic)).collect();
        if asked.iter().any(|topic| number < topic.partitions) {
            continue;
        }
        let there: Vec<_> = asked
            .iter()
            .map(|topic| {
                format!("topic {} has partitions 0 to {}", topic.name, topic.partitions.saturating_sub(1))
            })
            .collect();
        let detail = format!("{parameter}: there is no partition {number}; {}", there.join(", "));
        return Err(Problem::new(ProblemKind::InvalidRequest, detail));
    }
    Ok(())
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

// === impl Listed ===

impl Listed {
    fn ended(mut self) -> Listed {
        let goes_on = self.more > 0 || !self.more_is_exact;
        self.next = self.items.last().filter(|_| goes_on).map(|last| last.position.clone());
        self
    }
}

// === impl Wanted ===

impl<'a> Wanted<'a> {
    fn new(operator: &Operator, filter: &'a Filter) -> Result<Wanted<'a>, Problem> {
        let invalid = |text: String| Problem::new(ProblemKind::InvalidRequest, text);
        let time = |name: &str, text: &Option<String>| match text {
            None => Ok(None),
            Some(text) => parse_rfc3339_micros(text.as_bytes())
                .map(Some)
                .ok_or_else(|| invalid(format!("{name}={text} is not a time such as 2026-11-24T14:28:37Z"))),
        };
        let after = match &filter.after {
            None => None,
            Some(text) => Some(text.parse::<Position>().map_err(|error| {
                Problem::new(ProblemKind::InvalidPosition, format!("after={text}: {error}"))
            })?),
        };
        for name in filter.topic.iter().map(String::as_str).chain(after.iter().map(|at| at.topic.as_str())) {
            operator.projection(name)?;
        }
        known_partitions(operator, filter, after.as_ref())?;
        if let Some(code) = &filter.code
            && !tidefold_table::verdict::DEAD_CODES.contains(&code.as_str())
        {
            let known = tidefold_table::verdict::DEAD_CODES.join(", ");
            return Err(invalid(format!("code={code}: no dead letter has it; there are {known}")));
        }
        let limit = filter.limit.unwrap_or(50);
        if !(1..=MOST).contains(&limit) {
            return Err(invalid(format!("limit={limit} is not a number from 1 to {MOST}")));
        }
        let (since, until) = (time("since", &filter.since)?, time("until", &filter.until)?);
        Ok(Wanted { filter, limit, since, until, after })
    }

    /// The first offset of a partition that is looked at; none where all of it stands before `after`.
    fn start(&self, operator: &Operator, projection: &Projection, partition: Partition) -> Option<Offset> {
        if self.filter.partition.is_some_and(|wanted| wanted != partition.0) {
            return None;
        }
        let Some(after) = &self.after else { return Some(Offset::ZERO) };
        let place = |name: &str| operator.projections().iter().position(|known| known.name() == name);
        let here = (place(projection.name()), partition.0);
        match here.cmp(&(place(after.topic.as_str()), after.partition.0)) {
            std::cmp::Ordering::Less => None,
            std::cmp::Ordering::Equal => Some(after.offset.next()),
            std::cmp::Ordering::Greater => Some(Offset::ZERO),
        }
    }

    /// Whether the record itself has to be looked at to tell.
    fn asks_record(&self) -> bool {
        let filter = self.filter;
        filter.message_type.is_some() || filter.key.is_some() || self.since.is_some() || self.until.is_some()
    }

    fn has(&self, letter: &DeadLetter) -> bool {
        let same = |wanted: &Option<String>, found: &Option<String>| wanted.is_none() || wanted == found;
        same(&self.filter.message_type, &letter.message_type) && same(&self.filter.key, &letter.key)
    }

    /// Whether it is of the time that is asked for; `None` where a time is and it has none.
    fn has_time(&self, letter: &DeadLetter) -> Option<bool> {
        if self.since.is_none() && self.until.is_none() {
            return Some(true);
        }
        let time = letter.time.as_ref().and_then(|text| parse_rfc3339_micros(text.as_bytes()))?;
        let is_later = self.since.is_none_or(|since| time >= since);
        Some(is_later && self.until.is_none_or(|until| time < until))
    }
}

// === impl Reader ===

impl Reader<'_> {
    /// A batch that has the record at an offset, if the log still has it.
    async fn at(
        &mut self,
        partition: Partition,
        offset: Offset,
        near: bool,
    ) -> Result<&RecordBatch, Problem> {
        let is_there = self.batch.as_ref().is_some_and(|batch| batch.get(offset).is_some());
        if !is_there {
            let records = if near { NEAR as usize } else { 1 };
            let limit = ReadLimit { records, bytes: if near { 1 << 20 } else { 1 } };
            let name = self.projection.log_topic();
            let read = self.operator.log().read(&name, partition, offset, limit).await;
            self.batch = Some(read.map_err(trouble)?);
            self.reads += 1;
        }
        Ok(self.batch.get_or_insert_with(|| RecordBatch::empty(partition, offset)))
    }
}
