//! Tells the tests which servers there are: one that needs another is ignored, and says what it needs.

fn main() {
    // A binary without Kafka's client finds none.
    let kafka = is_set("TIDEFOLD_TEST_KAFKA") && is_set("CARGO_FEATURE_KAFKA");
    let cql = is_set("TIDEFOLD_TEST_CQL");
    tell("kafka_is_there", kafka);
    tell("cql_is_there", cql);
    tell("servers_are_there", kafka && cql);
    println!("cargo::rerun-if-env-changed=SERVERS");
    tell(
        "servers_are_three",
        std::env::var("SERVERS").is_ok_and(|count| count == "3") && is_set("SERVERS_DIR"),
    );
}

/// Whether a variable is set; the tests are built anew where that changes.
fn is_set(variable: &str) -> bool {
    println!("cargo::rerun-if-env-changed={variable}");
    std::env::var_os(variable).is_some_and(|value| !value.is_empty())
}

fn tell(name: &str, holds: bool) {
    println!("cargo::rustc-check-cfg=cfg({name})");
    if holds {
        println!("cargo::rustc-cfg={name}");
    }
}
