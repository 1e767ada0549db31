//! The syntax of `--tmpfs`: `TARGET[:OPTIONS]`.

use serde::{Deserialize, Serialize};

use super::{Access, Mount, MountError, MountKind, target};

const EXPECTED: &str = "ro, rw, exec, noexec, suid, nosuid, nodev, size=, mode=, uid=, gid=, nr_inodes= or nr_blocks=";

/// A new file system in memory. As in docker, it is empty, and programs in it do not run unless asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Tmpfs {
    /// Options of the file system, as mount(8) takes them.
    pub options: Vec<(String, String)>,
    /// Whether programs in it can be run.
    pub execution: bool,
    /// Whether its programs can have set-id bits.
    pub set_id: bool,
}

impl Mount {
    /// Reads the value of `--tmpfs`.
    ///
    /// # Errors
    /// The text is no such value.
    pub fn from_tmpfs_option(text: &str) -> Result<Mount, MountError> {
        let (at, options) = text.split_once(':').unwrap_or((text, ""));
        let target = target(at)?;
        let mut tmpfs = Tmpfs::default();
        let mut access = Access::ReadWrite;
        for option in options.split(',').filter(|option| !option.is_empty()) {
            match option.split_once('=').unwrap_or((option, "")) {
                ("ro", "") => access = Access::ReadOnly,
                ("rw", "") => access = Access::ReadWrite,
                ("exec", "") => tmpfs.execution = true,
                ("noexec", "") => tmpfs.execution = false,
                ("suid", "") => tmpfs.set_id = true,
                ("nosuid", "") => tmpfs.set_id = false,
                ("nodev", "") => {}
                (key @ ("size" | "nr_inodes" | "nr_blocks"), value) if is_amount(value, key == "size") => {
                    tmpfs.set(key, value);
                }
                ("mode", value) if is_mode(value) => tmpfs.set("mode", value),
                (key @ ("uid" | "gid"), value) if value.parse::<u32>().is_ok_and(|id| id <= i32::MAX as u32) => {
                    tmpfs.set(key, value);
                }
                _ => {
                    let option = option.to_owned();
                    return Err(MountError::Option { option, of: "tmpfs", expected: EXPECTED });
                }
            }
        }
        Ok(Mount { target, access, kind: MountKind::Tmpfs(tmpfs) })
    }
}

impl Tmpfs {
    /// Its options as `--tmpfs` takes them.
    pub fn to_options(&self, access: Access) -> String {
        let flags = [(self.execution, "exec"), (self.set_id, "suid"), (access == Access::ReadOnly, "ro")];
        let flags = flags.into_iter().filter(|(set, _)| *set).map(|(_, flag)| flag.to_owned());
        let options = self.options.iter().map(|(key, value)| format!("{key}={value}"));
        flags.chain(options).collect::<Vec<_>>().join(",")
    }

    /// The last value of an option counts.
    pub(super) fn set(&mut self, key: &str, value: &str) {
        self.options.retain(|(other, _)| other != key);
        self.options.push((key.to_owned(), value.to_owned()));
    }
}

/// Octal, at most 7777.
pub(super) fn is_mode(text: &str) -> bool {
    u32::from_str_radix(text, 8).is_ok_and(|mode| mode <= 0o7777) && !text.starts_with('+')
}

/// A number with one of the kernel's units.
fn is_amount(text: &str, percent: bool) -> bool {
    let number = text.trim_end_matches(|c: char| "kKmMgGtTpPeE".contains(c) || (percent && c == '%'));
    !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()) && text.len() - number.len() <= 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tmpfs(target: &str, options: &[(&str, &str)]) -> Mount {
        let options = options.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
        let kind = MountKind::Tmpfs(Tmpfs { options, ..Tmpfs::default() });
        Mount { target: target.into(), access: Access::ReadWrite, kind }
    }

    fn with(mut mount: Mount, change: impl FnOnce(&mut Tmpfs)) -> Mount {
        if let MountKind::Tmpfs(tmpfs) = &mut mount.kind {
            change(tmpfs);
        }
        mount
    }

    #[test]
    fn a_tmpfs_is_read_as_docker_reads_it() {
        for (text, expected) in [
            ("/run", tmpfs("/run", &[])),
            ("/run:", tmpfs("/run", &[])),
            ("/run:rw,noexec,nosuid,nodev,size=65536k", tmpfs("/run", &[("size", "65536k")])),
            ("/run:size=50%,mode=1770,uid=7", tmpfs("/run", &[("size", "50%"), ("mode", "1770"), ("uid", "7")])),
            ("/run:size=1m,size=2m", tmpfs("/run", &[("size", "2m")])),
            ("/run:nr_inodes=1k", tmpfs("/run", &[("nr_inodes", "1k")])),
            ("/run:exec,suid", with(tmpfs("/run", &[]), |tmpfs| (tmpfs.execution, tmpfs.set_id) = (true, true))),
            ("/run:exec,noexec", tmpfs("/run", &[])),
            ("/run:ro", Mount { access: Access::ReadOnly, ..tmpfs("/run", &[]) }),
        ] {
            assert_eq!(Mount::from_tmpfs_option(text), Ok(expected), "{text}");
        }
        for text in ["", "run", "/", "/.."] {
            assert_eq!(Mount::from_tmpfs_option(text), Err(MountError::Target(text.into())), "{text}");
        }
        for option in [
            "dev",
            "size",
            "size=",
            "size=m",
            "size=1mm",
            "size=-1",
            "mode=8",
            "mode=17777",
            "uid=x",
            "uid=2147483648",
            "nr_inodes=5%",
            "exec=1",
            "x",
            "size=1:2",
        ] {
            let text = format!("/run:{option}");
            let expected = MountError::Option { option: option.into(), of: "tmpfs", expected: EXPECTED };
            assert_eq!(Mount::from_tmpfs_option(&text), Err(expected), "{text}");
        }
    }
}
