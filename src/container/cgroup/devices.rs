//! Which devices a container may use: rules, and the two forms in which the kernel takes them. Pure.
//!
//! Version 1 takes lines of text, version 2 a program. Both refuse what no rule allows.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::sys::Instruction;

/// Allows the use of some devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceRule {
    pub kind: DeviceKind,
    /// `None` for every number.
    pub major: Option<u32>,
    pub minor: Option<u32>,
    pub rights: DeviceRights,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DeviceKind {
    Any,
    Block,
    Char,
}

/// What may be done with a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceRights {
    pub read: bool,
    pub write: bool,
    /// Making a node of it.
    pub make: bool,
}

/// The text is not a rule for devices.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a rule for devices: expected a, b or c, MAJOR:MINOR (numbers or *), and some of rwm, as in 'c 1:3 rwm'"
)]
pub struct DeviceRuleError(String);

impl DeviceRights {
    pub const ALL: DeviceRights = DeviceRights { read: true, write: true, make: true };
    const MAKE: DeviceRights = DeviceRights { read: false, write: false, make: true };

    /// Some of the letters `r`, `w` and `m`; `None` for another text.
    pub fn parse(text: &str) -> Option<DeviceRights> {
        let known = !text.is_empty() && text.bytes().all(|b| b"rwm".contains(&b));
        known.then(|| DeviceRights { read: text.contains('r'), write: text.contains('w'), make: text.contains('m') })
    }

    /// The letters that [`DeviceRights::parse`] takes.
    pub fn letters(self) -> String {
        [(self.read, 'r'), (self.write, 'w'), (self.make, 'm')].iter().filter(|(has, _)| *has).map(|(_, c)| c).collect()
    }

    /// As in `linux/bpf.h`.
    fn bits(self) -> i32 {
        i32::from(self.make) | i32::from(self.read) << 1 | i32::from(self.write) << 2
    }
}

impl FromStr for DeviceRule {
    type Err = DeviceRuleError;

    /// `KIND MAJOR:MINOR RIGHTS`, docker's syntax.
    fn from_str(text: &str) -> Result<DeviceRule, DeviceRuleError> {
        let parse = || {
            let mut fields = text.split(' ');
            let (kind, numbers, rights) = (fields.next()?, fields.next()?, fields.next()?);
            let kind = match kind {
                "a" => DeviceKind::Any,
                "b" => DeviceKind::Block,
                "c" => DeviceKind::Char,
                _ => return None,
            };
            let (major, minor) = numbers.split_once(':')?;
            let number = |text: &str| match text {
                "*" => Some(None),
                _ => text.parse().ok().map(Some),
            };
            let (major, minor) = (number(major)?, number(minor)?);
            let rule = DeviceRule { kind, major, minor, rights: DeviceRights::parse(rights)? };
            fields.next().is_none().then_some(rule)
        };
        parse().ok_or_else(|| DeviceRuleError(text.to_owned()))
    }
}

impl fmt::Display for DeviceRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            DeviceKind::Any => "a",
            DeviceKind::Block => "b",
            DeviceKind::Char => "c",
        };
        write!(f, "{kind} {}:{} {}", number(self.major), number(self.minor), self.rights.letters())
    }
}

/// A number, or `*` for all.
fn number(number: Option<u32>) -> String {
    number.map_or("*".to_owned(), |number| number.to_string())
}

const fn char(major: u32, minor: Option<u32>) -> DeviceRule {
    DeviceRule { kind: DeviceKind::Char, major: Some(major), minor, rights: DeviceRights::ALL }
}

/// What every container may use, as in docker: null, zero, full, random, urandom, tty, console, ptmx and terminals. It
/// may make a node of any device, which by itself opens none.
pub(in crate::container) const ALWAYS: [DeviceRule; 11] = [
    DeviceRule { kind: DeviceKind::Char, major: None, minor: None, rights: DeviceRights::MAKE },
    DeviceRule { kind: DeviceKind::Block, major: None, minor: None, rights: DeviceRights::MAKE },
    char(1, Some(3)),
    char(1, Some(5)),
    char(1, Some(7)),
    char(1, Some(8)),
    char(1, Some(9)),
    char(5, Some(0)),
    char(5, Some(1)),
    char(5, Some(2)),
    char(136, None),
];

/// The lines for `devices.allow` of version 1.
pub(super) fn lines(rule: &DeviceRule) -> Vec<String> {
    let (major, minor, rights) = (number(rule.major), number(rule.minor), rule.rights.letters());
    // The kernel's `a` means every device with every right, whatever follows.
    let kinds: &[&str] = match rule.kind {
        DeviceKind::Any => &["b", "c"],
        DeviceKind::Block => &["b"],
        DeviceKind::Char => &["c"],
    };
    kinds.iter().map(|kind| format!("{kind} {major}:{minor} {rights}")).collect()
}

// Codes of instructions, as in `linux/bpf.h` and `linux/bpf_common.h`.
const LOAD_WORD: u8 = 0x61;
const COPY: u8 = 0xbf;
const SET: u8 = 0xb7;
const AND: u8 = 0x57;
const SHIFT_RIGHT: u8 = 0x77;
const JUMP_UNLESS_EQUAL: u8 = 0x55;
const EXIT: u8 = 0x95;

const RESULT: u8 = 0;
const CONTEXT: u8 = 1;
const KIND: u8 = 2;
/// The rights that are asked for and that no rule has given yet.
const WANTED: u8 = 3;
const MAJOR: u8 = 4;
const MINOR: u8 = 5;

/// The program for version 2. It takes the rights of every matching rule from those that are asked for, and agrees when
/// none is left.
pub(super) fn program(rules: &[DeviceRule]) -> Vec<Instruction> {
    let instruction =
        |code, to: u8, from: u8, offset, immediate| Instruction { code, registers: from << 4 | to, offset, immediate };
    // The context has the kind in the lower half of its first word and the rights in the upper, then the two numbers.
    let mut program = vec![
        instruction(LOAD_WORD, KIND, CONTEXT, 0, 0),
        instruction(COPY, WANTED, KIND, 0, 0),
        instruction(AND, KIND, 0, 0, 0xffff),
        instruction(SHIFT_RIGHT, WANTED, 0, 0, 16),
        instruction(LOAD_WORD, MAJOR, CONTEXT, 4, 0),
        instruction(LOAD_WORD, MINOR, CONTEXT, 8, 0),
    ];
    for rule in rules {
        let kind = match rule.kind {
            DeviceKind::Any => None,
            DeviceKind::Block => Some(1),
            DeviceKind::Char => Some(2),
        };
        // A comparison takes a signed number. No device has one that large.
        let number = |number: Option<u32>| number.map(|number| i32::try_from(number).unwrap_or(i32::MAX));
        let conditions = [(KIND, kind), (MAJOR, number(rule.major)), (MINOR, number(rule.minor))];
        let conditions: Vec<_> = conditions.into_iter().filter_map(|(of, is)| Some((of, is?))).collect();
        for (index, (register, value)) in conditions.iter().enumerate() {
            // Over the other conditions and the one instruction that they guard.
            let over = i16::try_from(conditions.len() - index).unwrap_or(i16::MAX);
            program.push(instruction(JUMP_UNLESS_EQUAL, *register, 0, over, *value));
        }
        program.push(instruction(AND, WANTED, 0, 0, !rule.rights.bits()));
    }
    program.extend([
        instruction(SET, RESULT, 0, 0, 0),
        instruction(JUMP_UNLESS_EQUAL, WANTED, 0, 1, 0),
        instruction(SET, RESULT, 0, 0, 1),
        instruction(EXIT, 0, 0, 0, 0),
    ]);
    program
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(text: &str) -> DeviceRule {
        text.parse().unwrap()
    }

    #[test]
    fn a_rule_is_read_as_docker_reads_it() {
        let read = DeviceRights { read: true, write: false, make: false };
        let expected = DeviceRule { kind: DeviceKind::Block, major: Some(8), minor: None, rights: read };
        assert_eq!("b 8:* r".parse(), Ok(expected));
        assert_eq!(lines(&expected), ["b 8:* r"]);
        assert_eq!(lines(&rule("a *:* mw")), ["b *:* wm", "c *:* wm"]);
        for text in ["", "c", "c 1:3", "x 1:3 r", "c 1 r", "c 1:3 x", "c 1:3 ", "c 1:3 r w", "c a:3 r", "c -1:3 r"] {
            assert_eq!(text.parse::<DeviceRule>(), Err(DeviceRuleError(text.into())));
        }
    }

    /// What the program answers when `rights` of a device are asked for. Runs the few instructions that it is made of.
    fn allows(program: &[Instruction], kind: u32, rights: u32, major: u32, minor: u32) -> bool {
        let context = [rights << 16 | kind, major, minor];
        let mut registers = [0u64; 16];
        let mut at = 0;
        loop {
            let one = program[at];
            let (to, from) = (usize::from(one.registers & 15), usize::from(one.registers >> 4));
            let immediate = i64::from(one.immediate) as u64;
            at += 1;
            match one.code {
                LOAD_WORD => registers[to] = context[one.offset as usize / 4].into(),
                COPY => registers[to] = registers[from],
                SET => registers[to] = immediate,
                AND => registers[to] &= immediate,
                SHIFT_RIGHT => registers[to] >>= immediate,
                JUMP_UNLESS_EQUAL if registers[to] != immediate => at += one.offset as usize,
                JUMP_UNLESS_EQUAL => {}
                EXIT => return registers[0] != 0,
                other => panic!("{other:#x}"),
            }
        }
    }

    #[test]
    fn the_program_allows_what_the_rules_allow() {
        let (make, read, write) = (1, 2, 4);
        let (block, char) = (1, 2);
        let rules: Vec<_> =
            ALWAYS.into_iter().chain(["b 8:* r", "c 10:229 r", "c 10:229 w", "a 7:1 rw"].map(rule)).collect();
        let program = program(&rules);
        for (kind, rights, major, minor, expected) in [
            (char, read | write, 1, 3, true),
            (block, read, 1, 3, false),
            (char, make, 99, 99, true),
            (char, make | read, 99, 99, false),
            (char, read | write, 136, 7, true),
            (block, read, 8, 17, true),
            (block, write, 8, 17, false),
            (block, read | write, 8, 17, false),
            (block, read | make, 8, 17, true),
            (char, read | write, 10, 229, true),
            (char, read | write, 10, 228, false),
            (char, read, 7, 1, true),
            (block, write, 7, 1, true),
            (block, write, 7, 2, false),
        ] {
            assert_eq!(allows(&program, kind, rights, major, minor), expected, "{kind} {rights} {major}:{minor}");
        }
        assert!(!allows(&super::program(&[]), char, read, 1, 3));
    }
}
