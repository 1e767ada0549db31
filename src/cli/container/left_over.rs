//! Removes what killed monitors of `--rm` containers left, before a command lists containers.

use crate::cli::ids;
use crate::container::{left_over, sweep};
use crate::privilege;
use crate::store::Store;
use crate::sys::{Namespaces, process};

/// Removes them in a process of its own: only in a user namespace can an ordinary user remove files of subordinate ids,
/// and a process cannot leave it again. Errors only leave the containers in the list.
pub(in crate::cli) fn remove(store: &Store) {
    if left_over(store).is_ok_and(|containers| containers.is_empty()) {
        return;
    }
    let work = || {
        let removed = privilege::enter_for_store(ids::programs().as_ref()).is_ok() && sweep(store).is_ok();
        i32::from(!removed)
    };
    let ended = process::spawn(Namespaces::empty(), work).and_then(process::Child::wait);
    tracing::debug!(?ended, "swept");
}
