//! What `--security-opt` takes: pure.

use std::path::PathBuf;
use std::str::FromStr;

/// One option, as docker writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecurityOption {
    NoNewPrivileges(bool),
    /// No filter of system calls.
    Unconfined,
    /// The usual one.
    Builtin,
    /// One of the user's own, in docker's format.
    Profile(PathBuf),
}

/// A text that is no option.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no security option: expected no-new-privileges, seccomp=unconfined or seccomp=FILE")]
pub struct SecurityOptionError(String);

impl FromStr for SecurityOption {
    type Err = SecurityOptionError;

    /// Docker separates by `=`, and took `:` before.
    fn from_str(text: &str) -> Result<SecurityOption, SecurityOptionError> {
        let (name, value) = text.split_once(['=', ':']).unwrap_or((text, ""));
        match (name, value) {
            ("no-new-privileges", "" | "true") => Ok(SecurityOption::NoNewPrivileges(true)),
            ("no-new-privileges", "false") => Ok(SecurityOption::NoNewPrivileges(false)),
            ("seccomp", "unconfined") => Ok(SecurityOption::Unconfined),
            ("seccomp", "builtin") => Ok(SecurityOption::Builtin),
            ("seccomp", path) if !path.is_empty() => Ok(SecurityOption::Profile(path.into())),
            _ => Err(SecurityOptionError(text.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_as_docker_reads_them() {
        for (text, expected) in [
            ("no-new-privileges", Ok(SecurityOption::NoNewPrivileges(true))),
            ("no-new-privileges=true", Ok(SecurityOption::NoNewPrivileges(true))),
            ("no-new-privileges:true", Ok(SecurityOption::NoNewPrivileges(true))),
            ("no-new-privileges=false", Ok(SecurityOption::NoNewPrivileges(false))),
            ("no-new-privileges=x", Err(SecurityOptionError("no-new-privileges=x".into()))),
            ("seccomp=unconfined", Ok(SecurityOption::Unconfined)),
            ("seccomp:unconfined", Ok(SecurityOption::Unconfined)),
            ("seccomp=builtin", Ok(SecurityOption::Builtin)),
            ("seccomp=./a=b.json", Ok(SecurityOption::Profile("./a=b.json".into()))),
            ("seccomp=", Err(SecurityOptionError("seccomp=".into()))),
            ("label=disable", Err(SecurityOptionError("label=disable".into()))),
            ("", Err(SecurityOptionError(String::new()))),
        ] {
            assert_eq!(text.parse(), expected, "{text:?}");
        }
    }
}
