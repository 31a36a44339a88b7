//! SQL text to typed expressions and views.
