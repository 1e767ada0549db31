//! Parses `--security-opt`. Pure.

use std::path::PathBuf;
use std::str::FromStr;

/// One option, in docker's syntax.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecurityOption {
    NoNewPrivileges(bool),
    /// No filter of system calls.
    Unconfined,
    /// The default filter.
    Builtin,
    /// A file with the user's own filter, in docker's format.
    Profile(PathBuf),
}

/// The text is not a security option.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a security option: expected no-new-privileges, seccomp=unconfined or seccomp=FILE")]
pub struct SecurityOptionError(String);

impl FromStr for SecurityOption {
    type Err = SecurityOptionError;

    /// Docker separates name and value by `=`; older versions used `:`.
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
