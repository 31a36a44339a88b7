//! Partitions that are behind or halted, named: what keeps a command from saying that everything is done.

use serde_json::{Value, json};

/// A line for each partition of an operation's report that is behind or halted, each after a line break.
pub(super) fn lines(unfolded: &Value) -> String {
    let all = unfolded.as_array().map(Vec::as_slice).unwrap_or_default();
    all.iter().map(|partition| format!("\n  {}", line(partition))).collect()
}

fn line(partition: &Value) -> String {
    let position = partition["position"].as_str().unwrap_or_default();
    let records = match partition["records"].as_u64() {
        Some(0) | None => String::new(),
        Some(1) => ", 1 record is not folded".to_owned(),
        Some(records) => format!(", {records} records are not folded"),
    };
    match (partition["halted"].as_str(), partition["waits"].as_str()) {
        (Some(reason), _) => format!("{position}: halted{records}: {reason}"),
        (None, Some(reason)) => format!("{position}: waits{records}: {reason}"),
        (None, None) => format!("{position}: behind{records}"),
    }
}

/// What a status says of active generations' partitions that are not folded to their end, are halted, or have acknowledged
/// records that an open transaction keeps from being read, as an operation's
/// report has it; generations that are not folded at all are named as a whole.
pub(super) fn of_status(status: &Value) -> Value {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let mut unfolded = Vec::new();
    for generation in list(&status["generations"]) {
        if generation["state"] != "active" {
            continue;
        }
        let topic = generation["topic"].as_str().unwrap_or_default();
        if let Some(reason) = generation["halted"].as_str() {
            let position = format!("{topic} g{}", generation["generation"]);
            unfolded.push(
                json!({ "position": position, "records": generation["lag_records"], "halted": reason }),
            );
            continue;
        }
        for partition in list(&generation["partitions"]) {
            let position = format!("{topic}:{}:{}", partition["partition"], partition["next"]);
            let halted = reason(&partition);
            let number = |name: &str| partition[name].as_u64().unwrap_or(0);
            let records = number("lag_records") + number("waiting_records");
            if halted.is_some() || records > 0 {
                // What can be read yet is folded first.
                let waits = if number("lag_records") == 0 { &partition["waits"] } else { &Value::Null };
                unfolded.push(
                    json!({ "position": position, "records": records, "halted": halted, "waits": waits }),
                );
            }
        }
    }
    Value::Array(unfolded)
}

/// Whether any of these may still be folded by itself.
pub(super) fn may_go_on(unfolded: &Value) -> bool {
    unfolded.as_array().is_some_and(|all| all.iter().any(|partition| partition["halted"].is_null()))
}

/// Why a partition of a status does not go on.
fn reason(partition: &Value) -> Option<&str> {
    let state = partition["state"].as_str()?;
    let halted = state.strip_prefix("halted").map(|reason| reason.trim_start_matches(": "));
    halted.or_else(|| state.starts_with("held by the breaker").then_some(state))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(partitions: &Value, halted: Option<&str>) -> Value {
        json!({ "generations": [
            { "topic": "orders", "generation": 1, "state": "kept", "halted": null,
              "partitions": [{ "partition": 0, "next": 0, "lag_records": 9, "state": "running" }] },
            { "topic": "orders", "generation": 2, "state": "active", "halted": halted, "lag_records": 0,
              "partitions": partitions },
        ]})
    }

    #[test]
    fn whatever_is_not_folded_in_active_tables_is_named_with_its_place_and_reason() {
        let partition = |next: u64, lag: u64, state: &str| json!({ "partition": 3, "next": next, "lag_records": lag, "state": state });
        for (partitions, halted, expected, goes_on) in [
            (json!([partition(7, 0, "waiting")]), None, "", false),
            (
                json!([partition(7, 2, "running")]),
                None,
                "\n  orders:3:7: behind, 2 records are not folded",
                true,
            ),
            (
                json!([partition(7, 1, "owned elsewhere")]),
                None,
                "\n  orders:3:7: behind, 1 record is not folded",
                true,
            ),
            (
                json!([partition(7, 2, "halted: a row is damaged")]),
                None,
                "\n  orders:3:7: halted, 2 records are not folded: a row is damaged",
                false,
            ),
            (json!([partition(7, 0, "halted: cut")]), None, "\n  orders:3:7: halted: cut", false),
            (
                json!([{ "partition": 3, "next": 7, "lag_records": 0, "state": "waiting; it is open",
                         "waits": "it is open", "waiting_records": 2 }]),
                None,
                "\n  orders:3:7: waits, 2 records are not folded: it is open",
                true,
            ),
            (json!([]), Some("it was replaced"), "\n  orders g2: halted: it was replaced", false),
        ] {
            let unfolded = of_status(&status(&partitions, halted));
            assert_eq!((lines(&unfolded).as_str(), may_go_on(&unfolded)), (expected, goes_on));
        }
    }
}
