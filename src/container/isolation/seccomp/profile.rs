//! Parses seccomp profiles in docker's JSON format (`--security-opt seccomp=FILE`) into rules. Pure.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The errno of a refused call where the profile gives none.
const EPERM: u32 = 1;

/// Which action the kernel takes for each system call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    pub(super) default: Action,
    /// Whether programs for the 32-bit sibling of this processor get the same rules; otherwise they are killed.
    pub(super) other_widths: bool,
    pub(super) rules: Vec<Rule>,
}

/// What the kernel does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) enum Action {
    Allow,
    Log,
    Errno(u32),
    Trace(u32),
    Trap,
    KillThread,
    KillProcess,
}

/// An action for calls of these names whose arguments match.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Rule {
    pub(super) names: Vec<String>,
    pub(super) action: Action,
    /// All of these must match.
    pub(super) arguments: Vec<Argument>,
    pub(super) includes: Filter,
    pub(super) excludes: Filter,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Argument {
    pub(super) index: u8,
    pub(super) width: Width,
    pub(super) compare: Compare,
    pub(super) value: u64,
}

/// How many bits of an argument are compared. Where the kernel uses only 32 bits, the upper bits can hold anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Width {
    Low32,
    Whole,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Compare {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Masked { mask: u64 },
}

/// The containers that a rule applies to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct Filter {
    #[serde(rename = "caps")]
    pub(super) capabilities: Vec<String>,
    /// Go's names (`amd64`, `arm64`).
    #[serde(rename = "arches")]
    pub(super) processors: Vec<String>,
    /// The oldest kernel, as `MAJOR.MINOR`.
    #[serde(rename = "minKernel")]
    pub(super) kernel: Option<String>,
}

/// Why a profile cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    #[error("seccomp profile {}: {error}", path.display())]
    Read { path: PathBuf, error: std::io::Error },
    #[error("seccomp profile {}: {error}", path.display())]
    Json { path: PathBuf, error: serde_json::Error },
    #[error("seccomp profile: {0:?} is not a supported action")]
    Action(String),
    #[error("seccomp profile: {0:?} is not a comparison")]
    Compare(String),
}

impl Rule {
    /// A rule without conditions. `names` is separated by white space.
    pub(super) fn new(names: &str, action: Action) -> Rule {
        let names = names.split_whitespace().map(str::to_owned).collect();
        Rule { names, action, arguments: Vec::new(), includes: Filter::default(), excludes: Filter::default() }
    }
}

/// The JSON file.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct File {
    default_action: String,
    default_errno_ret: Option<u32>,
    architectures: Option<Vec<String>>,
    arch_map: Option<Vec<Architecture>>,
    syscalls: Option<Vec<Calls>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Architecture {
    architecture: String,
    sub_architectures: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Calls {
    #[serde(default)]
    names: Vec<String>,
    /// The older form of `names`, with one name.
    name: Option<String>,
    action: String,
    errno_ret: Option<u32>,
    args: Option<Vec<Condition>>,
    includes: Option<Filter>,
    excludes: Option<Filter>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Condition {
    index: u8,
    value: u64,
    #[serde(default)]
    value_two: u64,
    op: String,
}

impl File {
    /// `own` and `sibling` are libseccomp's names of this processor and its 32-bit sibling.
    pub(super) fn profile(self, own: &str, sibling: &str) -> Result<Profile, ProfileError> {
        let listed = self.architectures.unwrap_or_default();
        let mapped = self.arch_map.unwrap_or_default();
        let mapped = mapped.into_iter().filter(|one| one.architecture == own).flat_map(|one| one.sub_architectures);
        let other_widths = listed.into_iter().chain(mapped.flatten()).any(|name| name == sibling);
        let rules = self.syscalls.unwrap_or_default().into_iter().map(Calls::rule).collect::<Result<_, _>>()?;
        Ok(Profile { default: action(&self.default_action, self.default_errno_ret)?, other_widths, rules })
    }
}

impl Calls {
    fn rule(self) -> Result<Rule, ProfileError> {
        let argument = |one: Condition| {
            let (compare, value) = match one.op.as_str() {
                "SCMP_CMP_EQ" => (Compare::Equal, one.value),
                "SCMP_CMP_NE" => (Compare::NotEqual, one.value),
                "SCMP_CMP_LT" => (Compare::Less, one.value),
                "SCMP_CMP_LE" => (Compare::LessOrEqual, one.value),
                "SCMP_CMP_GT" => (Compare::Greater, one.value),
                "SCMP_CMP_GE" => (Compare::GreaterOrEqual, one.value),
                "SCMP_CMP_MASKED_EQ" => (Compare::Masked { mask: one.value }, one.value_two),
                _ => return Err(ProfileError::Compare(one.op)),
            };
            Ok(Argument { index: one.index, width: Width::Whole, compare, value })
        };
        Ok(Rule {
            names: self.names.into_iter().chain(self.name).collect(),
            action: action(&self.action, self.errno_ret)?,
            arguments: self.args.unwrap_or_default().into_iter().map(argument).collect::<Result<_, _>>()?,
            includes: self.includes.unwrap_or_default(),
            excludes: self.excludes.unwrap_or_default(),
        })
    }
}

fn action(name: &str, number: Option<u32>) -> Result<Action, ProfileError> {
    let number = number.unwrap_or(EPERM);
    Ok(match name {
        "SCMP_ACT_ALLOW" => Action::Allow,
        "SCMP_ACT_LOG" => Action::Log,
        "SCMP_ACT_ERRNO" => Action::Errno(number),
        "SCMP_ACT_TRACE" => Action::Trace(number),
        "SCMP_ACT_TRAP" => Action::Trap,
        "SCMP_ACT_KILL" | "SCMP_ACT_KILL_THREAD" => Action::KillThread,
        "SCMP_ACT_KILL_PROCESS" => Action::KillProcess,
        _ => return Err(ProfileError::Action(name.to_owned())),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Profile, ProfileError> {
        serde_json::from_str::<File>(text).unwrap().profile("SCMP_ARCH_X86_64", "SCMP_ARCH_X86")
    }

    #[test]
    fn a_profile_is_read_as_docker_reads_it() {
        let profile = read(
            r#"{"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 5, "extra": 1,
                "archMap": [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]}],
                "syscalls": [
                    {"names": ["read", "nonsense"], "action": "SCMP_ACT_ALLOW", "args": null},
                    {"name": "clone", "action": "SCMP_ACT_TRAP", "excludes": {"caps": ["CAP_SYS_ADMIN"]},
                     "args": [{"index": 1, "value": 6, "valueTwo": 2, "op": "SCMP_CMP_MASKED_EQ"}]}]}"#,
        );
        let masked = Argument { index: 1, width: Width::Whole, compare: Compare::Masked { mask: 6 }, value: 2 };
        let excludes = Filter { capabilities: vec!["CAP_SYS_ADMIN".into()], ..Filter::default() };
        let expected = Profile {
            default: Action::Errno(5),
            other_widths: true,
            rules: vec![
                Rule::new("read nonsense", Action::Allow),
                Rule { arguments: vec![masked], excludes, ..Rule::new("clone", Action::Trap) },
            ],
        };
        assert_eq!(profile.unwrap(), expected);
    }

    #[test]
    fn an_unknown_action_or_comparison_is_named() {
        for (text, said) in [
            (r#"{"defaultAction": "SCMP_ACT_NOTIFY"}"#, "\"SCMP_ACT_NOTIFY\" is not a supported action"),
            (
                r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": [], "action": "SCMP_ACT_LOG",
                    "args": [{"index": 0, "value": 0, "op": "?"}]}]}"#,
                "\"?\" is not a comparison",
            ),
        ] {
            assert!(read(text).unwrap_err().to_string().contains(said), "{text}");
        }
    }
}
