//! Names and xattrs with a meaning to union file systems, which belong to a program here: it may unpack a layer, or be
//! a union file system itself.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::fs::{FileType, RenameFlags, XattrFlags};

use crate::need;
use crate::support::need::is_root;
use crate::support::subject::{overfuse, patiently};
use crate::support::{Layers, Subject, check, scratch, show};

const ANY: XattrFlags = XattrFlags::empty();

#[test]
fn files_named_like_whiteouts_hide_nothing_however_they_are_made() {
    need!(fuse, overlay);
    let layers = "upper:
         f old 644 \"\"
         d dir 755
         lower:
         f a 644 a\n f b 644 b\n f c 644 c\n f d 644 d\n f e 644 e\n f f 644 f\n f g 644 g\n f empty 644 \"\"
         f below 644 \"\"
         d low 755
         f low/x 644 x";
    check(layers, |at| {
        at.create(".wh.a", 0o644, "").gives("ok");
        at.link("old", ".wh.b").gives("ok");
        at.rename("old", ".wh.c").gives("ok");
        at.rename("empty", ".wh.d").gives("ok");
        at.link("below", ".wh.e").gives("ok");
        at.mkdir(".wh.f", 0o755).gives("ok");
        at.symlink("x", ".wh.g").gives("ok");
        at.mknod(".wh.low", FileType::RegularFile, 0o600, (0, 0)).gives("ok");
        at.create("low/.wh..wh..opq", 0o644, "").gives("ok");
        at.create("low/.wh.x", 0o644, "full").gives("ok");
        at.truncate("low/.wh.x", 0).gives("ok");
        at.create(".wh..wh.aufs", 0o644, "").gives("ok");
        at.mkdir(".wh..wh.plnk", 0o755).gives("ok");
        at.mkdir(".wh.", 0o755).gives("ok");
        at.list("");
        at.list("low").gives(".wh..wh..opq .wh.x x");
        at.list_xattrs(".wh.a").gives("[]");
    });
}

#[test]
fn files_named_like_whiteouts_are_replaced_exchanged_and_removed() {
    need!(fuse, overlay);
    check("upper:\n lower:\n f a 644 a\n f b 644 b\n f .wh.b 644 full\n f c 644 \"\"", |at| {
        at.create(".wh.a", 0o644, "").gives("ok");
        at.rename_with(".wh.a", "c", RenameFlags::EXCHANGE).gives("ok");
        at.create("new", 0o644, "n").gives("ok");
        at.rename("new", ".wh.a").gives("ok");
        at.truncate(".wh.b", 0).gives("ok");
        at.unlink(".wh.a").gives("ok");
        at.stat(".wh.a").gives("ENOENT");
        at.create(".wh.a", 0o600, "").gives("ok");
        at.list("").gives(".wh.a .wh.b a b c");
    });
}

#[test]
fn a_lower_file_that_a_layer_keeps_plain_stays_so_when_it_comes_up() {
    need!(fuse);
    let dir = scratch();
    let layers = Layers::build(dir.path(), "upper:\nlower:\nf a 644 a\nf b 644 b");
    let at = dir.path().join("at");
    let mounted = Subject::Overfuse.mount(&layers, &at);
    fs::write(at.join(".wh.a"), "").expect("make a file");
    fs::write(at.join("d"), "").expect("make a file");
    mounted.unmount();
    // The former upper layer is a lower one now.
    let (upper, work) = (dir.path().join("upper2"), dir.path().join("work2"));
    fs::create_dir(&upper).expect("make a directory");
    fs::create_dir(&work).expect("make a directory");
    let lowers = [vec![layers.upper().to_path_buf()], layers.lowers.clone()].concat();
    let layers = Layers { lowers, upper: Some((upper, work)) };
    for _ in 0..2 {
        let mounted = Subject::Overfuse.mount(&layers, &at);
        let times = fs::FileTimes::new().set_modified(std::time::UNIX_EPOCH);
        fs::File::open(at.join(".wh.a")).and_then(|file| file.set_times(times)).expect("change a time");
        assert_eq!(show(&at), "f .wh.a 644 \"\"\nf a 644 a\nf b 644 b\nf d 644 \"\"");
        mounted.unmount();
    }
}

#[test]
fn a_file_that_the_kernel_made_is_no_whiteout_when_it_is_emptied() {
    need!(fuse);
    let dir = scratch();
    let layers = Layers::build(dir.path(), "upper:\nf .wh.a 644 full\nf .wh.b 644 full\nlower:\nf a 644 a\nf b 644 b");
    let at = dir.path().join("at");
    let mounted = Subject::Overfuse.mount(&layers, &at);
    fs::write(at.join(".wh.a"), "").expect("empty a file");
    fs::OpenOptions::new().write(true).open(at.join(".wh.b")).and_then(|file| file.set_len(0)).expect("empty a file");
    mounted.unmount();
    let mounted = Subject::Overfuse.mount(&layers, &at);
    assert_eq!(show(&at), "f .wh.a 644 \"\"\nf .wh.b 644 \"\"\nf a 644 a\nf b 644 b");
    mounted.unmount();
}

#[test]
fn attributes_that_look_like_marks_are_a_programs_own() {
    need!(root, fuse, overlay);
    let layers = "upper:\n lower:\n d d 755 +trusted.overlay.overlay.old=1\n f d/x 644 x\n lower:\n f d/y 644 y";
    check(layers, |at| {
        at.list_xattrs("d").gives("[trusted.overlay.old]");
        for key in ["trusted.overlay.opaque", "trusted.overlay.overlay.x", "user.overlay.opaque", "trusted.overlay"] {
            at.set_xattr("d", key, "y", ANY).gives("ok");
            at.get_xattr("d", key).gives("y");
        }
        at.get_xattr("d", "trusted.overlay.origin").gives("ENODATA");
        at.remove_xattr("d", "trusted.overlay.origin").gives("ENODATA");
        at.remove_xattr("d", "trusted.overlay.old").gives("ok");
        at.set_xattr("d", "trusted.overlay.opaque", "z", XattrFlags::CREATE).gives("EEXIST");
        at.set_xattr("d", "trusted.overlay.", "y", ANY);
        at.set_xattr("d", &format!("trusted.overlay.{}", "k".repeat(235)), "y", ANY);
        at.set_xattr("d", &format!("trusted.overlay.{}", "k".repeat(231)), "y", ANY).gives("ok");
        at.list_xattrs("d");
        at.set_xattr("d/x", "user.containers.override_stat", "1:1:644", ANY).gives("ok");
        at.stat("d/x").gives("100644 0:0 1 bytes links=1");
        at.list("d").gives("x y");
    });
}

#[test]
fn attributes_that_look_like_marks_are_a_programs_own_in_a_user_namespace_too() {
    need!(fuse, overlay);
    if is_root() {
        return;
    }
    check("upper:\n lower:\n d d 755 +user.overlay.overlay.old=1\n f d/x 644 x\n lower:\n f d/y 644 y", |at| {
        at.list_xattrs("d").gives("[user.overlay.old]");
        for key in ["user.overlay.opaque", "user.overlay.overlay.x"] {
            at.set_xattr("d", key, "y", ANY).gives("ok");
            at.get_xattr("d", key).gives("y");
        }
        at.get_xattr("d", "user.overlay.origin").gives("ENODATA");
        at.remove_xattr("d", "user.overlay.old").gives("ok");
        at.list("d").gives("x y");
    });
}

#[test]
fn marks_of_fuse_overlayfs_that_a_program_sets_hide_nothing() {
    need!(fuse);
    let dir = scratch();
    let layers = Layers::build(dir.path(), "upper:\nlower:\nf d/x 644 x");
    let at = dir.path().join("at");
    for _ in 0..2 {
        let mounted = Subject::Overfuse.mount(&layers, &at);
        rustix::fs::setxattr(at.join("d"), "user.fuseoverlayfs.opaque", b"y", ANY).expect("set an attribute");
        assert_eq!(show(&at), "d d 755 +user.fuseoverlayfs.opaque=y\nf d/x 644 x");
        mounted.unmount();
    }
}

#[test]
fn marks_of_overfuse_that_a_program_sets_make_nothing_of_its_files() {
    need!(fuse);
    let dir = scratch();
    let layers = Layers::build(dir.path(), "upper:\nlower:\nf f 1644 \"\"");
    let at = dir.path().join("at");
    for _ in 0..2 {
        let mounted = Subject::Overfuse.mount(&layers, &at);
        rustix::fs::setxattr(at.join("f"), "user.overlay.overfuse.device", b"y", ANY).expect("set an attribute");
        assert!(fs::symlink_metadata(at.join("f")).expect("stat").is_file());
        mounted.unmount();
    }
}

fn mount(options: &str, at: &Path) -> Result<(), String> {
    fs::create_dir_all(at).expect("make the mount point");
    let output = overfuse().args(["mount", "-o", options]).arg(at).stdin(Stdio::null()).output().expect("run overfuse");
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()) }
}

#[track_caller]
fn unmount(at: &Path) {
    let unmount = || {
        let output = Command::new("umount").arg(at).output().expect("run umount");
        if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
    };
    assert_eq!(patiently(unmount), Ok(()));
}

#[test]
fn layers_that_lie_in_one_another_are_refused_in_one_line() {
    need!(fuse);
    let dir = scratch();
    for name in ["a/sub", "b", "work"] {
        fs::create_dir_all(dir.path().join(name)).expect("make a directory");
    }
    symlink("a/sub", dir.path().join("link")).expect("make a link");
    let path = |name: &str| dir.path().join(name).display().to_string();
    for (options, inner, outer) in [
        (format!("lowerdir={}:{}", path("a"), path("a/sub")), "a/sub", "a"),
        (format!("lowerdir={}:{}:{}", path("b"), path("link"), path("a")), "link", "a"),
        (format!("lowerdir={}::{}", path("a"), path("a/sub")), "a/sub", "a"),
        (format!("lowerdir={},upperdir={},workdir={}", path("a/sub"), path("a"), path("work")), "a/sub", "a"),
        (format!("lowerdir={},upperdir={},workdir={}", path("a"), path("a"), path("work")), "a", "a"),
    ] {
        let refused = mount(&options, &dir.path().join("at")).expect_err(&options);
        let expected = format!(
            "overfuse: lower directory {} is, or lies in, {}, which the same mount uses; choose one or the other",
            path(inner),
            path(outer)
        );
        assert_eq!(refused, expected);
    }
}

#[test]
fn layers_of_data_only_give_data_and_nothing_else() {
    need!(root, fuse, overlay);
    let dir = scratch();
    let text = "lower:
         f f 640 5*x +trusted.overlay.metacopy=\"\" +trusted.overlay.redirect=/data/1
         f g 644 6*x +trusted.overlay.metacopy=\"\" +trusted.overlay.redirect=/data/2
         lower:
         f h 644 own
         lower:
         f data/1 600 first
         f data/other 600 x
         lower:
         f data/1 600 below
         f data/2 600 second";
    let layers = Layers::build(dir.path(), text);
    let [a, b, c, d] = [0, 1, 2, 3].map(|index| layers.lowers[index].display().to_string());
    let at = dir.path().join("at");
    let shows = "f f 640 first\nf g 644 second\nf h 644 own";
    for options in
        [format!("lowerdir={a}:{b}::{c}::{d}"), format!("lowerdir+={a},lowerdir+={b},datadir+={c},datadir+={d}")]
    {
        mount(&options, &at).expect("mount");
        let shown = show(&at);
        unmount(&at);
        assert_eq!(shown, shows, "{options}");
    }
    let options = format!("lowerdir={a}:{b}::{c}::{d},metacopy=on");
    let by_kernel = Command::new("mount").args(["-t", "overlay", "overlay", "-o", &options]).arg(&at).status();
    assert!(by_kernel.expect("run mount").success());
    let shown = show(&at);
    unmount(&at);
    assert_eq!(shown, shows, "the kernel");
}

#[test]
fn marks_of_users_lead_root_nowhere() {
    need!(root, fuse);
    let dir = scratch();
    let text = "lower:
         d d 755 +user.overlay.redirect=/secret
         f f 644 5*x +user.overlay.metacopy=\"\" +user.overlay.redirect=/secret/key
         d g 755 +user.fuseoverlayfs.redirect=/secret
         lower:
         f secret/key 600 inner";
    let layers = Layers::build(dir.path(), text);
    let mounted = Subject::Overfuse.mount(&layers, &dir.path().join("at"));
    let at = mounted.at();
    assert_eq!(fs::read_dir(at.join("d")).expect("list").count(), 0);
    assert_eq!(fs::read_dir(at.join("g")).expect("list").count(), 0);
    assert_eq!(fs::read(at.join("f")).expect("read"), b"xxxxx");
    mounted.unmount();
}
