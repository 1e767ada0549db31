//! The requirements of a test on the machine.
//!
//! `need!(root, fuse)` skips the test where the machine lacks one of them, and reports that once per test program. With
//! `REQUIRE=root,fuse` in the environment, the test fails instead of being skipped when one of these is missing.

use std::collections::BTreeSet;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Mutex, OnceLock, PoisonError};

use super::scratch;

/// Skips the test, with a report, when the machine lacks something that it needs.
#[macro_export]
macro_rules! need {
    ($($what:ident),+ $(,)?) => {
        if !$crate::support::need::all(&[$(stringify!($what)),+]) {
            return;
        }
    };
}

/// Whether the machine has all of `wanted`.
pub fn all(wanted: &[&str]) -> bool {
    let required = std::env::var("REQUIRE").unwrap_or_default();
    let missing: Vec<&str> = wanted.iter().copied().filter(|what| !has(what)).collect();
    for what in &missing {
        let must = required.split(',').any(|name| name.trim() == *what);
        assert!(!must, "REQUIRE={required}, but this machine has no {what}");
    }
    if !missing.is_empty() {
        report(&missing.join(", "));
    }
    missing.is_empty()
}

/// Reports on standard error that tests which need `missing` are skipped; once per process, although many tests may
/// call it.
///
/// libtest captures what passing tests print with `eprintln!`, but not what they write to the stream itself.
fn report(missing: &str) {
    static REPORTED: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    let mut reported = REPORTED.lock().unwrap_or_else(PoisonError::into_inner);
    if reported.insert(missing.to_owned()) {
        // One write, so that lines of several tests do not mix. A failed report does not stop the test from being
        // skipped.
        let _ = std::io::stderr().write_all(format!("skipped, here and below: tests that need {missing}\n").as_bytes());
    }
}

fn has(what: &str) -> bool {
    match what {
        "root" => is_root(),
        "ids" => has_ids(),
        "fuse" => std::fs::File::options().read(true).write(true).open("/dev/fuse").is_ok(),
        "overlay" => has_overlay(),
        "busybox" => has_static_busybox(),
        "cc" => has_program("cc"),
        "sqlite" => has_program("sqlite3"),
        "git" => has_program("git"),
        "podman" => has_program("podman"),
        "strace" => has_program("strace"),
        "pasta" => has_program("pasta") && makes_interfaces(),
        "slirp4netns" => has_program("slirp4netns") && makes_interfaces(),
        "dpkg" => has_program("dpkg-deb"),
        "runc" => has_program("runc"),
        "crun" => has_program("crun"),
        "acl" => has_program("setfacl"),
        "btrfs" => is_root() && has_program("mkfs.btrfs"),
        "flags" => has_flags(),
        "override" => overrides_modes(),
        "namespace" => has_namespace(),
        "cgroups" => has_cgroups(),
        "unified" => {
            let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
            is_root() && mounts.contains(" - cgroup2 ")
        }
        "users" => is_root() && user(USER).is_some() && user(PLAIN_USER).is_some(),
        other => panic!("need!({other}): there is no such need"),
    }
}

/// Whether every user may make network interfaces, in namespaces of their own.
fn makes_interfaces() -> bool {
    let mode = std::fs::metadata("/dev/net/tun")
        .map(|metadata| std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()));
    mode.is_ok_and(|mode| mode & 0o666 == 0o666)
}

/// Whether `chattr +i` works in the scratch directory; tried once.
fn has_flags() -> bool {
    static FOUND: OnceLock<bool> = OnceLock::new();
    *FOUND.get_or_init(|| {
        let dir = scratch();
        let script = "touch f && chattr +i f && chattr -i f";
        let tried = Command::new("sh").args(["-c", script]).current_dir(dir.path()).output();
        tried.is_ok_and(|tried| tried.status.success())
    })
}

/// Whether this process may read and change files of any mode, as root of the machine or of a namespace may.
pub fn overrides_modes() -> bool {
    static FOUND: OnceLock<bool> = OnceLock::new();
    *FOUND.get_or_init(|| {
        let dir = scratch();
        let path = dir.path().join("closed");
        let none = std::os::unix::fs::PermissionsExt::from_mode(0o000);
        std::fs::write(&path, "").expect("write a file");
        std::fs::set_permissions(&path, none).expect("close a file");
        std::fs::File::open(&path).is_ok()
    })
}

/// Whether this user may become root of a user namespace; tried once.
fn has_namespace() -> bool {
    static FOUND: OnceLock<bool> = OnceLock::new();
    *FOUND.get_or_init(|| {
        let tried = Command::new("unshare").args(["--user", "--map-root-user", "--mount", "true"]).output();
        tried.is_ok_and(|tried| tried.status.success())
    })
}

/// Whether root can limit containers by cgroups of version 1, or by those of version 2.
pub fn has_cgroups() -> bool {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let has = |controller: &str| {
        let v1 = |line: &&str| line.contains(" - cgroup ") && line.ends_with(&format!(",{controller}"));
        let v2 = |line: &&str| {
            let at = line.split(' ').nth(4).unwrap_or_default();
            let given = std::fs::read_to_string(format!("{at}/cgroup.controllers")).unwrap_or_default();
            line.contains(" - cgroup2 ") && (controller == "devices" || given.contains(controller))
        };
        mounts.lines().any(|line| v1(&line) || v2(&line))
    };
    is_root() && ["cpu", "cpuset", "devices", "memory", "pids"].into_iter().all(has)
}

/// Whether `program` is in the `PATH`.
fn has_program(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join(program).is_file())
}

/// Whether this process is root of the machine. Root of a user namespace cannot make device nodes or `trusted.*`
/// xattrs.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root() && in_initial_user_namespace()
}

/// Whether the user namespace maps every id to itself.
pub fn in_initial_user_namespace() -> bool {
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    map.split_whitespace().eq(["0", "0", "4294967295"])
}

/// Whether this process can give files to other ids. A user namespace without subordinate ids has none.
fn has_ids() -> bool {
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    let counts = map.lines().filter_map(|line| line.split_whitespace().nth(2)?.parse::<u64>().ok());
    counts.sum::<u64>() > 65_000
}

/// Whether this process may mount kernel overlayfs; tried once.
fn has_overlay() -> bool {
    static FOUND: OnceLock<bool> = OnceLock::new();
    *FOUND.get_or_init(|| {
        let dir = scratch();
        let layers = super::Layers::build(dir.path(), "lower:\nf x 644 x\nupper:");
        super::Subject::Kernel.try_mount(&layers, &dir.path().join("at")).is_ok()
    })
}

/// Whether `/bin/busybox` is statically linked, as in Debian's busybox-static.
fn has_static_busybox() -> bool {
    const INTERPRETER: u32 = 3;
    let Ok(elf) = std::fs::read("/bin/busybox") else { return false };
    let number = |at: usize, len: usize| {
        elf.get(at..at + len).map(|bytes| bytes.iter().rev().fold(0usize, |n, byte| n << 8 | usize::from(*byte)))
    };
    let headers = || {
        let (start, size, count) = (number(32, 8)?, number(54, 2)?, number(56, 2)?);
        (0..count).map(|i| number(start + i * size, 4)).collect::<Option<Vec<_>>>()
    };
    headers().is_some_and(|kinds| !kinds.contains(&(INTERPRETER as usize)))
}

/// An ordinary user with subordinate ids, made by `.ci/run`.
pub const USER: &str = "overfuse-user";
/// An ordinary user without subordinate ids, made by `.ci/run`.
pub const PLAIN_USER: &str = "overfuse-plain";

/// An entry of the user database.
#[derive(Clone, Debug)]
pub struct User {
    pub name: String,
    pub uid: u32,
    pub gid: u32,
    pub home: PathBuf,
}

impl User {
    /// A command that runs `program` as this user, with only the path of our environment.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command.uid(self.uid).gid(self.gid).env_clear().current_dir(&self.home);
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HOME", &self.home).env("USER", &self.name);
        command
    }
}

/// The entry of the user called `name`.
pub fn user(name: &str) -> Option<User> {
    let users = std::fs::read_to_string("/etc/passwd").ok()?;
    users.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        let &[found, _, uid, gid, _, home, ..] = fields.as_slice() else { return None };
        let of = |id: &str| id.parse().ok();
        (found == name).then_some(User { name: found.into(), uid: of(uid)?, gid: of(gid)?, home: home.into() })
    })
}
