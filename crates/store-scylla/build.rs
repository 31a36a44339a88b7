//! Tells the tests which servers there are: one that needs another is ignored, and says what it needs.

fn main() {
    tell("cql_is_there", is_set("TIDEFOLD_TEST_CQL"));
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
