//! The HTTP write API: JSON in, checked against Avro, appended to the log
