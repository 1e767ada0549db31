//! Modes of new files, access control lists and groups.

use std::process::Command;

use crate::need;
use crate::support::{At, check};

const USER: u32 = 1000;
const GROUP: u32 = 1001;

/// Runs `script` in the shell at the root of the mount.
#[track_caller]
fn shell(at: &At, script: &str) -> String {
    let output = Command::new("sh").args(["-ec", script]).current_dir(at.path("")).output().expect("start sh");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{script}: {}\n{said}{}", output.status, String::from_utf8_lossy(&output.stderr));
    said
}

const MAKE_ONE_OF_EACH: &str = "for mask in 0 022 027 077 0777; do for dir in u l; do
    umask $mask; mkdir $dir/d$mask; touch $dir/f$mask; mkfifo $dir/p$mask; ln -s f $dir/l$mask; done; done";

#[test]
fn a_mask_takes_bits_from_every_kind_of_new_entry() {
    need!(fuse, overlay);
    check("upper:\n d u 755\n lower:\n d l 755", |at| {
        shell(at, MAKE_ONE_OF_EACH);
        at.stat("l/f027").gives("100640 0:0 0 bytes links=1");
        at.stat("l/d077").gives("40700 0:0");
        at.stat("l/p022").gives("10644 0:0 0 bytes links=1");
        at.stat("l/l077").gives("120777 0:0 1 bytes links=1");
    });
}

#[test]
fn a_default_list_takes_the_place_of_the_mask() {
    need!(ids, fuse, overlay, acl);
    check("upper:\n d u 755\n lower:\n d l 755", |at| {
        shell(at, "setfacl -d -m u:1000:rwx,g:1001:r-x,m::rwx,o::--- u l");
        shell(at, MAKE_ONE_OF_EACH);
        at.list_xattrs("l/f0777").gives("[system.posix_acl_access]");
        at.list_xattrs("l/d0777").gives("[system.posix_acl_access system.posix_acl_default]");
        shell(
            at,
            "mkdir l/d0777/deeper; touch l/d0777/deeper/still; getfacl -np l/d0777/deeper/still | grep -q '^user:1000:rwx'",
        );
    });
}

#[test]
fn a_default_list_without_names_gives_plain_modes() {
    need!(fuse, overlay, acl);
    check("upper:\n d u 755\n lower:\n d l 755", |at| {
        shell(at, "setfacl -d -m u::rwx,g::r-x,o::--- u l");
        shell(at, MAKE_ONE_OF_EACH);
        at.stat("l/f0777").gives("100640 0:0 0 bytes links=1");
    });
}

#[test]
fn lists_are_shown_set_changed_and_removed() {
    need!(ids, fuse, overlay, acl);
    check("upper:\n f u 644 u\n lower:\n f l 644 l\n d d 755", |at| {
        shell(at, "setfacl -m u:1000:rw u l; setfacl -m d:g:1001:rx d");
        for name in ["u", "l", "d"] {
            at.note(format_args!("getfacl {name}"), Ok(shell(at, &format!("getfacl -np {name}"))));
        }
        // A change of the mode changes the list, and the other way round.
        at.chmod("l", 0o600).gives("ok");
        at.note("getfacl l", Ok(shell(at, "getfacl -np l")));
        shell(at, "setfacl -m m::rwx l; setfacl -x u:1000 u; setfacl -k d");
        for name in ["u", "l", "d"] {
            at.stat(name);
            at.note(format_args!("getfacl {name}"), Ok(shell(at, &format!("getfacl -np {name}"))));
        }
        shell(at, "setfacl -b u l d");
        for name in ["u", "l", "d"] {
            at.list_xattrs(name).gives("[]");
        }
    });
}

#[test]
fn ls_marks_what_has_a_list() {
    need!(ids, fuse, overlay, acl);
    check("upper:\n f u 644 u\n lower:\n f l 644 l\n f plain 644 x\n d d 755", |at| {
        shell(at, "setfacl -m u:1000:rw u l; setfacl -m d:g:1001:rx d");
        let marked = shell(at, "ls -l | sed 1d | awk '{ print substr($1, 11), $NF }'");
        at.note("ls", Ok(marked)).gives("+ d\n+ l\n plain\n+ u\n");
    });
}

#[test]
fn lists_of_a_lower_layer_count_before_and_after_they_come_up() {
    need!(root, fuse, overlay);
    // owner rw-, user 1000 rw-, group 1234 r--, group ---, mask rw-, other ---.
    let list = r#"+system.posix_acl_access="\x02\x00\x00\x00\x01\x00\x06\x00\xff\xff\xff\xff\x02\x00\x06\x00\xe8\x03\x00\x00\x04\x00\x00\x00\xff\xff\xff\xff\x08\x00\x04\x00\xd2\x04\x00\x00\x10\x00\x06\x00\xff\xff\xff\xff\x20\x00\x00\x00\xff\xff\xff\xff""#;
    check(&format!("upper:\n lower:\n f a 660 x {list}\n f b 660 x {list}"), |at| {
        for name in ["a", "b"] {
            at.as_member(USER, GROUP, &[], |at| {
                at.append(name, "+").gives("ok");
            });
            at.as_member(USER + 1, GROUP, &[1234], |at| {
                at.read(name);
                at.append(name, "+").gives("EACCES");
            });
            at.as_member(USER + 1, GROUP, &[], |at| {
                at.read(name).gives("EACCES");
            });
            at.list_xattrs(name);
        }
    });
}

#[test]
fn another_users_list_is_not_his_to_change() {
    need!(root, fuse, overlay);
    let list =
        [2u8, 0, 0, 0, 1, 0, 6, 0, 255, 255, 255, 255, 4, 0, 4, 0, 255, 255, 255, 255, 32, 0, 4, 0, 255, 255, 255, 255];
    check("upper:\n lower:\n f theirs 666 x\n f mine 600 x @1000:1001", |at| {
        at.as_member(USER, GROUP, &[], |at| {
            for name in ["theirs", "mine"] {
                let none = rustix::fs::XattrFlags::empty();
                let set = rustix::fs::setxattr(at.path(name), "system.posix_acl_access", &list, none);
                at.note(format_args!("set the list of {name}"), set.map(|()| "").map_err(Into::into));
                at.stat(name);
            }
        });
    });
}

#[test]
fn the_other_groups_of_a_user_count() {
    need!(root, fuse, overlay);
    let layers = "upper:\n d u 2770 @0:1234\n f f 640 x @0:1234\n lower:\n d l 2770 @0:1234\n f l/file 660 x @0:1234";
    check(layers, |at| {
        at.as_member(USER, GROUP, &[], |at| {
            at.read("f").gives("EACCES");
            at.create("u/new", 0o644, "x").gives("EACCES");
        });
        at.as_member(USER, GROUP, &[5, 1234], |at| {
            at.read("f").gives("x");
            at.append("f", "+").gives("EACCES");
            at.append("l/file", "+").gives("ok");
            for dir in ["u", "l"] {
                at.create(&format!("{dir}/file2"), 0o2755, "x").gives("ok");
                at.mkdir(&format!("{dir}/dir"), 0o755).gives("ok");
                at.mknod(&format!("{dir}/fifo"), rustix::fs::FileType::Fifo, 0o2755, (0, 0)).gives("ok");
                at.symlink("x", &format!("{dir}/link")).gives("ok");
            }
        });
        for path in ["u/file2", "l/file2", "l/dir", "l/fifo", "l/link"] {
            at.stat(path);
        }
    });
}

#[test]
fn who_is_no_member_makes_no_set_group_id_file() {
    need!(root, fuse, overlay);
    check("upper:\n d u 2777 @0:1234\n lower:\n d l 2777 @0:1234", |at| {
        at.as_member(USER, GROUP, &[], |at| {
            for dir in ["u", "l"] {
                at.create(&format!("{dir}/executable"), 0o2775, "x").gives("ok");
                at.create(&format!("{dir}/plain"), 0o2664, "x").gives("ok");
                at.mknod(&format!("{dir}/node"), rustix::fs::FileType::RegularFile, 0o2775, (0, 0)).gives("ok");
                at.mkdir(&format!("{dir}/dir"), 0o775).gives("ok");
            }
        });
        for path in ["executable", "plain", "node", "dir"] {
            at.stat(&format!("u/{path}"));
            at.stat(&format!("l/{path}"));
        }
    });
}

#[test]
fn in_a_sticky_directory_only_owners_remove_and_replace() {
    need!(root, fuse, overlay);
    check(
        "upper:\n d tmp 1777\n f tmp/other-u 666 x @77:77\n lower:\n d tmp 1777\n f tmp/mine 600 x @1000:1001\n f tmp/other 666 x @77:77
         d tmp/theirs 777 @77:77\n d own 1777 @1000:1001\n f own/other 600 x @77:77",
        |at| {
            at.as_member(USER, GROUP, &[], |at| {
                at.rename("tmp/mine", "tmp/other").gives("EPERM");
                at.rename("tmp/other", "tmp/moved").gives("EPERM");
                at.rename_with("tmp/mine", "tmp/other", rustix::fs::RenameFlags::EXCHANGE).gives("EPERM");
                at.unlink("tmp/other-u").gives("EPERM");
                at.rmdir("tmp/theirs").gives("EPERM");
                at.append("tmp/other", "+").gives("ok");
                // The owner of the directory may remove its entries.
                at.unlink("own/other").gives("ok");
                at.create("tmp/new", 0o600, "x").gives("ok");
                at.rename("tmp/new", "tmp/newer").gives("ok");
                at.unlink("tmp/newer").gives("ok");
            });
        },
    );
}
