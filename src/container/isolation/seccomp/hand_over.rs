//! A filter that hands calls over to another process, which answers them.

use seccompiler::BpfProgram;

use super::profile::{Action, Argument, Compare, Rule, Width};
use super::{FilterError, PROCESSOR, RETURN, filter};
use crate::sys::seccomp::HAND_OVER;

/// A call to hand over.
#[derive(Clone, Copy, Debug)]
pub(in crate::container) struct HandOver {
    pub(in crate::container) name: &'static str,
    pub(in crate::container) when: When,
}

/// For which arguments. A field is the index of an argument.
#[derive(Clone, Copy, Debug)]
pub(in crate::container) enum When {
    Always,
    /// It names a user or group other than root.
    GivesAway {
        user: u8,
        group: u8,
    },
    /// It makes a device node.
    Device {
        mode: u8,
    },
}

/// Of a mode: these bits have this value for both kinds of device, and for no other file.
const DEVICE_MASK: u64 = 0o130_000;
const DEVICE: u64 = 0o020_000;

/// In place of "hand over", which the compiler of filters does not know.
const PLACEHOLDER: u32 = 0x7ff0_7a7a;
const PLACEHOLDER_ACTION: Action = Action::Trace(0x7a7a);

/// The number of the call on this processor, if it has it.
pub(in crate::container) fn call_number(name: &str) -> Option<u32> {
    (PROCESSOR.own.number)(name)
}

/// A filter that hands `calls` over and allows all others. Covers this processor's own programs only.
///
/// # Errors
/// The filter is too long for the kernel.
pub(in crate::container) fn handing_over(calls: &[HandOver]) -> Result<BpfProgram, FilterError> {
    let rules: Vec<Rule> = calls.iter().flat_map(rules).collect();
    let rules: Vec<&Rule> = rules.iter().collect();
    let mut program = filter(&PROCESSOR.own, &rules, PLACEHOLDER_ACTION, Action::Allow)?;
    for instruction in program.iter_mut().filter(|one| one.code == RETURN && one.k == PLACEHOLDER) {
        instruction.k = HAND_OVER;
    }
    Ok(program)
}

fn rules(call: &HandOver) -> Vec<Rule> {
    let rule = |arguments: &[(u8, Compare, u64)]| Rule {
        arguments: arguments
            .iter()
            .map(|&(index, compare, value)| Argument { index, width: Width::Low32, compare, value })
            .collect(),
        ..Rule::new(call.name, PLACEHOLDER_ACTION)
    };
    // The highest number stands for "leave it".
    let other = |index| [(index, Compare::NotEqual, 0), (index, Compare::NotEqual, u32::MAX.into())];
    match call.when {
        When::Always => vec![rule(&[])],
        When::GivesAway { user, group } => vec![rule(&other(user)), rule(&other(group))],
        When::Device { mode } => vec![rule(&[(mode, Compare::Masked { mask: DEVICE_MASK }, DEVICE)])],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_modes_of_devices_have_the_bits_of_devices() {
        for (kind, is_device) in [
            (0o010_000, false),
            (0o020_000, true),
            (0o040_000, false),
            (0o060_000, true),
            (0o100_000, false),
            (0o120_000, false),
            (0o140_000, false),
            (0, false),
        ] {
            assert_eq!((kind | 0o7777) & DEVICE_MASK == DEVICE, is_device, "{kind:o}");
        }
    }

    #[test]
    fn every_placeholder_becomes_hand_over() {
        let call = |name, when| HandOver { name, when };
        let calls = [call("setuid", When::Always), call("fchownat", When::GivesAway { user: 2, group: 3 })];
        let program = handing_over(&calls).unwrap();
        let returns = |value| program.iter().filter(|one| one.code == RETURN && one.k == value).count();
        assert!(returns(HAND_OVER) >= 2);
        assert_eq!(returns(PLACEHOLDER), 0);
    }
}
