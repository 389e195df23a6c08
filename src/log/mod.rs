//! The log: tracing layers, the size-rotating file, one escaper at the sink.
