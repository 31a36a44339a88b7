//! The control driver: definitions, schema ids, tables, builds, activation, retirement.
