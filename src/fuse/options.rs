//! Mount options: the strings after `-o`, with the names of overlayfs and mount(8).

use std::path::PathBuf;

use crate::sys::{self, Without};
use crate::union::{Owner, RedirectDir, Spec, Tables, UpperSpec};

use super::modes::{Idle, Io, IoUring, TocUse};

/// The options of a mount.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// The lower layers, topmost first; empty when the string names none.
    pub lower: Vec<PathBuf>,
    /// Data-only layers, topmost first: they only provide the data of metadata-only files.
    pub data_only: Vec<PathBuf>,
    /// `upperdir=`; without one, the mount is read-only.
    pub upper: Option<PathBuf>,
    /// `workdir=`: on the file system of `upper`.
    pub work: Option<PathBuf>,
    /// Refuses changes, even with an upper directory.
    pub read_only: bool,
    /// `nodev`.
    pub no_dev: bool,
    /// `nosuid`.
    pub no_suid: bool,
    /// `noexec`.
    pub no_exec: bool,
    /// `noatime`.
    pub no_atime: bool,
    /// `allow_other`: other users can use the mount.
    pub allow_other: bool,
    /// The kernel does not check permissions; the files on disk decide what the daemon's user may do.
    pub no_permission_checks: bool,
    /// `volatile`: nothing is synced.
    pub volatile: bool,
    /// The kernel reads only the pages that programs read.
    pub no_read_ahead: bool,
    /// Programs see when a file was made, at the cost of one more request for each file.
    pub birth_time: bool,
    /// As [`Spec::redirect`].
    pub redirect: Option<RedirectDir>,
    /// As [`Spec::metacopy`].
    pub metacopy: Option<bool>,
    /// `toc=`.
    pub toc: TocUse,
    /// Overlay xattrs are in `user.overlay.`, even if root could keep them in `trusted.overlay.`.
    pub user_marks: bool,
    /// `squash_to_root`, `squash_to_uid=` and `squash_to_gid=`.
    pub squash: Option<SquashTo>,
    /// Owners are kept in the xattr `user.containers.override_stat`.
    pub recorded_owners: bool,
    /// Shown as the mount's source.
    pub source: Option<String>,
    /// The most threads that read the device; unset: 64. One for each core, and at least two, start with the mount, and
    /// more when requests take long. With io_uring: the most threads for one CPU; unset: 16, or fewer on machines of
    /// more than 16 CPUs, but at least two. These start when they are needed. Two threads do not count: one that starts
    /// the others, and one that reads the device.
    pub threads: Option<usize>,
    /// `io_uring=`.
    pub io_uring: IoUring,
    /// `idle=`.
    pub idle: Idle,
    /// Unset: passthrough if it is possible, else cached.
    pub io: Option<Io>,
    /// Changes an existing mount instead of making one.
    pub remount: bool,
    /// Unknown options, for a warning.
    pub unknown: Vec<String>,
}

/// The owner and group that every file is shown with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SquashTo {
    pub uid: u32,
    pub gid: u32,
}

/// What is wrong with an option string.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what variants and fields are")]
pub enum OptionError {
    #[error("option {0} needs a value: {0}=…")]
    NoValue(String),
    #[error("option {option}: {value:?} is no number")]
    NotANumber { option: String, value: String },
    #[error("option {option}: {value:?} is none of {choice}")]
    NoChoice { option: String, value: String, choice: String },
    #[error("option {option}: {rule}")]
    BadLayers { option: String, rule: &'static str },
    #[error("option upperdir needs workdir, an empty directory on the same file system")]
    NoWork,
    #[error("option lowerdir is missing: lowerdir=TOP:…:BOTTOM")]
    NoLower,
}

impl Options {
    /// Parses a comma-separated string. A `\` makes the following `,`, `:` or `\` literal.
    ///
    /// # Errors
    /// When the value of a known option is missing or malformed.
    pub fn parse(text: &str) -> Result<Options, OptionError> {
        let mut options = Options::default();
        options.add(text)?;
        Ok(options)
    }

    /// Adds another string, as from a second `-o`.
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
        let switch = || one_of(key, needed()?, &[("on", true), ("off", false)]);
        match key {
            "" => {}
            "lowerdir" => (self.lower, self.data_only) = layers(needed()?)?,
            "lowerdir+" if !self.data_only.is_empty() => return Err(bad_layers(key, LOWER_AFTER_DATA)),
            "lowerdir+" => self.lower.push(unescape(needed()?).into()),
            "datadir+" if self.lower.is_empty() => return Err(bad_layers(key, DATA_ALONE)),
            "datadir+" => self.data_only.push(unescape(needed()?).into()),
            "upperdir" => self.upper = Some(unescape(needed()?).into()),
            "workdir" => self.work = Some(unescape(needed()?).into()),
            "fsname" | "source" => self.source = Some(unescape(needed()?)),
            "threads" | "max_threads" => self.threads = Some(number()? as usize),
            "io" => {
                let ways = [("cached", Io::Cached), ("writeback", Io::Writeback), ("passthrough", Io::Passthrough)];
                self.io = Some(one_of(key, needed()?, &ways)?);
            }
            // libfuse has it without a value.
            "io_uring" => {
                let ways = [("auto", IoUring::Auto), ("on", IoUring::On), ("off", IoUring::Off)];
                self.io_uring = one_of(key, value.unwrap_or("on"), &ways)?;
            }
            "idle" => self.idle = one_of(key, needed()?, &[("sleep", Idle::Sleep), ("poll", Idle::Poll)])?,
            // The name of two of these modes in fuse-overlayfs.
            "writeback" => self.io = Some(if needed()? == "0" { Io::Cached } else { Io::Writeback }),
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
            "birth_time" => self.birth_time = true,
            "fsync" => self.volatile = value == Some("0"),
            "redirect_dir" => {
                let ways = [
                    ("on", RedirectDir::On),
                    ("follow", RedirectDir::Follow),
                    ("nofollow", RedirectDir::NoFollow),
                    // overlayfs, as distributions build it, still follows existing redirects with `off`.
                    ("off", RedirectDir::Follow),
                ];
                self.redirect = Some(one_of(key, needed()?, &ways)?);
            }
            "metacopy" => self.metacopy = Some(switch()?),
            // `layer_index` is its old name.
            "toc" | "layer_index" => {
                let ways = [("on", TocUse::Stored), ("make", TocUse::Make), ("off", TocUse::Off)];
                self.toc = one_of(key, needed()?, &ways)?;
            }
            // Overfuse always keeps the hard links of a lower file together.
            "index" => drop(switch()?),
            // Overfuse always composes inode numbers of the file system and its inode number.
            "xino" => one_of(key, needed()?, &[("on", ()), ("off", ()), ("auto", ())])?,
            "userxattr" => self.user_marks = true,
            // Overfuse always works like this, or the option does not concern it.
            "default_permissions" | "auto" | "noauto" | "defaults" | "async" | "_netdev" => {}
            _ => self.unknown.push(key.to_owned()),
        }
        Ok(())
    }

    /// What the mount forbids.
    pub(super) fn without(&self) -> Without {
        Without {
            writing: self.read_only,
            devices: self.no_dev,
            set_id: self.no_suid,
            execution: self.no_exec,
            access_times: self.no_atime,
        }
    }

    /// How the kernel reads and writes files on this mount.
    pub(super) fn io(&self) -> Io {
        // With passthrough the mount cannot keep reads from changing access times in the upper layer, which `noatime`
        // promises.
        let possible = sys::is_root_of_host() && (self.is_fixed() || !self.no_atime);
        match self.io {
            Some(Io::Passthrough) if !possible => Io::Cached,
            Some(io) => io,
            // Measurements favour this: opening gets slower, but reading and writing gain more.
            None if possible => Io::Passthrough,
            None => Io::Cached,
        }
    }

    /// Whether nothing can ever be changed: the mount has no upper layer and is read-only.
    fn is_fixed(&self) -> bool {
        self.upper.is_none() && self.read_only
    }

    /// The value of [`Spec::quiet`] for a union that cannot change.
    pub fn wants_quiet(&self) -> bool {
        Options { read_only: true, ..self.clone() }.io() == Io::Passthrough
    }

    /// The union that the options describe.
    ///
    /// # Errors
    /// When option `lowerdir` is missing, or `workdir` beside `upperdir`.
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
            tables: if self.toc == TocUse::Make { Tables::Make } else { Tables::None },
            data_only: self.data_only.clone(),
            redirect: self.redirect,
            metacopy: self.metacopy,
            user_marks: self.user_marks,
            squash: self.squash.map(|SquashTo { uid, gid }| Owner { uid, gid }),
            volatile: self.volatile,
            quiet: self.upper.is_none() && self.wants_quiet(),
            ..Spec::new(self.lower.clone())
        })
    }
}

const LOWER_AFTER_DATA: &str = "no lower layer may follow a data-only one";
const DATA_ALONE: &str = "data-only layers need a lower layer before them";
const COLONS: &str = "layers are separated by one colon, data-only ones preceded by two";

/// Splits `TOP:…:BOTTOM::DATA::DATA` into lower layers and data-only layers.
fn layers(text: &str) -> Result<(Vec<PathBuf>, Vec<PathBuf>), OptionError> {
    let (mut lower, mut data_only) = (Vec::new(), Vec::new());
    let mut after_colons = 0;
    for (index, piece) in split(text, ':').iter().enumerate() {
        let colons = std::mem::take(&mut after_colons) + usize::from(index > 0);
        match (piece.as_str(), colons) {
            ("", _) => after_colons = colons,
            (path, 0 | 1) if data_only.is_empty() => lower.push(unescape(path).into()),
            (_, 0 | 1) => return Err(bad_layers("lowerdir", LOWER_AFTER_DATA)),
            (_, 2) if lower.is_empty() => return Err(bad_layers("lowerdir", DATA_ALONE)),
            (path, 2) => data_only.push(unescape(path).into()),
            _ => return Err(bad_layers("lowerdir", COLONS)),
        }
    }
    match lower.is_empty() || after_colons > 0 || text.starts_with(':') {
        true => Err(bad_layers("lowerdir", COLONS)),
        false => Ok((lower, data_only)),
    }
}

fn bad_layers(option: &str, rule: &'static str) -> OptionError {
    OptionError::BadLayers { option: option.into(), rule }
}

/// The choice that `value` names among the `choices` of an option.
fn one_of<T: Copy>(option: &str, value: &str, choices: &[(&str, T)]) -> Result<T, OptionError> {
    choices.iter().find(|(name, _)| *name == value).map(|&(_, choice)| choice).ok_or_else(|| OptionError::NoChoice {
        option: option.into(),
        value: value.into(),
        choice: choices.iter().map(|&(name, _)| name).collect::<Vec<_>>().join(", "),
    })
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
    fn tables_of_contents_are_asked_for_by_either_name() {
        for (value, asked) in [("on", TocUse::Stored), ("make", TocUse::Make), ("off", TocUse::Off)] {
            for key in ["toc", "layer_index"] {
                let options = Options::parse(&format!("{key}={value}")).unwrap();
                assert_eq!((options.toc, options.unknown.as_slice()), (asked, &[][..]), "{key}={value}");
            }
        }
    }

    #[test]
    fn layers_of_data_only_come_after_two_colons() {
        for (text, lower, data_only) in [
            ("lowerdir=/a:/b::/c::/d", vec!["/a", "/b"], vec!["/c", "/d"]),
            (r"lowerdir=/a\:\:/b::/c", vec!["/a::/b"], vec!["/c"]),
            (r"lowerdir+=/a,lowerdir+=/b:c,datadir+=/d,datadir+=/e\,f", vec!["/a", "/b:c"], vec!["/d", "/e,f"]),
            ("lowerdir=/a::/b,datadir+=/c", vec!["/a"], vec!["/b", "/c"]),
            ("lowerdir=/a::/b,lowerdir=/c", vec!["/c"], vec![]),
        ] {
            let options = Options::parse(text).unwrap();
            assert_eq!((options.lower, options.data_only), (paths(&lower), paths(&data_only)), "{text}");
        }
        for text in [
            "lowerdir=/a::/b:/c",
            "lowerdir=::/a",
            "lowerdir=:/a",
            "lowerdir=/a:",
            "lowerdir=/a::",
            "lowerdir=/a:::/b",
            "lowerdir=/a::/b:::/c",
            "lowerdir=:",
            "datadir+=/a,lowerdir=/b",
            "lowerdir+=/a,datadir+=/b,lowerdir+=/c",
        ] {
            assert!(matches!(Options::parse(text), Err(OptionError::BadLayers { .. })), "{text}");
        }
    }

    #[test]
    fn what_overlayfs_may_be_told_of_its_marks_is_understood() {
        let marks = |text: &str| {
            let Options { redirect, metacopy, user_marks, unknown, .. } = Options::parse(text).unwrap();
            assert_eq!(unknown, [""; 0], "{text}");
            (redirect, metacopy, user_marks)
        };
        assert_eq!(marks("lowerdir=/a"), (None, None, false));
        assert_eq!(
            marks("redirect_dir=on,metacopy=on,index=off,xino=auto,userxattr"),
            (Some(RedirectDir::On), Some(true), true)
        );
        for (text, redirect) in
            [("follow", RedirectDir::Follow), ("nofollow", RedirectDir::NoFollow), ("off", RedirectDir::Follow)]
        {
            assert_eq!(marks(&format!("redirect_dir={text}")).0, Some(redirect));
        }
        for text in ["redirect_dir=maybe", "metacopy=1", "index=", "xino=64"] {
            assert!(Options::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_missing_or_malformed_is_named() {
        for (text, error) in [
            ("lowerdir=", "option lowerdir needs a value: lowerdir=…"),
            ("lowerdir=/a,threads=x", "option threads: \"x\" is no number"),
            ("idle=doze", "option idle: \"doze\" is none of sleep, poll"),
            ("io_uring=", "option io_uring: \"\" is none of auto, on, off"),
        ] {
            assert_eq!(Options::parse(text).unwrap_err().to_string(), error);
        }
        for (text, error) in [("upperdir=/u", OptionError::NoLower), ("lowerdir=/a,upperdir=/u", OptionError::NoWork)] {
            assert_eq!(Options::parse(text).unwrap().spec().unwrap_err(), error);
        }
    }
}
