//! Repeats all tests of this crate as ordinary users who are root of a user namespace: with `user.overlay.*` marks, and
//! without devices and `trusted.*`.

use crate::need;
use crate::support::need::{PLAIN_USER, USER, overrides_modes};
use crate::support::{run_all_in_namespace, run_all_in_own_namespace};

#[test]
fn all_of_this_holds_in_a_user_namespace() {
    need!(root, fuse, overlay, users);
    run_all_in_namespace(USER, &["--map-auto"], "ids,fuse,overlay", &[]);
}

/// The user has no subordinate ids, so the namespace has one user and files cannot be given to another.
#[test]
fn all_of_this_holds_in_a_user_namespace_of_a_single_id() {
    need!(root, fuse, overlay, users);
    run_all_in_namespace(PLAIN_USER, &[], "fuse,overlay", &["large_directories", "databases"]);
}

/// An ordinary user cannot mount overlayfs outside a namespace, so most tests would be skipped.
#[test]
fn all_of_this_holds_in_a_user_namespace_of_who_runs_it() {
    if overrides_modes() {
        // Root uses the two tests above; inside a namespace this is already the repeated run.
        return;
    }
    need!(fuse, namespace);
    run_all_in_own_namespace("fuse", &["large_directories", "databases"]);
}
