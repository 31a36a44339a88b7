//! A figure, and what taking it ends in.

use std::error::Error;

/// Why a figure could not be taken.
pub(crate) type Failed = Box<dyn Error + Send + Sync>;

/// How taking figures ended.
pub(crate) type Outcome = Result<(), Failed>;

/// One figure on standard output: what, its value, and the target it is held against.
pub(crate) fn figure(name: &str, value: String, target: &str) {
    println!("{name:<44} {value:>26}   {target}");
}

/// The middle one of three.
pub(crate) fn median(mut values: [f64; 3]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[1]
}
