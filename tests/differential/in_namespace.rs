//! The sequences once more, fewer of them, by an ordinary user who is root of a user namespace: with `user.overlay.*`
//! marks, and a kernel that takes neither redirects nor an index there.

use crate::need;
use crate::support::need::USER;
use crate::support::run_all_in_namespace;

#[test]
fn all_of_this_holds_in_a_user_namespace() {
    need!(root, fuse, overlay, users);
    run_all_in_namespace(USER, &["--map-auto"], "fuse,overlay", &[]);
}
