//! Protection from change, as `chattr +i` and `+a` give it.
//!
//! In the upper layer it is a mark, as the kernel's overlayfs has it: real flags would bind the union too,
//! which must link, rename and copy what nobody else may.

use crate::sys::Stat;

use super::marks::{Mark, Marks};

/// What nobody may do to a file or directory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Protection {
    /// Nothing at all may change.
    pub immutable: bool,
    /// Content may be added and nothing else may change.
    pub append_only: bool,
}

impl Protection {
    pub(super) fn of(stat: &Stat, marks: &Marks) -> Protection {
        let marked = marks.get(Mark::Protection).unwrap_or_default();
        Protection {
            immutable: stat.immutable || marked.contains(&b'i'),
            append_only: stat.append_only || marked.contains(&b'a'),
        }
    }

    /// What the mark says; none where there is nothing to say.
    pub fn encode(self) -> Option<&'static [u8]> {
        match (self.append_only, self.immutable) {
            (false, false) => None,
            (true, false) => Some(b"a"),
            (false, true) => Some(b"i"),
            (true, true) => Some(b"ai"),
        }
    }
}
