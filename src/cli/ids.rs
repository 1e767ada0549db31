//! Finds this host's `newuidmap` and `newgidmap`, which map subordinate ids.

use crate::privilege::IdPrograms;

/// The programs on `PATH`; `None` unless both are there.
pub(super) fn programs() -> Option<IdPrograms> {
    let path = std::env::var_os("PATH")?;
    IdPrograms::find(&std::env::split_paths(&path).collect::<Vec<_>>())
}
