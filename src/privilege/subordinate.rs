//! Subordinate ids: the grants of `/etc/subuid` and `/etc/subgid`, and a user namespace that maps them.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, id};

use super::Error;
use crate::sys::namespace::{self, IdRange};
use crate::sys::{Channel, IdMaps, Namespaces, process};

/// The two programs that map subordinate ids into a user namespace; both are set-id root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdPrograms {
    users: PathBuf,
    groups: PathBuf,
}

impl IdPrograms {
    /// Finds `newuidmap` and `newgidmap`, each in the first of `dirs` (those of `PATH`) that has it. `None` unless both
    /// are found. Skips relative directories.
    pub fn find(dirs: &[PathBuf]) -> Option<IdPrograms> {
        let dirs = || dirs.iter().filter(|dir| dir.is_absolute());
        let find = |name: &str| dirs().map(|dir| dir.join(name)).find(|program| program.is_file());
        Some(IdPrograms { users: find("newuidmap")?, groups: find("newgidmap")? })
    }
}

/// Two id maps, and the programs that set them.
#[derive(Debug)]
pub(super) struct Maps<'a> {
    users: Vec<IdRange>,
    groups: Vec<IdRange>,
    programs: &'a IdPrograms,
}

impl Maps<'_> {
    /// `None` where the host grants the user no ids.
    pub(super) fn of_this_host(uid: u32, gid: u32, programs: &IdPrograms) -> Option<Maps<'_>> {
        let name = process::user_name(uid);
        let name = name.as_deref().unwrap_or(OsStr::new(""));
        let read = |path| fs::read(path).unwrap_or_default();
        let users = map(&read("/etc/subuid"), name, uid, uid)?;
        let groups = map(&read("/etc/subgid"), name, uid, gid)?;
        Some(Maps { users, groups, programs })
    }

    pub(super) fn into_ids(self) -> IdMaps {
        IdMaps { users: self.users, groups: self.groups }
    }

    /// Moves this process into new `namespaces`, which include a user namespace, and sets its maps.
    pub(super) fn enter(&self, namespaces: Namespaces) -> Result<(), Error> {
        let us = id().to_string();
        let failed = |doing| move |source| Error::Helper { doing, source };
        // The maps must be set from outside the new user namespace: by a child that does not enter it.
        let work = |channel: Channel| match self.hand_out(&us, &channel) {
            Ok(()) => 0,
            Err(text) => i32::from(channel.send(text.as_bytes(), None).is_err()),
        };
        let (helper, channel) = process::spawn_connected(Namespaces::empty(), work).map_err(failed("fork"))?;
        let entered = namespace::enter_new(namespaces);
        let answer = match entered {
            Ok(()) => channel.send(b"go", None).and_then(|()| channel.receive()),
            Err(_) => Ok(None),
        };
        drop(channel);
        helper.wait().map_err(failed("wait for newuidmap"))?;
        entered.map_err(Error::refused)?;
        match answer.map_err(failed("receive from newuidmap"))? {
            Some((text, _)) => Err(Error::NoIds(String::from_utf8_lossy(&text).into_owned())),
            None => Ok(()),
        }
    }

    /// In the child: sets both maps of the process `pid`, or returns the reason why not.
    fn hand_out(&self, pid: &str, channel: &Channel) -> Result<(), String> {
        match channel.receive() {
            Ok(Some(_)) => {}
            Ok(None) => return Ok(()),
            Err(error) => return Err(error.to_string()),
        }
        for (program, map) in [(&self.programs.users, &self.users), (&self.programs.groups, &self.groups)] {
            let name = program.file_name().map(Path::new).unwrap_or(program).display();
            let args = map.iter().flat_map(|range| range.arguments());
            let output = Command::new(program).arg(pid).args(args).output();
            let output = output.map_err(|error| format!("cannot run {name}: {error}"))?;
            if !output.status.success() {
                let said = String::from_utf8_lossy(&output.stderr);
                return Err(format!("{name} gives this user no ids: {}", said.trim()));
            }
        }
        Ok(())
    }
}

/// Maps `own` to 0, and the user's subordinate ranges to 1 and up; `None` where the user has no range.
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
    fn both_programs_are_found_or_none() {
        let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let paths = [dirs[0].path().to_path_buf(), dirs[1].path().to_path_buf()];
        let put = |dir: usize, name: &str| fs::write(paths[dir].join(name), "").unwrap();
        assert_eq!(IdPrograms::find(&paths), None);
        put(1, "newuidmap");
        assert_eq!(IdPrograms::find(&paths), None, "newgidmap is missing");
        put(1, "newgidmap");
        put(0, "newgidmap");
        let found = IdPrograms { users: paths[1].join("newuidmap"), groups: paths[0].join("newgidmap") };
        assert_eq!(IdPrograms::find(&paths), Some(found));
        assert_eq!(IdPrograms::find(&[]), None);
    }
}
