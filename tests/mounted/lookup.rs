//! What a stack shows: the newest layer decides, directories merge, marks hide.

use crate::need;
use crate::support::check;

#[test]
fn the_topmost_file_wins() {
    need!(fuse, overlay);
    check("upper:\n lower:\n f x 644 new\n lower:\n f x 600 old", |at| {
        at.read("x").gives("new");
        at.stat("x").gives("100644 0:0 3 bytes links=1");
    });
}
