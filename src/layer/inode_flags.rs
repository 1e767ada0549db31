//! The flags immutable and append-only, which `chattr +i` and `+a` set.
//!
//! The upper layer keeps them as a mark, like the kernel's overlayfs. Real inode flags would also stop the union
//! itself, which must still be able to link, rename and copy the file.

use crate::sys::Stat;

use super::marks::{Mark, Marks};

/// Which changes of a file or directory are forbidden.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Protection {
    /// Nothing at all may change.
    pub immutable: bool,
    /// Content may be appended; nothing else may change.
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

    /// The value of the mark; `None` where the file needs no mark.
    pub fn encode(self) -> Option<&'static [u8]> {
        match (self.append_only, self.immutable) {
            (false, false) => None,
            (true, false) => Some(b"a"),
            (false, true) => Some(b"i"),
            (true, true) => Some(b"ai"),
        }
    }
}
