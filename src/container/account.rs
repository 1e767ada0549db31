//! Resolves users and groups by the image's own `/etc/passwd` and `/etc/group`.
//!
//! Pure: takes the text of both files. Never uses the host's users.

use std::fmt;

use serde::{Deserialize, Serialize};

/// `USER[:GROUP]`, each a name or a number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserSpec {
    user: String,
    group: Option<String>,
}

/// User, groups and home directory of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub uid: u32,
    pub gid: u32,
    /// Supplementary groups.
    pub groups: Vec<u32>,
    pub home: String,
}

/// A name that the image does not have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum UnknownAccount {
    #[error("the image's /etc/passwd has no user {0:?}")]
    User(String),
    #[error("the image's /etc/group has no group {0:?}")]
    Group(String),
    /// The kernel uses the highest number for "none", and some tools read the upper half as negative numbers.
    #[error("{0} is not a valid user or group: numbers go up to {ID_MAX}")]
    OutOfRange(u64),
}

/// The same limit as docker's.
const ID_MAX: u32 = i32::MAX as u32;

impl fmt::Display for UserSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.user)?;
        self.group.as_ref().map_or(Ok(()), |group| write!(f, ":{group}"))
    }
}

impl UserSpec {
    /// `None` where the user part is empty.
    pub fn parse(text: &str) -> Option<UserSpec> {
        let (user, group) = match text.split_once(':') {
            Some((user, group)) => (user, Some(group).filter(|g| !g.is_empty())),
            None => (text, None),
        };
        (!user.is_empty()).then(|| UserSpec { user: user.to_owned(), group: group.map(str::to_owned) })
    }

    /// Looks names and numbers up, as docker does. A text of digits is a number. A number needs no entry: without one,
    /// its group is 0 and its home is `/`. If the spec names a group, the user gets no supplementary groups.
    ///
    /// # Errors
    /// A name has no entry, or a number is above the limit, even if the image's files contain it.
    pub fn resolve(&self, passwd: &str, group: &str) -> Result<Identity, UnknownAccount> {
        let own = number(&self.user)?;
        let entry = users(passwd).find(|u| own.map_or(u.name == self.user, |uid| u.uid == uid));
        let uid = entry.as_ref().map(|u| u.uid).or(own).ok_or_else(|| UnknownAccount::User(self.user.clone()))?;
        let home = entry.as_ref().map(|u| u.home).filter(|home| !home.is_empty()).unwrap_or("/").to_owned();
        if let Some(name) = &self.group {
            let named = || groups(group).find(|g| g.name == name).map(|g| g.gid);
            let gid = number(name)?.or_else(named).ok_or_else(|| UnknownAccount::Group(name.clone()))?;
            return Identity { uid, gid, groups: Vec::new(), home }.checked();
        }
        let gid = entry.as_ref().map_or(0, |u| u.gid);
        let member = |g: &Group<'_>| entry.as_ref().is_some_and(|u| g.members.split(',').any(|name| name == u.name));
        let mut others: Vec<u32> = groups(group).filter(member).map(|g| g.gid).collect();
        others.sort_unstable();
        others.dedup();
        Identity { uid, gid, groups: others, home }.checked()
    }
}

/// `None` where `text` is not a number, and so is a name.
fn number(text: &str) -> Result<Option<u32>, UnknownAccount> {
    let Ok(number) = text.parse::<u64>() else { return Ok(None) };
    u32::try_from(number).map(Some).map_err(|_| UnknownAccount::OutOfRange(number))
}

impl Identity {
    /// The same with further groups: names of `group`, the text of `/etc/group`, or numbers.
    ///
    /// # Errors
    /// As [`UserSpec::resolve`].
    pub fn with_groups(mut self, more: &[String], group: &str) -> Result<Identity, UnknownAccount> {
        for name in more {
            let named = || groups(group).find(|g| g.name == name).map(|g| g.gid);
            let gid = number(name)?.or_else(named).ok_or_else(|| UnknownAccount::Group(name.clone()))?;
            if !self.groups.contains(&gid) {
                self.groups.push(gid);
            }
        }
        self.checked()
    }

    fn checked(self) -> Result<Identity, UnknownAccount> {
        let mut ids = [self.uid, self.gid].into_iter().chain(self.groups.iter().copied());
        match ids.find(|&id| id > ID_MAX) {
            Some(id) => Err(UnknownAccount::OutOfRange(id.into())),
            None => Ok(self),
        }
    }
}

struct User<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
}

struct Group<'a> {
    name: &'a str,
    gid: u32,
    members: &'a str,
}

/// Reads lines `name:password:uid:gid:comment:home:shell`; skips other lines.
fn users(text: &str) -> impl Iterator<Item = User<'_>> {
    text.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let (name, _, uid, gid) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
        let home = fields.nth(1).unwrap_or("");
        Some(User { name, uid: uid.parse().ok()?, gid: gid.parse().ok()?, home })
    })
}

/// Reads lines `name:password:gid:members`; skips other lines.
fn groups(text: &str) -> impl Iterator<Item = Group<'_>> {
    text.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let (name, _, gid) = (fields.next()?, fields.next()?, fields.next()?);
        Some(Group { name, gid: gid.parse().ok()?, members: fields.next().unwrap_or("") })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\n\
        # a comment\n\
        app:x:1000:100::/srv/app:/bin/sh\n\
        broken:x:many:0::/:\n\
        7:x:77:8::/seven:\n\
        short:x:5:6\n\
        none:x:4294967295:0::/:\n\
        high:x:1:2147483648::/:\n\
        joins:x:2:2::/:\n";
    const GROUP: &str =
        "root:x:0:\nusers:x:100:\nvideo:x:44:app,root\naudio:x:29:app\nagain:x:29:app\nhigh:x:4294967294:joins\n";

    fn identity(uid: u32, gid: u32, groups: &[u32], home: &str) -> Identity {
        Identity { uid, gid, groups: groups.to_vec(), home: home.into() }
    }

    #[test]
    fn names_and_numbers_are_found_in_the_images_own_files() {
        for (text, expected) in [
            ("root", Ok(identity(0, 0, &[44], "/root"))),
            ("0", Ok(identity(0, 0, &[44], "/root"))),
            ("app", Ok(identity(1000, 100, &[29, 44], "/srv/app"))),
            ("1000", Ok(identity(1000, 100, &[29, 44], "/srv/app"))),
            ("app:", Ok(identity(1000, 100, &[29, 44], "/srv/app"))),
            ("app:video", Ok(identity(1000, 44, &[], "/srv/app"))),
            ("app:4242", Ok(identity(1000, 4242, &[], "/srv/app"))),
            ("4242", Ok(identity(4242, 0, &[], "/"))),
            ("4242:users", Ok(identity(4242, 100, &[], "/"))),
            ("7", Ok(identity(7, 0, &[], "/"))),
            ("77", Ok(identity(77, 8, &[], "/seven"))),
            ("short", Ok(identity(5, 6, &[], "/"))),
            ("nobody", Err(UnknownAccount::User("nobody".into()))),
            ("broken", Err(UnknownAccount::User("broken".into()))),
            ("-1", Err(UnknownAccount::User("-1".into()))),
            ("app:none", Err(UnknownAccount::Group("none".into()))),
            ("2147483647:2147483647", Ok(identity(2_147_483_647, 2_147_483_647, &[], "/"))),
            ("2147483648", Err(UnknownAccount::OutOfRange(2_147_483_648))),
            ("4294967295", Err(UnknownAccount::OutOfRange(4_294_967_295))),
            ("4294967296", Err(UnknownAccount::OutOfRange(4_294_967_296))),
            ("app:4294967295", Err(UnknownAccount::OutOfRange(4_294_967_295))),
            ("none", Err(UnknownAccount::OutOfRange(4_294_967_295))),
            ("high", Err(UnknownAccount::OutOfRange(2_147_483_648))),
            ("joins", Err(UnknownAccount::OutOfRange(4_294_967_294))),
            ("app:high", Err(UnknownAccount::OutOfRange(4_294_967_294))),
        ] {
            let spec = UserSpec::parse(text).unwrap();
            assert_eq!(spec.resolve(PASSWD, GROUP), expected, "{text}");
        }
    }

    #[test]
    fn further_groups_are_added_once() {
        let app = || identity(1000, 100, &[29], "/");
        let with = |more: &[&str]| app().with_groups(&more.iter().map(|&name| name.into()).collect::<Vec<_>>(), GROUP);
        assert_eq!(with(&["video", "29", "7"]), Ok(identity(1000, 100, &[29, 44, 7], "/")));
        assert_eq!(with(&["gone"]), Err(UnknownAccount::Group("gone".into())));
        assert_eq!(with(&["4294967295"]), Err(UnknownAccount::OutOfRange(4_294_967_295)));
    }

    #[test]
    fn an_image_without_the_files_has_numbers_only() {
        assert_eq!(UserSpec::parse("0").unwrap().resolve("", ""), Ok(identity(0, 0, &[], "/")));
        assert_eq!(UserSpec::parse("root").unwrap().resolve("", ""), Err(UnknownAccount::User("root".into())));
    }
}
