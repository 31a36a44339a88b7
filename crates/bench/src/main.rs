//! Figures, each measured in this run, on this machine, with what it is compared to run beside it.
//!
//! ```text
//!   cargo run --release -p tidefold-bench               all of them
//!   cargo run --release -p tidefold-bench -- fold       only those whose name contains the word
//! ```
//!
//! It deliberately asserts nothing: figures depend on the machine. What they were, and where the time goes, stands in
//! `README.md` beside this crate.
//!
//! A walk through it:
//! * [`child`]: servers in processes of their own, their CPU time and memory.
//! * [`bare`]: the bare axum server everything is compared to.
//! * [`load`]: a closed-loop HTTP client over raw connections, the same for all servers.
//! * [`orders`]: the messages; [`mod@figure`]: what is printed.
//! * [`http`]: single-event ingest, point query, batch ingest, time to visible, memory.
//! * [`fold`]: the fold alone; [`replay`]: a replay end to end.
//! * `servers` (a feature): the same on real Kafka and CQL servers, beside what people write with the bare drivers.

mod bare;
mod child;
mod figure;
mod fold;
mod http;
mod load;
mod orders;
mod replay;
#[cfg(feature = "servers")]
mod servers;
mod typed;

use std::process::ExitCode;

use figure::Outcome;

fn main() -> ExitCode {
    figure::ended(run())
}

fn run() -> Outcome {
    #[cfg(feature = "servers")]
    if let Some(outcome) = servers::child() {
        return outcome;
    }
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    match words.first().map(String::as_str) {
        Some("serve-bare") => return bare::serve(std::path::Path::new(words.get(1).ok_or("which folder?")?)),
        Some("serve-node") => return child::serve_node(&words),
        _ => {}
    }
    #[cfg(feature = "servers")]
    if let Some(addresses) = servers::Addresses::given() {
        return servers::run(&addresses, &words);
    }
    let wanted = |name: &str| words.is_empty() || words.iter().any(|word| name.contains(word.as_str()));
    if wanted("fold") {
        fold::run()?;
    }
    if wanted("single") {
        http::single()?;
    }
    if wanted("point") {
        http::point()?;
    }
    if wanted("batch") {
        http::batch()?;
    }
    if wanted("visible") {
        http::visible()?;
    }
    if wanted("memory") {
        http::memory()?;
    }
    if wanted("replay") {
        replay::run()?;
    }
    Ok(())
}
