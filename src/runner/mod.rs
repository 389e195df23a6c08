//! Performs the engine's `Start`, `Stop` and `Gather`: one tokio task an attempt, its end reported as an event.
