//! Without an upper layer nothing can be changed, and every attempt gets the right error.

use rustix::fs::{Access, FileType, XattrFlags};

use crate::need;
use crate::support::check_read_only;

#[test]
fn every_change_is_refused_as_a_read_only_file_system() {
    need!(fuse, overlay);
    check_read_only("lower:\n f x 666 x +user.k=v\n d d 777\n d e 777\n lower:\n f y 666 y\n f d/z 644 z", |at| {
        at.create("new", 0o644, "x").gives("EROFS");
        at.mkdir("new", 0o755).gives("EROFS");
        at.mknod("new", FileType::Fifo, 0o644, (0, 0)).gives("EROFS");
        at.symlink("x", "new").gives("EROFS");
        at.link("x", "new").gives("EROFS");
        at.unlink("x").gives("EROFS");
        at.rmdir("e").gives("EROFS");
        at.rename("x", "new").gives("EROFS");
        at.write("x", "new").gives("EROFS");
        at.append("y", "new").gives("EROFS");
        at.truncate("x", 0).gives("EROFS");
        at.chmod("x", 0o600).gives("EROFS");
        at.chown("d", 1, 1).gives("EROFS");
        at.utimes("x", 1, 1).gives("EROFS");
        at.set_xattr("x", "user.n", "v", XattrFlags::empty()).gives("EROFS");
        at.remove_xattr("x", "user.k").gives("EROFS");
        at.access("x", Access::WRITE_OK).gives("EROFS");
        at.access("x", Access::READ_OK).gives("ok");
    });
}

#[test]
fn what_exists_cannot_be_made_and_that_is_the_reason_given() {
    need!(fuse, overlay);
    check_read_only("lower:\n f x 644 x\n d d 755\n lower:\n f y 644 y", |at| {
        at.create("x", 0o644, "x").gives("EEXIST");
        at.mkdir("d", 0o755).gives("EEXIST");
        at.unlink("nowhere").gives("EROFS");
    });
}
