//! What an ordinary user needs before a store or a container can be touched: a user namespace.
//!
//! With subordinate ids (`/etc/subuid`, `/etc/subgid`) this process becomes root of a namespace in which images can
//! have their owners; with none, a container still runs as root, alone in its namespace.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::{Command, id};

use anyhow::{Context, Result, bail};

use crate::sys::namespace::{self, IdRange};
use crate::sys::{self, Channel, Errno, Namespaces, process};

/// What this process may do about owners.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Privilege {
    /// It was root from the start.
    Root,
    /// Root of a namespace that has subordinate ids.
    Subordinate,
    /// Root of a namespace that has nobody else.
    Single,
    /// The user that it was; owners can only be recorded.
    Ordinary,
}

/// For commands that keep things: takes subordinate ids where there are some. To be called before any thread is made.
///
/// # Errors
/// Where the kernel or `newuidmap` refuses what the files in `/etc` promise.
pub(super) fn enter() -> Result<Privilege> {
    let privilege = take_subordinate_ids(Namespaces::USER.and(Namespaces::MOUNT))?;
    if privilege == Privilege::Subordinate {
        namespace::keep_mounts_inside().map_err(|errno| refused(errno, |path| fs::read_to_string(path).ok()))?;
    }
    Ok(privilege)
}

fn take_subordinate_ids(namespaces: Namespaces) -> Result<Privilege> {
    let (uid, gid) = (sys::effective_uid(), sys::effective_gid());
    if uid == 0 {
        return Ok(Privilege::Root);
    }
    let Some(maps) = Maps::of_this_host(uid, gid) else {
        return Ok(Privilege::Ordinary);
    };
    maps.enter(namespaces)?;
    Ok(Privilege::Subordinate)
}

/// For the process that serves a mount: takes subordinate ids where there are some, and stays among the mounts
/// that its user sees, so that it ends when the user unmounts.
///
/// # Errors
/// As [`enter`].
pub(super) fn enter_to_serve() -> Result<Privilege> {
    take_subordinate_ids(Namespaces::USER)
}

/// For commands that run a container: takes a namespace in any case.
///
/// # Errors
/// As [`enter`]; where this host refuses its users namespaces.
pub(super) fn enter_to_run() -> Result<Privilege> {
    let privilege = enter()?;
    if privilege != Privilege::Ordinary {
        return Ok(privilege);
    }
    let (uid, gid) = (sys::effective_uid(), sys::effective_gid());
    let enter = || -> Result<(), Errno> {
        namespace::enter_new(Namespaces::USER.and(Namespaces::MOUNT))?;
        namespace::map_single(uid, gid)?;
        namespace::keep_mounts_inside()
    };
    enter().map_err(|errno| refused(errno, |path| fs::read_to_string(path).ok()))?;
    Ok(Privilege::Single)
}

/// Two id maps, as `newuidmap` and `newgidmap` take them.
#[derive(Debug, PartialEq, Eq)]
struct Maps {
    users: Vec<IdRange>,
    groups: Vec<IdRange>,
}

impl Maps {
    /// `None` where the host has no ids for the user, or not the programs that hand them out.
    fn of_this_host(uid: u32, gid: u32) -> Option<Maps> {
        let name = process::user_name(uid);
        let name = name.as_deref().unwrap_or(OsStr::new(""));
        let read = |path| fs::read(path).unwrap_or_default();
        let users = map(&read("/etc/subuid"), name, uid, uid)?;
        let groups = map(&read("/etc/subgid"), name, uid, gid)?;
        let path = std::env::var_os("PATH")?;
        let on_path = |program: &str| std::env::split_paths(&path).any(|dir| dir.join(program).is_file());
        (on_path("newuidmap") && on_path("newgidmap")).then_some(Maps { users, groups })
    }

    fn enter(&self, namespaces: Namespaces) -> Result<()> {
        let us = id().to_string();
        // Ids are handed out from outside: by a child that stays there.
        let work = |channel: Channel| match self.hand_out(&us, &channel) {
            Ok(()) => 0,
            Err(error) => {
                let text = format!("{error:#}");
                i32::from(channel.send(text.as_bytes(), None).is_err())
            }
        };
        let (helper, channel) = process::spawn_connected(Namespaces::empty(), work).context("cannot fork")?;
        let entered = namespace::enter_new(namespaces);
        let answer = match entered {
            Ok(()) => channel.send(b"go", None).and_then(|()| channel.receive()),
            Err(_) => Ok(None),
        };
        drop(channel);
        helper.wait().context("cannot wait for newuidmap")?;
        entered.map_err(|errno| refused(errno, |path| fs::read_to_string(path).ok()))?;
        if let Some((text, _)) = answer.context("cannot hear from newuidmap")? {
            bail!("{}", String::from_utf8_lossy(&text));
        }
        Ok(())
    }

    /// In the child. An answer without a word means that all went well.
    fn hand_out(&self, pid: &str, channel: &Channel) -> Result<()> {
        if channel.receive()?.is_none() {
            return Ok(());
        }
        for (program, map) in [("newuidmap", &self.users), ("newgidmap", &self.groups)] {
            let args = map.iter().flat_map(|range| range.arguments());
            let output = Command::new(program).arg(pid).args(args).output();
            let output = output.with_context(|| format!("cannot run {program}"))?;
            if !output.status.success() {
                let said = String::from_utf8_lossy(&output.stderr);
                bail!("{program} gives this user no ids: {}", said.trim());
            }
        }
        Ok(())
    }
}

/// The id itself as 0, then every subordinate range of the user from 1 on; `None` where there is none.
///
/// Lines are `USER:FIRST:COUNT`, with a name or a number for the user.
fn map(text: &[u8], name: &OsStr, uid: u32, own: u32) -> Option<Vec<IdRange>> {
    let number = uid.to_string();
    let mut ranges = vec![IdRange { inside: 0, outside: own, count: 1 }];
    let mut inside = 1u32;
    for line in text.split(|&b| b == b'\n') {
        let mut fields = line.split(|&b| b == b':');
        let (Some(user), Some(first), Some(count), None) = (fields.next(), fields.next(), fields.next(), fields.next())
        else {
            continue;
        };
        let is_ours = !user.is_empty() && (user == name.as_bytes() || user == number.as_bytes());
        let parse = |field: &[u8]| std::str::from_utf8(field).ok()?.trim().parse::<u32>().ok();
        let (true, Some(outside), Some(count)) = (is_ours, parse(first), parse(count)) else { continue };
        let Some(next) = inside.checked_add(count) else { continue };
        if count > 0 {
            ranges.push(IdRange { inside, outside, count });
            inside = next;
        }
    }
    (ranges.len() > 1).then_some(ranges)
}

/// Why this host gives its users no namespaces, and which switch that is.
fn refused(errno: Errno, read: impl Fn(&Path) -> Option<String>) -> anyhow::Error {
    let is = |name: &str, value: &str| {
        let path = Path::new("/proc/sys").join(name.replace('.', "/"));
        read(&path).is_some_and(|text| text.trim() == value)
    };
    let switch = match errno {
        Errno::NOSPC => "too many of them exist: raise the sysctl user.max_user_namespaces",
        _ if is("user.max_user_namespaces", "0") => "set the sysctl user.max_user_namespaces to 10000, say",
        _ if is("kernel.unprivileged_userns_clone", "0") => "set the sysctl kernel.unprivileged_userns_clone to 1",
        _ if is("kernel.apparmor_restrict_unprivileged_userns", "1") => {
            "set the sysctl kernel.apparmor_restrict_unprivileged_userns to 0, or give overfuse an AppArmor profile"
        }
        _ => "a sandbox or security module around this process forbids it; root does without",
    };
    anyhow::Error::new(errno).context(format!("this host gives the user no user namespace ({switch})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(inside: u32, outside: u32, count: u32) -> IdRange {
        IdRange { inside, outside, count }
    }

    #[test]
    fn subordinate_ranges_are_found_by_name_and_by_number() {
        for (text, expected) in [
            ("", None),
            ("other:100000:65536\n", None),
            ("me:100000:65536\n", Some(vec![range(0, 1000, 1), range(1, 100_000, 65_536)])),
            ("1000:7:3", Some(vec![range(0, 1000, 1), range(1, 7, 3)])),
            ("me:10:5\nother:1:1\nme:90:2\n", Some(vec![range(0, 1000, 1), range(1, 10, 5), range(6, 90, 2)])),
            ("me:10\nme:x:5\nme:1:2:3\n# me\n:1:1\nme:5:0\n", None),
            ("me:1:4294967295\nme:9:4\n", Some(vec![range(0, 1000, 1), range(1, 9, 4)])),
        ] {
            assert_eq!(map(text.as_bytes(), OsStr::new("me"), 1000, 1000), expected, "{text:?}");
        }
    }

    #[test]
    fn a_refusal_names_the_switch() {
        for (errno, file, text, expected) in [
            (Errno::NOSPC, "", "", "raise the sysctl user.max_user_namespaces"),
            (Errno::PERM, "/proc/sys/user/max_user_namespaces", "0\n", "user.max_user_namespaces to"),
            (Errno::PERM, "/proc/sys/kernel/unprivileged_userns_clone", "0\n", "unprivileged_userns_clone to 1"),
            (Errno::ACCESS, "/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1\n", "AppArmor"),
            (Errno::PERM, "", "", "sandbox"),
        ] {
            let said = format!("{:#}", refused(errno, |path| (path == Path::new(file)).then(|| text.to_owned())));
            assert!(said.contains(expected), "{said}");
        }
    }
}
