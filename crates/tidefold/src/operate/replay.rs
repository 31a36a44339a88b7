//! `tidefold replay`, `rollback`, `retire`, `abandon`: generations built, switched, dropped, given up.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tidefold_coordinator::{Build, BuildProgress, Comparison, Phase, ReplayOptions};
use tidefold_http::Problem;
use tidefold_record::Offset;

use super::operator::{Operator, refused};
use super::unfolded::{self, Unfolded};

/// What becomes of generations that are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// The one before is active again.
    Rollback,
    /// The kept ones go.
    Retire,
    /// The one that is built goes.
    Abandon,
}

/// How far a build is, or how it ended.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BuildReport {
    /// The topic.
    pub topic: String,
    /// The generation that is built.
    pub generation: u32,
    /// Records folded.
    pub done: u64,
    /// Records there are.
    pub total: u64,
    /// Records a second.
    pub rate: f64,
    /// `building`, `comparing`, `switching`, `done`, `unfinished`, `differs` or `failed`. Unfinished: it is active, but not
    /// all of the log is folded into it.
    pub phase: String,
    /// Whether it has ended.
    pub is_final: bool,
    /// Rows that were compared.
    pub rows_compared: u64,
    /// Rows that differ.
    pub rows_differing: u64,
    /// The first differing rows, and why it failed.
    pub detail: Vec<String>,
    /// Partitions that are behind where the log ended when the replay began, or halted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unfolded: Vec<Unfolded>,
}

/// Builds that were asked for.
pub(super) struct Replay {
    pub(super) builds: Vec<Build>,
    /// Where the partitions of each build's topic ended then.
    ends: Vec<Vec<Offset>>,
}

/// How long what is active may take to fold what stood in the log when the replay began.
const CATCH_UP: Duration = Duration::from_secs(10);

pub(super) async fn start(
    operator: &Operator,
    topic: Option<&str>,
    options: ReplayOptions,
) -> Result<Replay, Problem> {
    let topics = topic.map(|topic| vec![topic.to_owned()]);
    if let Some(topic) = topic {
        operator.projection(topic)?;
    }
    let builds = operator.coordinator().replay(topics.as_deref(), options).await.map_err(refused)?;
    let mut ends = Vec::with_capacity(builds.len());
    for build in &builds {
        ends.push(unfolded::ends(operator, &*operator.projection(&build.topic)?).await?);
    }
    Ok(Replay { builds, ends })
}

// === impl Replay ===

impl Replay {
    /// How far the builds are.
    pub(super) fn reports(&self) -> Vec<BuildReport> {
        self.builds.iter().map(report).collect()
    }

    /// How the builds ended. One is done once its tables are what the log came to when it began.
    pub(super) async fn ended(&self, operator: &Operator) -> Vec<BuildReport> {
        let mut reports = self.reports();
        for (report, ends) in reports.iter_mut().zip(&self.ends).filter(|(report, _)| report.phase == "done")
        {
            let Ok(projection) = operator.projection(&report.topic) else { continue };
            match unfolded::unfolded(operator, &projection, ends, CATCH_UP).await {
                Ok(partitions) => report.unfolded = partitions,
                Err(problem) => {
                    let detail = format!("how far it is folded cannot be told: {}", problem.detail());
                    report.detail.push(detail);
                    "unfinished".clone_into(&mut report.phase);
                }
            }
            if !report.unfolded.is_empty() {
                "unfinished".clone_into(&mut report.phase);
            }
        }
        reports
    }
}

pub(super) fn report(build: &Build) -> BuildReport {
    let progress: BuildProgress = build.progress.borrow().clone();
    let mut report = BuildReport {
        topic: build.topic.clone(),
        generation: build.generation,
        done: progress.done,
        total: progress.total,
        rate: progress.rate,
        phase: word(&progress.phase).to_owned(),
        is_final: progress.phase.is_final(),
        rows_compared: 0,
        rows_differing: 0,
        detail: Vec::new(),
        unfolded: Vec::new(),
    };
    match &progress.phase {
        Phase::Done(comparison) | Phase::Differs(comparison) => compared(comparison, &mut report),
        Phase::Failed(reason) => report.detail.push(reason.clone()),
        Phase::Building | Phase::Comparing | Phase::Switching => {}
    }
    report
}

fn compared(comparison: &Comparison, report: &mut BuildReport) {
    report.rows_compared = comparison.rows();
    report.rows_differing = comparison.differing();
    for table in &comparison.tables {
        let differences =
            table.first.iter().map(|row| format!("{}: row {} {}", table.table, row.key, row.what));
        report.detail.extend(differences);
    }
}

/// Changes the generations of one topic or all.
pub(super) async fn change(
    operator: &Operator,
    topic: Option<&str>,
    change: Change,
) -> Result<Vec<(String, Vec<u32>)>, Problem> {
    let topics: Vec<String> = match topic {
        Some(topic) => vec![operator.projection(topic)?.name().to_owned()],
        None => operator.projections().iter().map(|projection| projection.name().to_owned()).collect(),
    };
    let mut done = Vec::new();
    for topic in topics {
        let coordinator = operator.coordinator();
        let generations = match change {
            Change::Rollback => coordinator.rollback(&topic).await.map(|generation| vec![generation]),
            Change::Retire => coordinator.retire(&topic).await,
            Change::Abandon => coordinator.abandon(&topic).await,
        };
        done.push((topic, generations.map_err(refused)?));
    }
    Ok(done)
}

fn word(phase: &Phase) -> &'static str {
    match phase {
        Phase::Building => "building",
        Phase::Comparing => "comparing",
        Phase::Switching => "switching",
        Phase::Done(_) => "done",
        Phase::Differs(_) => "differs",
        Phase::Failed(_) => "failed",
    }
}
