//! `statfs` shows the free space of the upper layer.

use std::io;

use crate::need;
use crate::support::{check, check_read_only};

fn room(path: &std::path::Path) -> io::Result<rustix::fs::StatVfs> {
    Ok(rustix::fs::statvfs(path)?)
}

#[test]
fn sizes_are_those_of_the_file_system_of_the_upper() {
    need!(fuse, overlay);
    check("upper:\n lower:\n f x 644 x", |at| {
        let shown =
            room(&at.path("x")).map(|of| format!("{} {} {} {}", of.f_bsize, of.f_blocks, of.f_files, of.f_namemax));
        at.note("statvfs x", shown);
        let root = room(&at.path("")).map(|of| of.f_namemax.to_string());
        at.note("statvfs", root).gives("255");
    });
}

#[test]
fn a_stack_without_an_upper_says_that_it_is_read_only() {
    need!(fuse, overlay);
    check_read_only("lower:\n f x 644 x\n lower:\n f y 644 y", |at| {
        let flags = room(&at.path("")).map(|of| of.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY).to_string());
        at.note("read-only", flags).gives("true");
    });
}
