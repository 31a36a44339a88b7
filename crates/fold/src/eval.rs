//! Evaluates the app's expressions over slots, without allocating for a node.
