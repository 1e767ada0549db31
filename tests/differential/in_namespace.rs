//! Runs fewer of the sequences again as an ordinary user who is root of a user namespace. Marks are `user.overlay.*`
//! there, and the kernel supports neither redirects nor an index.

use crate::need;
use crate::support::need::USER;
use crate::support::run_all_in_namespace;

#[test]
fn all_of_this_holds_in_a_user_namespace() {
    need!(root, fuse, overlay, users);
    run_all_in_namespace(USER, &["--map-auto"], "fuse,overlay", &[]);
}
