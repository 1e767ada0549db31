//! Making nodes of every kind, and keeping those of lower layers.

use rustix::fs::FileType;

use crate::need;
use crate::support::check;

#[test]
fn every_kind_of_node_can_be_made() {
    need!(root, fuse, overlay);
    check("upper:\n lower:\n d below 755", |at| {
        at.mknod("below/char", FileType::CharacterDevice, 0o600, (1, 3)).gives("ok");
        at.mknod("below/block", FileType::BlockDevice, 0o660, (7, 300)).gives("ok");
        at.mknod("fifo", FileType::Fifo, 0o640, (0, 0)).gives("ok");
        at.mknod("socket", FileType::Socket, 0o700, (0, 0)).gives("ok");
        at.mknod("file", FileType::RegularFile, 0o604, (0, 0)).gives("ok");
        at.stat("below/char").gives("20600 0:0 0 bytes links=1");
    });
}

#[test]
fn fifos_sockets_and_files_need_no_privilege() {
    need!(fuse, overlay);
    check("upper:\n lower:\n", |at| {
        at.mknod("fifo", FileType::Fifo, 0o640, (0, 0)).gives("ok");
        at.mknod("socket", FileType::Socket, 0o700, (0, 0)).gives("ok");
        at.mknod("file", FileType::RegularFile, 0o604, (0, 0)).gives("ok");
    });
}

#[test]
fn a_node_takes_the_place_of_a_whiteout() {
    need!(root, fuse, overlay);
    check("upper:\n w a\n w b\n lower:\n f a 644 x\n d b 755", |at| {
        at.mknod("a", FileType::CharacterDevice, 0o600, (1, 5)).gives("ok");
        at.mknod("b", FileType::Fifo, 0o600, (0, 0)).gives("ok");
        at.mknod("a", FileType::Fifo, 0o600, (0, 0)).gives("EEXIST");
    });
}

#[test]
fn lower_nodes_keep_kind_and_numbers_when_they_come_up() {
    need!(root, fuse, overlay);
    check("upper:\n lower:\n c c 600 1:3 @5:6\n b b 660 7:1\n p p 644\n s s 755\n lower:\n c c 600 9:9", |at| {
        for name in ["c", "b", "p", "s"] {
            at.chmod(name, 0o604).gives("ok");
            at.utimes(name, 1_100_000_000, 5).gives("ok");
        }
    });
}
