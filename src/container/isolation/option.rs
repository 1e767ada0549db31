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
    /// No masks: all of `/proc` and `/sys`, writable.
    UnconfinedPaths,
    /// More paths that the container cannot read.
    Mask(Vec<PathBuf>),
    /// Paths that are masked or read-only by default, and that the container gets; `None` for all.
    Unmask(Option<Vec<PathBuf>>),
    /// Already so: no label of SELinux and no profile of AppArmor is set.
    NoLabel,
}

/// The text is not a security option.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecurityOptionError {
    #[error(
        "{0:?} is not a security option: expected no-new-privileges, seccomp=FILE, seccomp=unconfined, \
         systempaths=unconfined, mask=PATHS, unmask=PATHS or unmask=ALL"
    )]
    Unknown(String),
    #[error("{0:?}: containers run without labels of SELinux: only label=disable can be given")]
    Label(String),
    #[error("{0:?}: containers run without a profile of AppArmor: only apparmor=unconfined can be given")]
    Profile(String),
}

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
            ("systempaths", "unconfined") => Ok(SecurityOption::UnconfinedPaths),
            ("mask", paths) if all_absolute(paths) => Ok(SecurityOption::Mask(list(paths))),
            ("unmask", "ALL" | "all") => Ok(SecurityOption::Unmask(None)),
            ("unmask", paths) if all_absolute(paths) => Ok(SecurityOption::Unmask(Some(list(paths)))),
            ("label", "disable") | ("apparmor", "unconfined") => Ok(SecurityOption::NoLabel),
            ("label", _) => Err(SecurityOptionError::Label(text.to_owned())),
            ("apparmor", _) => Err(SecurityOptionError::Profile(text.to_owned())),
            _ => Err(SecurityOptionError::Unknown(text.to_owned())),
        }
    }
}

/// Paths are separated by colons, as in podman.
fn list(paths: &str) -> Vec<PathBuf> {
    paths.split(':').map(PathBuf::from).collect()
}

fn all_absolute(paths: &str) -> bool {
    paths.split(':').all(|path| path.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unknown(text: &str) -> SecurityOptionError {
        SecurityOptionError::Unknown(text.into())
    }

    #[test]
    fn options_are_read_as_docker_reads_them() {
        for (text, expected) in [
            ("no-new-privileges", Ok(SecurityOption::NoNewPrivileges(true))),
            ("no-new-privileges=true", Ok(SecurityOption::NoNewPrivileges(true))),
            ("no-new-privileges:true", Ok(SecurityOption::NoNewPrivileges(true))),
            ("no-new-privileges=false", Ok(SecurityOption::NoNewPrivileges(false))),
            ("no-new-privileges=x", Err(unknown("no-new-privileges=x"))),
            ("seccomp=unconfined", Ok(SecurityOption::Unconfined)),
            ("seccomp:unconfined", Ok(SecurityOption::Unconfined)),
            ("seccomp=builtin", Ok(SecurityOption::Builtin)),
            ("seccomp=./a=b.json", Ok(SecurityOption::Profile("./a=b.json".into()))),
            ("seccomp=", Err(unknown("seccomp="))),
            ("label=disable", Ok(SecurityOption::NoLabel)),
            ("label:disable", Ok(SecurityOption::NoLabel)),
            ("apparmor=unconfined", Ok(SecurityOption::NoLabel)),
            ("label=level:s0", Err(SecurityOptionError::Label("label=level:s0".into()))),
            ("apparmor=x", Err(SecurityOptionError::Profile("apparmor=x".into()))),
            ("systempaths=unconfined", Ok(SecurityOption::UnconfinedPaths)),
            ("mask=/a:/b", Ok(SecurityOption::Mask(vec!["/a".into(), "/b".into()]))),
            ("mask=a", Err(unknown("mask=a"))),
            ("unmask=ALL", Ok(SecurityOption::Unmask(None))),
            ("unmask=/proc/kcore", Ok(SecurityOption::Unmask(Some(vec!["/proc/kcore".into()])))),
            ("", Err(unknown(""))),
        ] {
            assert_eq!(text.parse(), expected, "{text:?}");
        }
    }
}
