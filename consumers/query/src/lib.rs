//! The HTTP read API: keys, ranges, cursors, min-position
