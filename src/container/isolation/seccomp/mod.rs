//! Compiles a profile of allowed system calls into the BPF filters that the kernel runs.
//!
//! A filter of the crate seccompiler has one action besides its default, and covers one processor. A profile with more
//! actions becomes several filters; where they disagree, the kernel takes the strictest action.

mod default;
mod hand_over;
mod profile;
mod runtime;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::Path;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch, sock_filter,
};
use serde::{Deserialize, Serialize};

pub(in crate::container) use hand_over::{HandOver, When, call_number, handing_over};
pub use profile::{Profile, ProfileError};

use profile::{Action, Argument, Compare, File, Filter, Rule, Width};

use crate::sys::{Capabilities, kernel_release};

/// At most this many bytes of a profile are read.
const PROFILE_MAX: u64 = 4 << 20;

const ENOSYS: u32 = 38;

/// The filter of system calls.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Seccomp {
    /// Docker's default.
    #[default]
    Default,
    Unconfined,
    Profile(Profile),
}

/// Why a profile could not be compiled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("cannot make a filter of the seccomp profile: {0}")]
pub struct FilterError(String);

/// A way of numbering system calls.
struct Abi {
    /// The kernel's `AUDIT_ARCH_*` number.
    audit: u32,
    /// The number of the call of that name, if there is one.
    number: fn(&str) -> Option<u32>,
}

/// The names of this processor in libseccomp and in Go, and how its 64-bit and 32-bit programs number system calls.
struct Processor {
    name: &'static str,
    sibling_name: &'static str,
    go_name: &'static str,
    target: TargetArch,
    own: Abi,
    sibling: Abi,
}

#[cfg(target_arch = "x86_64")]
const PROCESSOR: Processor = Processor {
    name: "SCMP_ARCH_X86_64",
    sibling_name: "SCMP_ARCH_X86",
    go_name: "amd64",
    target: TargetArch::x86_64,
    own: Abi { audit: 0xc000_003e, number: |name| Some(name.parse::<syscalls::x86_64::Sysno>().ok()?.id() as u32) },
    sibling: Abi { audit: 0x4000_0003, number: |name| Some(name.parse::<syscalls::x86::Sysno>().ok()?.id() as u32) },
};

#[cfg(target_arch = "aarch64")]
const PROCESSOR: Processor = Processor {
    name: "SCMP_ARCH_AARCH64",
    sibling_name: "SCMP_ARCH_ARM",
    go_name: "arm64",
    target: TargetArch::aarch64,
    own: Abi { audit: 0xc000_00b7, number: |name| Some(name.parse::<syscalls::aarch64::Sysno>().ok()?.id() as u32) },
    sibling: Abi { audit: 0x4000_0028, number: |name| Some(name.parse::<syscalls::arm::Sysno>().ok()?.id() as u32) },
};

impl Profile {
    /// Reads a profile in docker's JSON format.
    ///
    /// # Errors
    /// The file cannot be read, is not a profile, or uses an unknown action or comparison.
    pub fn read(path: &Path) -> Result<Profile, ProfileError> {
        let mut text = Vec::new();
        let read = std::fs::File::open(path).and_then(|file| file.take(PROFILE_MAX).read_to_end(&mut text));
        read.map_err(|error| ProfileError::Read { path: path.into(), error })?;
        let file: File =
            serde_json::from_slice(&text).map_err(|error| ProfileError::Json { path: path.into(), error })?;
        file.profile(PROCESSOR.name, PROCESSOR.sibling_name)
    }
}

impl Seccomp {
    /// The filters for a container with `capabilities`, in the order of installation.
    ///
    /// # Errors
    /// The profile is too long for the kernel, or tests an argument that no call has.
    pub(in crate::container) fn filters(&self, capabilities: Capabilities) -> Result<Vec<BpfProgram>, FilterError> {
        match self {
            Seccomp::Default => compile(&default::profile(), capabilities),
            Seccomp::Unconfined => Ok(Vec::new()),
            Seccomp::Profile(profile) => compile(profile, capabilities),
        }
    }
}

fn compile(profile: &Profile, capabilities: Capabilities) -> Result<Vec<BpfProgram>, FilterError> {
    let applies = |rule: &&Rule| {
        rule.action != profile.default
            && includes(&rule.includes, capabilities)
            && !excludes(&rule.excludes, capabilities)
    };
    let rules: Vec<&Rule> = profile.rules.iter().filter(applies).collect();
    let mut abis = vec![&PROCESSOR.own];
    if profile.other_widths {
        abis.push(&PROCESSOR.sibling);
    }
    let mut filters = vec![known_only(&abis)];
    let exceptions: BTreeSet<Action> = rules.iter().map(|rule| rule.action).filter(|a| *a != Action::Allow).collect();
    for abi in abis {
        if profile.default != Action::Allow {
            // Calls with their own action pass here; one of the filters below handles them.
            let mut filter = filter(abi, &rules, Action::Allow, profile.default)?;
            if matches!(profile.default, Action::Errno(_)) {
                filter.splice(0..0, newer_calls_are_missing(abi, &rules));
            }
            filters.push(filter);
        }
        for &action in &exceptions {
            let those: Vec<&Rule> = rules.iter().copied().filter(|rule| rule.action == action).collect();
            filters.push(filter(abi, &those, action, Action::Allow)?);
        }
    }
    Ok(filters)
}

fn includes(filter: &Filter, capabilities: Capabilities) -> bool {
    let kernel = filter.kernel.as_deref().is_none_or(|least| {
        let mut numbers = least.split('.').map(|number| number.parse().unwrap_or(0));
        kernel_release() >= (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
    });
    let processor = filter.processors.is_empty() || filter.processors.iter().any(|name| name == PROCESSOR.go_name);
    kernel && processor && filter.capabilities.iter().all(|name| capabilities.has(name))
}

fn excludes(filter: &Filter, capabilities: Capabilities) -> bool {
    filter.processors.iter().any(|name| name == PROCESSOR.go_name)
        || filter.capabilities.iter().any(|name| capabilities.has(name))
}

/// A filter with `action` for the calls that `rules` match and `other` for all others. Calls with another ABI pass.
fn filter(abi: &Abi, rules: &[&Rule], action: Action, other: Action) -> Result<BpfProgram, FilterError> {
    let failed = |error: seccompiler::BackendError| FilterError(error.to_string());
    // By call number. An empty list matches every call of that number.
    let mut chains: BTreeMap<i64, Vec<SeccompRule>> = BTreeMap::new();
    let mut always = BTreeSet::new();
    for rule in rules {
        // Skips names that do not exist on this processor.
        for number in rule.names.iter().filter_map(|name| (abi.number)(name)).map(i64::from) {
            let chain = chains.entry(number).or_default();
            if rule.arguments.is_empty() {
                always.insert(number);
            } else {
                let conditions = rule.arguments.iter().map(condition).collect::<Result<_, _>>().map_err(failed)?;
                chain.push(SeccompRule::new(conditions).map_err(failed)?);
            }
        }
    }
    for number in always {
        chains.insert(number, Vec::new());
    }
    // The crate kills calls of another processor. Here each ABI has its own filters, so such calls must pass.
    let filter = SeccompFilter::new(chains, of(other), of(action), PROCESSOR.target).map_err(failed)?;
    let mut program = BpfProgram::try_from(filter).map_err(failed)?;
    match &mut program[..] {
        [_, is_native, kill, ..] if is_native.k == PROCESSOR.own.audit && is_native.code == JUMP_IF_EQUAL => {
            is_native.k = abi.audit;
            kill.k = SeccompAction::Allow.into();
        }
        _ => return Err(FilterError("the compiler's output begins in an unknown way".into())),
    }
    Ok(program)
}

fn condition(argument: &Argument) -> Result<SeccompCondition, seccompiler::BackendError> {
    let width = match argument.width {
        Width::Low32 => SeccompCmpArgLen::Dword,
        Width::Whole => SeccompCmpArgLen::Qword,
    };
    let compare = match argument.compare {
        Compare::Equal => SeccompCmpOp::Eq,
        Compare::NotEqual => SeccompCmpOp::Ne,
        Compare::Less => SeccompCmpOp::Lt,
        Compare::LessOrEqual => SeccompCmpOp::Le,
        Compare::Greater => SeccompCmpOp::Gt,
        Compare::GreaterOrEqual => SeccompCmpOp::Ge,
        Compare::Masked { mask } => SeccompCmpOp::MaskedEq(mask),
    };
    SeccompCondition::new(argument.index, width, compare, argument.value)
}

fn of(action: Action) -> SeccompAction {
    match action {
        Action::Allow => SeccompAction::Allow,
        Action::Log => SeccompAction::Log,
        Action::Errno(number) => SeccompAction::Errno(number),
        Action::Trace(number) => SeccompAction::Trace(number),
        Action::Trap => SeccompAction::Trap,
        Action::KillThread => SeccompAction::KillThread,
        Action::KillProcess => SeccompAction::KillProcess,
    }
}

// The kernel's instructions, as in linux/filter.h.
const LOAD: u16 = 0x20;
const JUMP_IF_EQUAL: u16 = 0x15;
const JUMP_IF_GREATER: u16 = 0x25;
const RETURN: u16 = 0x06;

/// Offsets in `struct seccomp_data`: the number of the call, and the architecture.
const NUMBER: u32 = 0;
const AUDIT: u32 = 4;

fn instruction(code: u16, k: u32, jt: u8, jf: u8) -> sock_filter {
    sock_filter { code, jt, jf, k }
}

/// Kills programs whose ABI has no filter.
fn known_only(abis: &[&Abi]) -> BpfProgram {
    let mut program = vec![instruction(LOAD, AUDIT, 0, 0)];
    for abi in abis {
        program.push(instruction(JUMP_IF_EQUAL, abi.audit, 0, 1));
        program.push(instruction(RETURN, SeccompAction::Allow.into(), 0, 0));
    }
    program.push(instruction(RETURN, SeccompAction::KillProcess.into(), 0, 0));
    program
}

/// Answers `ENOSYS` to calls newer than all that the profile names: a C library falls back to an older call on
/// `ENOSYS`, but not on `EPERM`. runc does the same.
fn newer_calls_are_missing(abi: &Abi, rules: &[&Rule]) -> BpfProgram {
    let names = rules.iter().flat_map(|rule| &rule.names);
    let Some(newest) = names.filter_map(|name| (abi.number)(name)).max() else { return Vec::new() };
    vec![
        instruction(LOAD, AUDIT, 0, 0),
        instruction(JUMP_IF_EQUAL, abi.audit, 0, 3),
        instruction(LOAD, NUMBER, 0, 0),
        instruction(JUMP_IF_GREATER, newest, 0, 1),
        instruction(RETURN, SeccompAction::Errno(ENOSYS).into(), 0, 0),
    ]
}
