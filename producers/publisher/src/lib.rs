//! Files, standard input and synthetic load, sent to the write API
