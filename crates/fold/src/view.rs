//! The rows a state or an event makes in a view.
