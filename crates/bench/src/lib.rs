//! Ratios against a bare server run beside it
