//! The command line, configuration and composition of Tidefold; the only binary
