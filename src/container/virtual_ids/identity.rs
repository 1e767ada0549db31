//! What a process has become: its users and groups, and the kernel's rules for changing them. Pure.

use std::collections::HashMap;
use std::rc::Rc;

use super::calls::{GetId, SetId};
use crate::sys::{Errno, Result};

/// How many identities one container may have, and how many supplementary groups each: a program that tries out all
/// users must not fill the memory.
const IDENTITIES_MAX: usize = 4096;
const GROUPS_MAX: usize = 256;

/// "Leave it" in the calls that take several ids.
const KEEP: u32 = u32::MAX;

/// One kind of id of a process: users or groups.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Ids {
    pub(super) real: u32,
    pub(super) effective: u32,
    pub(super) saved: u32,
    /// The one that files are accessed with.
    pub(super) file: u32,
}

/// The users and groups of a process. The default is root's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Identity {
    pub(super) users: Ids,
    pub(super) groups: Ids,
    /// Supplementary groups.
    pub(super) others: Vec<u32>,
}

impl Ids {
    fn has(&self, id: u32) -> bool {
        [self.real, self.effective, self.saved].contains(&id)
    }

    /// As setuid(2).
    fn set(&mut self, to: u32, privileged: bool) -> Result<()> {
        match () {
            () if to == KEEP => return Err(Errno::INVAL),
            () if privileged => (self.real, self.saved) = (to, to),
            () if to == self.real || to == self.saved => {}
            () => return Err(Errno::PERM),
        }
        (self.effective, self.file) = (to, to);
        Ok(())
    }

    /// As setreuid(2).
    fn set_two(&mut self, [real, effective]: [u32; 2], privileged: bool) -> Result<()> {
        let before = *self;
        let may_real = privileged || [KEEP, before.real, before.effective].contains(&real);
        if !may_real || !(privileged || effective == KEEP || before.has(effective)) {
            return Err(Errno::PERM);
        }
        put(&mut self.real, real);
        put(&mut self.effective, effective);
        if real != KEEP || (effective != KEEP && effective != before.real) {
            self.saved = self.effective;
        }
        self.file = self.effective;
        Ok(())
    }

    /// As setresuid(2).
    fn set_three(&mut self, ids: [u32; 3], privileged: bool) -> Result<()> {
        let before = *self;
        if !privileged && !ids.iter().all(|&id| id == KEEP || before.has(id)) {
            return Err(Errno::PERM);
        }
        put(&mut self.real, ids[0]);
        put(&mut self.effective, ids[1]);
        put(&mut self.saved, ids[2]);
        self.file = self.effective;
        Ok(())
    }

    /// As setfsuid(2): returns the id before, whether it changes or not.
    fn set_file(&mut self, to: u32, privileged: bool) -> u32 {
        let before = self.file;
        if to != KEEP && (privileged || self.has(to) || to == before) {
            self.file = to;
        }
        before
    }
}

fn put(field: &mut u32, id: u32) {
    if id != KEEP {
        *field = id;
    }
}

/// What a call that reads ids returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Read {
    One(u32),
    /// Real, effective and saved; the call writes them to memory.
    Three([u32; 3]),
}

impl Identity {
    fn is_privileged(&self) -> bool {
        self.users.effective == 0
    }

    /// Performs a call that changes ids; returns its result.
    ///
    /// # Errors
    /// As the call.
    pub(super) fn change(&mut self, call: SetId, args: [u32; 3]) -> Result<u32> {
        let privileged = self.is_privileged();
        let [a, b, _] = args;
        match call {
            SetId::User => self.users.set(a, privileged)?,
            SetId::Group => self.groups.set(a, privileged)?,
            SetId::RealEffectiveUser => self.users.set_two([a, b], privileged)?,
            SetId::RealEffectiveGroup => self.groups.set_two([a, b], privileged)?,
            SetId::AllUsers => self.users.set_three(args, privileged)?,
            SetId::AllGroups => self.groups.set_three(args, privileged)?,
            SetId::FileUser => return Ok(self.users.set_file(a, privileged)),
            SetId::FileGroup => return Ok(self.groups.set_file(a, privileged)),
        }
        Ok(0)
    }

    pub(super) fn read(&self, call: GetId) -> Read {
        let three = |ids: &Ids| Read::Three([ids.real, ids.effective, ids.saved]);
        match call {
            GetId::User => Read::One(self.users.real),
            GetId::EffectiveUser => Read::One(self.users.effective),
            GetId::Group => Read::One(self.groups.real),
            GetId::EffectiveGroup => Read::One(self.groups.effective),
            GetId::AllUsers => three(&self.users),
            GetId::AllGroups => three(&self.groups),
        }
    }

    /// As setgroups(2).
    ///
    /// # Errors
    /// `EPERM` for any user but root; `EINVAL` for too many.
    pub(super) fn set_groups(&mut self, groups: Vec<u32>) -> Result<()> {
        if !self.is_privileged() {
            return Err(Errno::PERM);
        }
        if groups.len() > GROUPS_MAX || groups.contains(&KEEP) {
            return Err(Errno::INVAL);
        }
        self.others = groups;
        Ok(())
    }

    /// Whether this user may give a file of `owner` to `uid` and `gid`; `None` leaves one.
    pub(super) fn may_give(&self, owner: impl FnOnce() -> Result<(u32, u32)>, to: Owner) -> Result<()> {
        let Ids { file: user, .. } = self.users;
        if user == 0 {
            return Ok(());
        }
        let (owner, group) = owner()?;
        let in_group = |gid| gid == group || gid == self.groups.file || self.others.contains(&gid);
        let may = owner == user && to.uid.is_none_or(|uid| uid == user) && to.gid.is_none_or(in_group);
        if may { Ok(()) } else { Err(Errno::PERM) }
    }
}

/// What a call gives a file; `None` leaves it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Owner {
    pub(super) uid: Option<u32>,
    pub(super) gid: Option<u32>,
}

impl Owner {
    /// From the arguments of a call.
    pub(super) fn of_arguments(uid: u64, gid: u64) -> Owner {
        let given = |argument: u64| Some(argument as u32).filter(|&id| id != KEEP);
        Owner { uid: given(uid), gid: given(gid) }
    }
}

/// The identities that processes have had, each with a number.
#[derive(Debug, Default)]
pub(super) struct Identities {
    all: Vec<Rc<Identity>>,
    numbers: HashMap<Rc<Identity>, u32>,
}

impl Identities {
    pub(super) fn get(&self, number: u32) -> Option<Rc<Identity>> {
        self.all.get(number as usize).cloned()
    }

    /// # Errors
    /// `EAGAIN` when there are too many.
    pub(super) fn number(&mut self, identity: Identity) -> Result<u32> {
        if let Some(&number) = self.numbers.get(&identity) {
            return Ok(number);
        }
        if self.all.len() >= IDENTITIES_MAX {
            return Err(Errno::AGAIN);
        }
        let (number, identity) = (self.all.len() as u32, Rc::new(identity));
        self.all.push(identity.clone());
        self.numbers.insert(identity, number);
        Ok(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(real: u32, effective: u32, saved: u32) -> Ids {
        Ids { real, effective, saved, file: effective }
    }

    #[test]
    fn ids_change_by_the_rules_of_the_kernel() {
        const K: u32 = KEEP;
        type Row = (SetId, [u32; 3], Ids, Result<Ids>);
        let rows: [Row; 21] = [
            (SetId::User, [7, 0, 0], ids(0, 0, 0), Ok(ids(7, 7, 7))),
            (SetId::User, [0, 0, 0], ids(7, 7, 7), Err(Errno::PERM)),
            (SetId::User, [7, 0, 0], ids(7, 8, 9), Ok(ids(7, 7, 9))),
            (SetId::User, [9, 0, 0], ids(7, 8, 9), Ok(ids(7, 9, 9))),
            (SetId::User, [8, 0, 0], ids(7, 8, 9), Err(Errno::PERM)),
            (SetId::User, [K, 0, 0], ids(0, 0, 0), Err(Errno::INVAL)),
            (SetId::AllUsers, [7, 7, 7], ids(0, 0, 0), Ok(ids(7, 7, 7))),
            (SetId::AllUsers, [K, 7, 0], ids(0, 0, 0), Ok(ids(0, 7, 0))),
            (SetId::AllUsers, [K, 0, K], ids(0, 7, 0), Ok(ids(0, 0, 0))),
            (SetId::AllUsers, [9, 8, 7], ids(7, 8, 9), Ok(ids(9, 8, 7))),
            (SetId::AllUsers, [K, 0, K], ids(7, 7, 7), Err(Errno::PERM)),
            (SetId::AllUsers, [K, K, K], ids(7, 8, 9), Ok(ids(7, 8, 9))),
            (SetId::RealEffectiveUser, [7, 8, 0], ids(0, 0, 0), Ok(ids(7, 8, 8))),
            (SetId::RealEffectiveUser, [K, 7, 0], ids(0, 0, 0), Ok(ids(0, 7, 7))),
            (SetId::RealEffectiveUser, [K, 7, 0], ids(7, 8, 9), Ok(ids(7, 7, 9))),
            (SetId::RealEffectiveUser, [8, 7, 0], ids(7, 8, 9), Ok(ids(8, 7, 7))),
            (SetId::RealEffectiveUser, [9, K, 0], ids(7, 8, 9), Err(Errno::PERM)),
            (SetId::RealEffectiveUser, [K, 9, 0], ids(7, 8, 9), Ok(ids(7, 9, 9))),
            (SetId::RealEffectiveUser, [K, 6, 0], ids(7, 8, 9), Err(Errno::PERM)),
            (SetId::FileUser, [9, 0, 0], ids(0, 0, 0), Ok(Ids { file: 9, ..ids(0, 0, 0) })),
            (SetId::FileUser, [6, 0, 0], ids(7, 8, 9), Ok(ids(7, 8, 9))),
        ];
        for (call, args, before, after) in rows {
            let mut identity = Identity { users: before, ..Identity::default() };
            let changed = identity.change(call, args).map(|_| identity.users);
            assert_eq!(changed, after, "{call:?} {args:?} of {before:?}");
        }
    }

    #[test]
    fn groups_are_for_root_to_change() {
        let mut identity = Identity::default();
        identity.set_groups(vec![5, 6]).unwrap();
        identity.change(SetId::AllGroups, [5, 5, 5]).unwrap();
        identity.change(SetId::User, [7, 0, 0]).unwrap();
        assert_eq!(identity.read(GetId::AllGroups), Read::Three([5, 5, 5]));
        assert_eq!(identity.set_groups(vec![]), Err(Errno::PERM));
        assert_eq!(identity.change(SetId::Group, [6, 0, 0]), Err(Errno::PERM));
        assert_eq!(identity.others, [5, 6]);
        assert_eq!(Identity::default().set_groups(vec![0; GROUPS_MAX + 1]), Err(Errno::INVAL));
    }

    #[test]
    fn a_user_gives_away_own_files_to_own_groups_only() {
        let user = Identity { users: ids(7, 7, 7), groups: ids(5, 5, 5), others: vec![6] };
        let to = |uid, gid| Owner { uid, gid };
        for (owner, to, may) in [
            ((7, 5), to(None, Some(6)), true),
            ((7, 5), to(Some(7), Some(5)), true),
            ((7, 5), to(None, Some(4)), false),
            ((7, 5), to(Some(8), None), false),
            ((0, 0), to(None, Some(6)), false),
        ] {
            assert_eq!(user.may_give(|| Ok(owner), to).is_ok(), may, "{owner:?} {to:?}");
        }
        assert_eq!(Identity::default().may_give(|| Ok((7, 7)), to(Some(9), None)), Ok(()));
    }

    #[test]
    fn one_identity_has_one_number_and_there_is_an_end_of_them() {
        let mut all = Identities::default();
        let of = |uid| Identity { users: ids(uid, uid, uid), ..Identity::default() };
        let first = all.number(of(1)).unwrap();
        assert_eq!((all.number(of(1)), all.get(first)), (Ok(first), Some(Rc::new(of(1)))));
        let end = (2..).find_map(|uid| all.number(of(uid)).err());
        assert_eq!((end, all.number(of(1))), (Some(Errno::AGAIN), Ok(first)));
        assert_eq!(all.get(u32::MAX), None);
    }
}
