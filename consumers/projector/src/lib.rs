//! One lane a partition: batch, load, fold, write, checkpoint
