//! The filter of system calls in the form that OCI runtimes read.

use oci_spec::OciSpecError;
use oci_spec::runtime::{
    Arch, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompArgBuilder, LinuxSeccompOperator, LinuxSyscall,
};

use super::profile::{Action, Argument, Compare, Profile, Rule};
use super::{FilterError, PROCESSOR, Seccomp, default, excludes, includes};
use crate::sys::Capabilities;

impl Seccomp {
    /// The same filter as [`filters`](Self::filters), for an OCI runtime. `None` where every call is allowed.
    ///
    /// # Errors
    /// The profile has what no runtime can be told.
    pub(in crate::container) fn for_runtime(
        &self,
        capabilities: Capabilities,
    ) -> Result<Option<LinuxSeccomp>, FilterError> {
        let filter = match self {
            Seccomp::Default => filter(&default::profile(), capabilities),
            Seccomp::Unconfined => return Ok(None),
            Seccomp::Profile(profile) => filter(profile, capabilities),
        };
        filter.map(Some).map_err(|error| FilterError(error.to_string()))
    }
}

fn filter(profile: &Profile, capabilities: Capabilities) -> Result<LinuxSeccomp, OciSpecError> {
    let applies = |rule: &&Rule| includes(&rule.includes, capabilities) && !excludes(&rule.excludes, capabilities);
    let (default, number) = action(profile.default);
    let siblings = profile.other_widths.then_some(PROCESSOR.sibling_name);
    let architectures = [Some(PROCESSOR.name), siblings].into_iter().flatten().filter_map(|name| name.parse().ok());
    let mut filter = LinuxSeccomp::default();
    filter
        .set_default_action(default)
        .set_default_errno_ret(number)
        .set_architectures(Some(architectures.collect::<Vec<Arch>>()))
        .set_syscalls(Some(profile.rules.iter().filter(applies).map(call).collect::<Result<_, _>>()?));
    Ok(filter)
}

fn call(rule: &Rule) -> Result<LinuxSyscall, OciSpecError> {
    let (does, number) = action(rule.action);
    let mut call = LinuxSyscall::default();
    call.set_names(rule.names.clone()).set_action(does).set_errno_ret(number);
    if !rule.arguments.is_empty() {
        call.set_args(Some(rule.arguments.iter().map(argument).collect::<Result<_, _>>()?));
    }
    Ok(call)
}

/// Runtimes compare all 64 bits, also where the kernel uses 32: docker's profile for them does the same.
fn argument(argument: &Argument) -> Result<LinuxSeccompArg, OciSpecError> {
    let (operator, value, second) = match argument.compare {
        Compare::Equal => (LinuxSeccompOperator::ScmpCmpEq, argument.value, None),
        Compare::NotEqual => (LinuxSeccompOperator::ScmpCmpNe, argument.value, None),
        Compare::Less => (LinuxSeccompOperator::ScmpCmpLt, argument.value, None),
        Compare::LessOrEqual => (LinuxSeccompOperator::ScmpCmpLe, argument.value, None),
        Compare::Greater => (LinuxSeccompOperator::ScmpCmpGt, argument.value, None),
        Compare::GreaterOrEqual => (LinuxSeccompOperator::ScmpCmpGe, argument.value, None),
        Compare::Masked { mask } => (LinuxSeccompOperator::ScmpCmpMaskedEq, mask, Some(argument.value)),
    };
    let made = LinuxSeccompArgBuilder::default().index(argument.index).op(operator).value(value);
    second.into_iter().fold(made, |made, second| made.value_two(second)).build()
}

/// With the errno, or the number for the tracer.
fn action(action: Action) -> (LinuxSeccompAction, Option<u32>) {
    match action {
        Action::Allow => (LinuxSeccompAction::ScmpActAllow, None),
        Action::Log => (LinuxSeccompAction::ScmpActLog, None),
        Action::Errno(number) => (LinuxSeccompAction::ScmpActErrno, Some(number)),
        Action::Trace(number) => (LinuxSeccompAction::ScmpActTrace, Some(number)),
        Action::Trap => (LinuxSeccompAction::ScmpActTrap, None),
        Action::KillThread => (LinuxSeccompAction::ScmpActKillThread, None),
        Action::KillProcess => (LinuxSeccompAction::ScmpActKillProcess, None),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_default_filter_is_what_docker_gives_a_runtime() {
        let filter = Seccomp::Default.for_runtime(Capabilities::CONTAINER).unwrap().unwrap();
        let filter = serde_json::to_value(filter).unwrap();
        assert_eq!(filter["defaultAction"], "SCMP_ACT_ERRNO");
        assert_eq!(filter["defaultErrnoRet"], 1);
        assert_eq!(filter["architectures"], json!([PROCESSOR.name, PROCESSOR.sibling_name]));
        let calls = filter["syscalls"].as_array().unwrap();
        let of = |name: &str| -> Vec<_> {
            calls.iter().filter(|call| call["names"].as_array().unwrap().contains(&json!(name))).collect()
        };
        assert_eq!(of("mount").len(), 0, "no CAP_SYS_ADMIN");
        assert_eq!(of("chroot").len(), 1, "CAP_SYS_CHROOT");
        assert_eq!(of("clone3")[0]["errnoRet"], 38);
        let masked = json!([{ "index": 0, "value": 0x7e02_0000, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ" }]);
        assert_eq!(of("clone")[0]["args"], masked);
        assert_eq!(of("read")[0].get("args"), None);
        assert!(Seccomp::Unconfined.for_runtime(Capabilities::CONTAINER).unwrap().is_none());
    }
}
