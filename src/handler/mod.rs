//! Carry out one attempt: a command, a shell script, or a handler of the embedding program.
