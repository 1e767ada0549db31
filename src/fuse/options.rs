//! Mount options: the strings after `-o`, those of overlayfs and of mount(8).

use std::path::PathBuf;

use crate::sys::Without;
use crate::union::{Owner, Spec, UpperSpec};

/// What a mount is told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Topmost first; empty when the string names none.
    pub lower: Vec<PathBuf>,
    pub upper: Option<PathBuf>,
    pub work: Option<PathBuf>,
    /// Refuse changes although there is an upper directory.
    pub read_only: bool,
    pub no_dev: bool,
    pub no_suid: bool,
    pub no_exec: bool,
    pub no_atime: bool,
    pub allow_other: bool,
    /// The kernel leaves checking permissions to the file system, which then asks the files on disk.
    pub no_permission_checks: bool,
    pub volatile: bool,
    pub squash: Option<SquashTo>,
    /// Owners are kept in `user.containers.override_stat`.
    pub recorded_owners: bool,
    /// Shown as the mount's source.
    pub source: Option<String>,
    /// Threads that answer requests; unset: one a core, at least two.
    pub threads: Option<usize>,
    /// Change the mount that is there.
    pub remount: bool,
    /// Options that mean nothing here, to be warned of.
    pub unknown: Vec<String>,
}

/// As whose every file is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SquashTo {
    pub uid: u32,
    pub gid: u32,
}

/// What is wrong with an option string.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum OptionError {
    #[error("option {0} needs a value: {0}=…")]
    NoValue(String),
    #[error("option {option}: {value:?} is no number")]
    NotANumber { option: String, value: String },
    #[error("option upperdir needs workdir, an empty directory on the same file system")]
    NoWork,
    #[error("option lowerdir is missing: lowerdir=TOP:…:BOTTOM")]
    NoLower,
}

impl Options {
    /// Reads a comma-separated string. `\` before `,`, `:` or `\` takes its meaning away.
    ///
    /// # Errors
    /// A known option whose value is missing or malformed.
    pub fn parse(text: &str) -> Result<Options, OptionError> {
        let mut options = Options::default();
        options.add(text)?;
        Ok(options)
    }

    /// Adds a further string, as by a second `-o`.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    pub fn add(&mut self, text: &str) -> Result<(), OptionError> {
        for option in split(text, ',') {
            let (key, value) = match option.split_once('=') {
                Some((key, value)) => (key, Some(value)),
                None => (option.as_str(), None),
            };
            self.set(key, value)?;
        }
        Ok(())
    }

    fn set(&mut self, key: &str, value: Option<&str>) -> Result<(), OptionError> {
        let needed = || value.filter(|v| !v.is_empty()).ok_or_else(|| OptionError::NoValue(key.into()));
        let number = || {
            let value = needed()?;
            value.parse().map_err(|_| OptionError::NotANumber { option: key.into(), value: value.into() })
        };
        match key {
            "" => {}
            "lowerdir" => self.lower = split(needed()?, ':').iter().map(|path| unescape(path).into()).collect(),
            "upperdir" => self.upper = Some(unescape(needed()?).into()),
            "workdir" => self.work = Some(unescape(needed()?).into()),
            "fsname" | "source" => self.source = Some(unescape(needed()?)),
            "threads" | "max_threads" => self.threads = Some(number()? as usize),
            "squash_to_root" => self.squash = Some(SquashTo::default()),
            "squash_to_uid" => self.squash.get_or_insert_default().uid = number()?,
            "squash_to_gid" => self.squash.get_or_insert_default().gid = number()?,
            "xattr_permissions" => self.recorded_owners = value == Some("2"),
            "ro" => self.read_only = true,
            "rw" => self.read_only = false,
            "nodev" => self.no_dev = true,
            "dev" => self.no_dev = false,
            "nosuid" => self.no_suid = true,
            "suid" => self.no_suid = false,
            "noexec" => self.no_exec = true,
            "exec" => self.no_exec = false,
            "noatime" => self.no_atime = true,
            "atime" | "relatime" => self.no_atime = false,
            "allow_other" => self.allow_other = true,
            "remount" => self.remount = true,
            "volatile" => self.volatile = true,
            "fsync" => self.volatile = value == Some("0"),
            // What these ask for is how Overfuse works, or is of no consequence to it.
            "default_permissions" | "userxattr" | "auto" | "noauto" | "defaults" | "async" | "_netdev" => {}
            _ => self.unknown.push(key.to_owned()),
        }
        Ok(())
    }

    /// What is not to be had on the mount.
    pub(super) fn without(&self) -> Without {
        Without {
            writing: self.read_only,
            devices: self.no_dev,
            set_id: self.no_suid,
            execution: self.no_exec,
            access_times: self.no_atime,
        }
    }

    /// The union that the options name.
    ///
    /// # Errors
    /// When directories are missing.
    pub fn spec(&self) -> Result<Spec, OptionError> {
        if self.lower.is_empty() {
            return Err(OptionError::NoLower);
        }
        let upper = match (&self.upper, &self.work) {
            (None, _) => None,
            (Some(_), None) => return Err(OptionError::NoWork),
            (Some(dir), Some(work)) => Some(UpperSpec { dir: dir.clone(), work: work.clone() }),
        };
        let owners = match self.recorded_owners {
            true => crate::union::Owners::Recorded,
            false => crate::union::Owners::Real,
        };
        Ok(Spec {
            upper,
            owners,
            squash: self.squash.map(|SquashTo { uid, gid }| Owner { uid, gid }),
            volatile: self.volatile,
            ..Spec::new(self.lower.clone())
        })
    }
}

/// The pieces between unescaped `separator`s, still escaped.
fn split(text: &str, separator: char) -> Vec<String> {
    let mut pieces = vec![String::new()];
    let mut escaped = false;
    for c in text.chars() {
        if c == separator && !escaped {
            pieces.push(String::new());
            continue;
        }
        escaped = c == '\\' && !escaped;
        if let Some(piece) = pieces.last_mut() {
            piece.push(c);
        }
    }
    pieces
}

fn unescape(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        plain.extend(if c == '\\' { chars.next() } else { Some(c) });
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(names: &[&str]) -> Vec<PathBuf> {
        names.iter().map(PathBuf::from).collect()
    }

    #[test]
    fn directories_are_split_at_colons_that_are_not_escaped() {
        for (text, lower) in [
            ("lowerdir=/a", vec!["/a"]),
            ("lowerdir=/a:/b:/c", vec!["/a", "/b", "/c"]),
            (r"lowerdir=/a\:b:/c\,d:/e\\f", vec!["/a:b", "/c,d", r"/e\f"]),
            ("lowerdir=/x=y", vec!["/x=y"]),
        ] {
            assert_eq!(Options::parse(text).unwrap().lower, paths(&lower), "{text}");
        }
    }

    #[test]
    fn the_string_that_podman_passes_is_understood() {
        let text = "lowerdir=A:B,upperdir=U,workdir=W,,volatile,context=\"x\"";
        let options = Options::parse(text).unwrap();
        assert_eq!(options.lower, paths(&["A", "B"]));
        assert_eq!(options.upper, Some("U".into()));
        assert!(options.volatile);
        assert_eq!(options.unknown, ["context"]);
    }

    #[test]
    fn what_is_missing_or_malformed_is_named() {
        for (text, error) in [
            ("lowerdir=", "option lowerdir needs a value: lowerdir=…"),
            ("lowerdir=/a,threads=x", "option threads: \"x\" is no number"),
        ] {
            assert_eq!(Options::parse(text).unwrap_err().to_string(), error);
        }
        for (text, error) in [("upperdir=/u", OptionError::NoLower), ("lowerdir=/a,upperdir=/u", OptionError::NoWork)] {
            assert_eq!(Options::parse(text).unwrap().spec().unwrap_err(), error);
        }
    }
}
