//! The id maps of a user namespace: which ids inside stand for which ids outside.

use std::borrow::Cow;
use std::fs;

use super::namespace::IdRange;
use super::{Errno, Result};

/// What the kernel shows for an id that has no number: `nobody`.
const OVERFLOW: u32 = 65534;

/// The id maps of a user namespace. Without any range, ids are the same inside and outside.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IdMaps {
    /// The ranges of user ids.
    pub users: Vec<IdRange>,
    /// The ranges of group ids.
    pub groups: Vec<IdRange>,
}

/// Users or groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdKind {
    /// Users.
    User,
    /// Groups.
    Group,
}

impl IdMaps {
    /// Maps user and group 0 to `uid` and `gid`, and no other ids.
    pub fn single(uid: u32, gid: u32) -> IdMaps {
        let only = |outside| vec![IdRange { inside: 0, outside, count: 1 }];
        IdMaps { users: only(uid), groups: only(gid) }
    }

    /// Those of this process's user namespace. Outside is the namespace that it was made in.
    ///
    /// # Errors
    /// As reading `/proc/self/uid_map`.
    pub fn of_this_process() -> Result<IdMaps> {
        let read = |file| fs::read_to_string(file).map_err(|e| Errno::from_io_error(&e).unwrap_or(Errno::IO));
        Ok(IdMaps { users: ranges(&read("/proc/self/uid_map")?), groups: ranges(&read("/proc/self/gid_map")?) })
    }

    /// Whether ids are the same inside and outside.
    pub fn are_same(&self) -> bool {
        self.users.is_empty() && self.groups.is_empty()
    }

    /// Whether `id` has a number outside.
    pub fn has(&self, kind: IdKind, id: u32) -> bool {
        self.are_same()
            || self.ranges(kind).iter().any(|range| shifted(id, range.inside, range.outside, range).is_some())
    }

    /// How many ids have a number outside.
    pub fn count(&self, kind: IdKind) -> u64 {
        self.ranges(kind).iter().map(|range| u64::from(range.count)).sum()
    }

    /// The number outside; 65534 where there is none.
    pub fn to_outside(&self, kind: IdKind, id: u32) -> u32 {
        if self.are_same() {
            return id;
        }
        self.ranges(kind).iter().find_map(|range| shifted(id, range.inside, range.outside, range)).unwrap_or(OVERFLOW)
    }

    /// The number inside.
    ///
    /// # Errors
    /// `EINVAL` where there is none.
    pub fn to_inside(&self, kind: IdKind, id: u32) -> Result<u32> {
        if self.are_same() {
            return Ok(id);
        }
        let found = self.ranges(kind).iter().find_map(|range| shifted(id, range.outside, range.inside, range));
        found.ok_or(Errno::INVAL)
    }

    /// The value of an xattr with the numbers of outside. Only ACLs have numbers.
    pub fn xattr_to_outside<'a>(&self, key: &[u8], value: &'a [u8]) -> Cow<'a, [u8]> {
        match self.acl(key, value, |kind, id| Ok(self.to_outside(kind, id))) {
            Some(Ok(acl)) => acl.into(),
            _ => value.into(),
        }
    }

    /// The value of an xattr with the numbers of inside.
    ///
    /// # Errors
    /// `EINVAL` where an ACL names an id that has none.
    pub fn xattr_to_inside<'a>(&self, key: &[u8], value: &'a [u8]) -> Result<Cow<'a, [u8]>> {
        self.acl(key, value, |kind, id| self.to_inside(kind, id)).map_or(Ok(value.into()), |acl| acl.map(Cow::from))
    }

    /// `None` where the value stays as it is. An ACL is a version, then entries of tag, permissions and id.
    fn acl(&self, key: &[u8], value: &[u8], map: impl Fn(IdKind, u32) -> Result<u32>) -> Option<Result<Vec<u8>>> {
        const VERSION: usize = 4;
        const ENTRY: usize = 8;
        if self.are_same() || !key.starts_with(b"system.posix_acl_") || value.len() < VERSION {
            return None;
        }
        let mut acl = value.to_vec();
        for entry in acl[VERSION..].chunks_exact_mut(ENTRY) {
            let kind = match u16::from_le_bytes([entry[0], entry[1]]) {
                0x02 => IdKind::User,
                0x08 => IdKind::Group,
                _ => continue,
            };
            let id = u32::from_le_bytes([entry[4], entry[5], entry[6], entry[7]]);
            match map(kind, id) {
                Ok(id) => entry[4..].copy_from_slice(&id.to_le_bytes()),
                Err(error) => return Some(Err(error)),
            }
        }
        Some(Ok(acl))
    }

    fn ranges(&self, kind: IdKind) -> &[IdRange] {
        match kind {
            IdKind::User => &self.users,
            IdKind::Group => &self.groups,
        }
    }
}

fn shifted(id: u32, from: u32, to: u32, range: &IdRange) -> Option<u32> {
    let at = id.checked_sub(from).filter(|at| *at < range.count)?;
    to.checked_add(at)
}

/// Parses lines `INSIDE OUTSIDE COUNT`.
fn ranges(text: &str) -> Vec<IdRange> {
    let range = |line: &str| {
        let mut numbers = line.split_whitespace().map(|number| number.parse().ok());
        Some(IdRange { inside: numbers.next()??, outside: numbers.next()??, count: numbers.next()?? })
    };
    text.lines().filter_map(range).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn maps() -> IdMaps {
        let text = "         0       1000          1\n         1     100000      65536\n";
        IdMaps { users: ranges(text), groups: ranges("0 1001 1\n") }
    }

    #[test]
    fn ids_are_translated_both_ways() {
        for (kind, inside, outside) in [
            (IdKind::User, 0, 1000),
            (IdKind::User, 1, 100_000),
            (IdKind::User, 65_536, 165_535),
            (IdKind::Group, 0, 1001),
        ] {
            assert_eq!(maps().to_outside(kind, inside), outside);
            assert_eq!(maps().to_inside(kind, outside), Ok(inside));
            assert_eq!(IdMaps::default().to_outside(kind, inside), inside);
        }
        assert_eq!(maps().to_outside(IdKind::User, 65_537), OVERFLOW);
        assert_eq!(maps().to_inside(IdKind::User, 0), Err(Errno::INVAL));
        assert!(maps().has(IdKind::User, 65_536) && !maps().has(IdKind::Group, 1));
    }

    #[test]
    fn the_ids_in_an_acl_are_translated() {
        let acl =
            |user: u32| [&[2, 0, 0, 0, 1, 0, 7, 0, 255, 255, 255, 255, 2, 0, 4, 0][..], &user.to_le_bytes()].concat();
        let key = b"system.posix_acl_access";
        assert_eq!(*maps().xattr_to_outside(key, &acl(33)), acl(100_032));
        assert_eq!(*maps().xattr_to_inside(key, &acl(100_032)).unwrap(), acl(33));
        assert_eq!(maps().xattr_to_inside(key, &acl(33)), Err(Errno::INVAL));
        assert_eq!(*maps().xattr_to_outside(b"user.x", &acl(33)), acl(33));
    }
}
