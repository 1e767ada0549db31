//! Set-id bits: a change of content or owner clears them, unless the caller could set them again.

use crate::sys::{Credentials, Kind, Result};

use super::Union;
use super::node::{Lack, NodeId};

const SET_USER_ID: u32 = 0o4000;
const SET_GROUP_ID: u32 = 0o2000;
const GROUP_EXECUTES: u32 = 0o0010;

impl Union {
    /// Clears the set-id bits of a file that the caller is about to change, except those that it may keep. `by` returns
    /// the caller's credentials; it is called only if there are such bits. Returns whether the mode changed.
    ///
    /// # Errors
    /// As `chmod(2)`, and those of copying up.
    pub fn drop_set_id(&self, id: NodeId, by: impl FnOnce() -> Credentials) -> Result<bool> {
        let node = self.node(id)?;
        if node.kind != Kind::Regular {
            return Ok(false);
        }
        let mut found = None;
        let lacks = node.lacks(Lack::SetId, || {
            let stat = self.at(&node, |at| self.shown(at, at.stat()?))?;
            found = Some(stat);
            Ok(stat.perm & (SET_USER_ID | SET_GROUP_ID) == 0)
        })?;
        let Some(stat) = found.filter(|_| !lacks) else { return Ok(false) };
        let kept = kept(stat.perm, stat.gid, &by());
        if kept == stat.perm {
            return Ok(false);
        }
        self.change_upper(&node, |file| file.set_perm(kept))?;
        Ok(true)
    }
}

/// The mode that remains; the rules are those of `setattr_should_drop_suidgid` in Linux.
fn kept(perm: u32, group: u32, by: &Credentials) -> u32 {
    if by.may_set_ids && by.initial {
        return perm;
    }
    // Without group execute permission, the set-group-id bit once meant mandatory locking: group members may keep it.
    let leaves_group_bit = perm & GROUP_EXECUTES == 0 && (by.may_set_ids || by.groups.contains(&group));
    perm & !SET_USER_ID & !(if leaves_group_bit { 0 } else { SET_GROUP_ID })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_stay_for_those_who_could_set_them_again() {
        let nobody = Credentials::default();
        let member = Credentials { groups: vec![5], ..nobody.clone() };
        let contained = Credentials { may_set_ids: true, ..nobody.clone() };
        let root = Credentials { initial: true, ..contained.clone() };
        for (by, from, to) in [
            (&root, 0o6777, 0o6777),
            (&contained, 0o6777, 0o777),
            (&contained, 0o6767, 0o2767),
            (&member, 0o6777, 0o777),
            (&member, 0o6767, 0o2767),
            (&nobody, 0o6767, 0o767),
            (&nobody, 0o2777, 0o777),
            (&nobody, 0o1755, 0o1755),
        ] {
            assert_eq!(kept(from, 5, by), to, "{from:o} by {by:?}");
        }
    }
}
