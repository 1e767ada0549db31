//! Where this host's programs are that hand out subordinate ids.

use crate::privilege::IdPrograms;

/// Those on `PATH`, if both are there.
pub(super) fn programs() -> Option<IdPrograms> {
    let path = std::env::var_os("PATH")?;
    IdPrograms::find(&std::env::split_paths(&path).collect::<Vec<_>>())
}
