//! What a crash of the daemon left running: processes of runs whose ends were never recorded. They are killed before their
//! partials may run again, so that a partial never runs beside a living copy of itself.

use std::path::{Path, PathBuf};

use super::super::ResultFiles;
use super::tree::{self, Killed};
use crate::engine::RunKey;

/// Kills the processes of `runs` of the daemon whose state is in `state_dir`, and waits until they are gone. Blocks.
/// Call before any attempt is started.
pub fn kill(state_dir: &Path, runs: &[RunKey]) -> Vec<Killed> {
    if runs.is_empty() {
        return Vec::new();
    }
    let files = ResultFiles::new(state_dir);
    let prefixes: Vec<PathBuf> = runs.iter().flat_map(|run| files.prefixes(*run)).collect();
    tree::kill_marked(&prefixes)
}
