//! `tidefold dead-letters add` and `tidefold breaker lift`: what an operator does about a partition that stands.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use serde::Deserialize;
use serde_json::{Value, json};
use tidefold_coordinator::CoordinatorError;
use tidefold_http::{Problem, ProblemKind};
use tidefold_record::{Partition, Position};

use super::operator::{Operator, refused, trouble};
use super::parameters::Parameters;

#[derive(Debug, Deserialize)]
pub(super) struct ReasonParameter {
    reason: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct LiftParameters {
    topic: Option<String>,
    partition: Option<u32>,
}

/// Declares the record dead that halts its partition.
pub(super) async fn dead_add(
    State(operator): State<Arc<Operator>>,
    Path((app, position)): Path<(String, String)>,
    Parameters(parameters): Parameters<ReasonParameter>,
) -> Result<Json<Value>, Problem> {
    operator.check_app(&app)?;
    let position: Position = position.parse().map_err(|error: tidefold_record::ParsePositionError| {
        Problem::new(ProblemKind::InvalidPosition, error.to_string())
    })?;
    let projection = operator.projection(position.topic.as_str())?;
    let topic = &projection.topic;
    let name = projection.log_topic();
    if position.partition.0 >= topic.partitions {
        let detail = format!("topic {} has partitions 0 to {}", topic.name, topic.partitions - 1);
        return Err(Problem::new(ProblemKind::InvalidPosition, detail));
    }
    let reason = parameters.reason.filter(|reason| !reason.trim().is_empty()).ok_or_else(|| {
        let detail = "say why with `reason`: it stays with the record for ever";
        Problem::new(ProblemKind::InvalidRequest, detail)
    })?;
    let bounds = operator.log().bounds(&name, position.partition).await.map_err(trouble)?;
    if position.offset >= bounds.end {
        let detail = format!("the log of {}:{} ends at {}", topic.name, position.partition, bounds.end);
        return Err(Problem::new(ProblemKind::UnknownPosition, detail));
    }
    operator.coordinator().add_dead_letter(&position, &reason).await.map_err(refused)?;
    Ok(Json(json!({ "position": position.to_string(), "reason": reason })))
}

/// Lifts the breaker of partitions that it holds.
pub(super) async fn lift_breaker(
    State(operator): State<Arc<Operator>>,
    Path(app): Path<String>,
    Parameters(parameters): Parameters<LiftParameters>,
) -> Result<Json<Value>, Problem> {
    operator.check_app(&app)?;
    let projections = match parameters.topic.as_deref() {
        Some(topic) => vec![operator.projection(topic)?],
        None => operator.projections(),
    };
    let mut lifted = Vec::new();
    for projection in projections {
        let partition = parameters.partition.map(Partition);
        match operator.coordinator().lift_breaker(projection.name(), partition).await {
            Ok(positions) => lifted.extend(positions.iter().map(ToString::to_string)),
            // What has no tables yet is held by nothing.
            Err(CoordinatorError::NoGeneration { .. }) => {}
            Err(error) => return Err(refused(error)),
        }
    }
    if lifted.is_empty() {
        let detail =
            "the breaker holds no such partition that is folded here; `tidefold status` names those it holds";
        return Err(Problem::new(ProblemKind::Conflict, detail));
    }
    Ok(Json(json!({ "items": lifted })))
}
