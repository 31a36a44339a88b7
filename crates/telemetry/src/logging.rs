//! Tracing to standard error, text or JSON.
