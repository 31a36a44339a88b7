//! Control records folded to definitions, schema ids and generations
