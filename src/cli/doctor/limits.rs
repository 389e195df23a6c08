//! What a job is to be held to, and whether a daemon here, in its unit, can.

use super::Check;
use super::machine::Machine;
use super::sandbox::{Sandbox, loosen};
use crate::config::{Controller, Process};

/// The keys of the job that would not be held, or would fail each start.
pub(super) fn checks(process: &Process, machine: &Machine, sandbox: Option<&Sandbox>) -> Vec<Check> {
    let limits = &process.limits;
    let group =
        [("limits.memory", limits.memory.is_some(), Controller::Memory), ("limits.tasks_cpu", limits.tasks_cpu.is_some(), Controller::Cpu)];
    let asked = group.into_iter().filter(|(_, is_set, _)| *is_set);
    let mut checks: Vec<Check> = asked.filter_map(|(key, _, controller)| without_group(key, controller, machine, sandbox)).collect();
    if process.nice.is_some() && sandbox.is_some_and(|sandbox| sandbox.filters("@resources")) {
        let message = "`nice` cannot be set, and no attempt starts: the unit refuses @resources";
        checks.push(Check::bad("sandbox", message).help(loosen("SystemCallFilter=@resources")));
    }
    checks
}

/// Why no control group can hold the limit.
fn without_group(key: &str, controller: Controller, machine: &Machine, sandbox: Option<&Sandbox>) -> Option<Check> {
    let refused = |reason: String| Check::bad("limits", format!("`{key}` cannot be held, and the file is refused: {reason}"));
    if let Some(reason) = machine.lacks(controller) {
        return Some(refused(reason).help("remove it; or boot with `systemd.unified_cgroup_hierarchy=1`"));
    }
    let sandbox = sandbox?;
    if !sandbox.is_delegated(controller) {
        return Some(refused("the unit has no `Delegate=yes`".to_owned()).help(loosen("Delegate=yes")));
    }
    let protects = sandbox.is_set("ProtectControlGroups");
    protects.then(|| refused("ProtectControlGroups=yes in the unit".to_owned()).help(loosen("ProtectControlGroups=no")))
}
