//! Ordinary users on the host itself: a mount through fusermount3, over directories of their own.
//!
//! The kernel mounts overlayfs for them in a user namespace alone, so each side runs the same shell
//! script and prints what it then sees.
#![allow(clippy::expect_used, clippy::unwrap_used, unsafe_code)]

#[path = "../support/mod.rs"]
mod support;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use support::need::{PLAIN_USER, USER, User, user};
use support::tree::walk;
use support::{Layers, show};
use tempfile::TempDir;

const LAYERS: &str = "
    upper:
    w removed
    f d/top 644 top
    lower:
    f removed 644 x
    f d/a 644 a
    f d/b 600 b +user.k=v
    f gone/x 644 x
    f m 640 m
    lower:
    f d/b 644 old
    f d/c 644 c
    l s d/c
    p pipe 644";

const CHANGES: &str = "
    echo new >>at/d/a
    rm at/d/b
    rm -r at/gone
    mkdir at/gone
    echo x >at/gone/y
    mv at/m at/n
    ln at/n at/o
    chmod 600 at/o
    ln -s d/a at/t
    mkfifo at/fifo
    touch -d @1100000000 at/d/c
    echo back >at/removed";

/// All that a user sees of a tree, but owners, which namespaces rename, and new times.
const LOOK: &str = "
    find at ! -type d -printf '%P %y %m %n %l\\n' | sort
    find at -type d -printf '%P %m\\n' | sort
    find at -type f | sort | while read -r file; do echo \"$file: $(cat $file)\"; done
    stat -c %Y at/d/c";

/// A directory that a user owns, with layers, a mount point and a copy of the program.
struct Desk {
    user: User,
    dir: TempDir,
    layers: Layers,
    overfuse: PathBuf,
}

impl Desk {
    fn of(name: &str) -> Desk {
        let user = user(name).expect("need! has looked");
        // The build directory may be out of reach for others.
        let dir = tempfile::Builder::new().prefix("overfuse-").tempdir_in("/var/tmp").expect("make a directory");
        let layers = Layers::build(dir.path(), LAYERS);
        std::fs::create_dir(dir.path().join("at")).expect("make a mount point");
        for path in walk(dir.path()).iter().map(PathBuf::as_path).chain([Path::new("")]) {
            let give = std::os::unix::fs::lchown(dir.path().join(path), Some(user.uid), Some(user.gid));
            give.expect("give a file away");
        }
        let overfuse = dir.path().join("overfuse");
        support::copy_program(support::subject::overfuse().get_program(), &overfuse);
        std::fs::set_permissions(&overfuse, PermissionsExt::from_mode(0o755)).expect("share the program");
        Desk { user, dir, layers, overfuse }
    }

    /// Runs `script` as the user, `set -e`, and returns what it prints.
    #[track_caller]
    fn run(&self, script: &str) -> String {
        self.finish(self.user.command("sh").args(["-ec", script]).current_dir(self.dir.path()))
    }

    /// As `run`, with the kernel's overlayfs of the same layers at `at`.
    #[track_caller]
    fn run_on_kernel(&self, script: &str) -> String {
        let mount = format!("mount -t overlay overlay -o userxattr,{} at\n{script}", self.layers.options());
        let mut command = self.user.command("unshare");
        command.args(["--user", "--map-root-user", "--mount", "--propagation", "slave", "--", "sh", "-ec", &mount]);
        self.finish(command.current_dir(self.dir.path()))
    }

    #[track_caller]
    fn finish(&self, command: &mut std::process::Command) -> String {
        let output = command.output().expect("start a program");
        let [out, err] = [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned());
        assert!(output.status.success(), "as {}: {}\n{out}\n{err}", self.user.name, output.status);
        out
    }

    /// Runs `script` on Overfuse's mount of the layers.
    #[track_caller]
    fn run_on_overfuse(&self, script: &str) -> String {
        let overfuse = self.overfuse.display();
        let options = self.layers.options();
        self.run(&format!("{overfuse} mount -o {options} at\ntrap '{overfuse} umount at' EXIT\n{script}"))
    }
}

#[test]
fn users_change_a_stack_of_their_own_directories_as_the_kernel_would() {
    need!(root, fuse, overlay, users);
    for name in [USER, PLAIN_USER] {
        let (kernel, overfuse) = (Desk::of(name), Desk::of(name));
        assert_eq!(overfuse.run_on_overfuse(LOOK), kernel.run_on_kernel(LOOK), "before any change");
        let both = format!("{CHANGES}\n{LOOK}");
        let expected = kernel.run_on_kernel(&both);
        assert_eq!(overfuse.run_on_overfuse(&both), expected, "after the changes");
        assert_eq!(overfuse.run_on_overfuse(LOOK), expected, "after a remount");
        assert_eq!(overfuse.run_on_kernel(LOOK), expected, "when the kernel mounts the upper");
        assert_eq!(kernel.run_on_overfuse(LOOK), expected, "when Overfuse mounts the kernel's upper");
    }
}

#[test]
fn what_a_user_left_in_the_upper_is_overlay_format() {
    need!(root, fuse, users);
    for name in [USER, PLAIN_USER] {
        let desk = Desk::of(name);
        desk.run_on_overfuse("rm at/d/a at/m && rm -r at/gone && mkdir at/gone && touch at/gone/new");
        let upper = show(desk.layers.upper()).replace(&format!(" @{}:{}", desk.user.uid, desk.user.gid), "");
        assert_eq!(
            upper, "d d 755\nw d/a\nf d/top 644 top\no gone 755\nf gone/new 644 \"\"\nw m\nw removed",
            "as {name}"
        );
    }
}

#[test]
fn nobody_else_looks_into_the_mount_of_a_user() {
    need!(root, fuse, users);
    let desk = Desk::of(USER);
    let other = user(PLAIN_USER).expect("need! has looked");
    desk.run("chmod 755 .");
    let look = || {
        let mut command = other.command("ls");
        command.arg(desk.dir.path().join("at")).output().expect("start ls").status.success()
    };
    assert!(look(), "before the mount, the directory is open to all");
    let overfuse = desk.overfuse.display();
    desk.run(&format!("{overfuse} mount -o {} at", desk.layers.options()));
    let seen = look();
    desk.run(&format!("{overfuse} umount at"));
    assert!(!seen);
}

#[test]
fn fusermount_ends_the_mount_of_a_user_and_its_process() {
    need!(root, fuse, users);
    let desk = Desk::of(PLAIN_USER);
    let overfuse = desk.overfuse.display().to_string();
    let running =
        format!("for _ in 1 2 3 4 5 6 7 8 9 10; do pgrep -f '^{overfuse} mount' || exit 0; sleep 0.2; done; exit 1");
    desk.run(&format!("{overfuse} mount -o {} at; pgrep -f '^{overfuse} mount'", desk.layers.options()));
    desk.run("echo x >at/d/new; fusermount3 -u at; test ! -e at/d");
    desk.run(&running);
    assert!(desk.layers.upper().join("d/new").exists());
}

#[test]
fn a_mount_outlives_the_end_of_the_one_before_it() {
    need!(root, fuse, users);
    for name in [USER, PLAIN_USER] {
        let desk = Desk::of(name);
        let (overfuse, options) = (desk.overfuse.display(), desk.layers.options());
        // The process of the mount before is still ending when the next is made.
        let round = format!("{overfuse} mount -o {options} at; test -e at/d; {overfuse} umount at; test ! -e at/d");
        desk.run(&format!("for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do {round}; done"));
    }
}
