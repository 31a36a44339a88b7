//! `tidefold replay`, `rollback`, `retire`, `abandon`: generations built, switched, dropped, given up.

use serde::{Deserialize, Serialize};
use tidefold_deployer::{Build, BuildProgress, Comparison, DeployError, Phase, ReplayOptions};
use tidefold_http::{Problem, ProblemKind};

use super::Operator;

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
    /// `building`, `comparing`, `switching`, `done`, `differs` or `failed`.
    pub phase: String,
    /// Whether it has ended.
    pub is_final: bool,
    /// Rows that were compared.
    pub rows_compared: u64,
    /// Rows that differ.
    pub rows_differing: u64,
    /// The first differing rows, and why it failed.
    pub detail: Vec<String>,
}

pub(super) async fn start(
    operator: &Operator,
    topic: Option<&str>,
    options: ReplayOptions,
) -> Result<Vec<Build>, Problem> {
    let topics = topic.map(|topic| vec![topic.to_owned()]);
    if let Some(topic) = topic {
        operator.topic(topic)?;
    }
    operator.deployer().replay(topics.as_deref(), options).await.map_err(refused)
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
    };
    match &progress.phase {
        Phase::Done(comparison) | Phase::Differs(comparison) => compared(comparison, &mut report),
        Phase::Failed(reason) => report.detail.push(reason.clone()),
        _ => {}
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
        Some(topic) => vec![operator.topic(topic)?.name.as_str().to_owned()],
        None => operator.app().topics.iter().map(|topic| topic.name.as_str().to_owned()).collect(),
    };
    let mut done = Vec::new();
    for topic in topics {
        let deployer = operator.deployer();
        let generations = match change {
            Change::Rollback => deployer.rollback(&topic).await.map(|generation| vec![generation]),
            Change::Retire => deployer.retire(&topic).await,
            Change::Abandon => deployer.abandon(&topic).await,
        };
        done.push((topic, generations.map_err(refused)?));
    }
    Ok(done)
}

fn refused(error: DeployError) -> Problem {
    let kind = if error.is_passing() { ProblemKind::LogUnavailable } else { ProblemKind::Conflict };
    Problem::new(kind, crate::failure::chain(&error))
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
