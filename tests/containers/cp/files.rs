//! What is kept of files: kinds, modes, times, owners; and what a copy does to a container.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};

use crate::exec;
use crate::host::{hosts, root};

use super::{both, tree};

#[test]
fn files_belong_to_root_inside_and_to_the_caller_outside() {
    for host in hosts() {
        let chown = if host.has_users() { "chown -R 7:8 /d" } else { "true" };
        both(
            &host,
            &format!("mkdir /d; echo x >/d/f; {chown}; chmod 6751 /d/f; chmod 1777 /d; touch -d @1000000000 /d/f /d"),
            |target| {
                host.shell("rm -rf out; mkdir out");
                target.copies(&["box:/d", "out"]);
                let caller = fs::metadata(host.path("store")).unwrap();
                for (path, mode) in [("out/d", 0o1777), ("out/d/f", 0o751)] {
                    let made = fs::metadata(host.path(path)).unwrap();
                    assert_eq!((made.uid(), made.gid()), (caller.uid(), caller.gid()), "{target}: {path}");
                    assert_eq!((made.mode() & 0o7777, made.mtime()), (mode, 1_000_000_000), "{target}: {path}");
                }
                target.copies(&["out/d/f", "box:/copy"]);
                let copy = &target.archive("/copy")["copy"];
                assert_eq!((copy.owner, copy.mode, copy.mtime), ((0, 0), 0o751, 1_000_000_000), "{target}");
            },
        );
    }
}

#[test]
fn with_archive_owners_and_set_id_bits_are_kept() {
    for host in hosts() {
        both(
            &host,
            "mkdir /d; echo x >/d/f; chmod 4751 /d/f; chown 7:8 /d/f 2>/dev/null; chmod 4751 /d/f; mkdir /new",
            |target| {
                host.shell("rm -rf out");
                let output = target.cp(&["-a", "box:/d", "out"]);
                if !host.is_root() {
                    let said = String::from_utf8_lossy(&output.stderr);
                    assert!(
                        said.ends_with("cannot set its owner: Operation not permitted (os error 1)\n"),
                        "{target}: {said}"
                    );
                    return;
                }
                assert!(output.status.success(), "{target}: {output:?}");
                let made = fs::metadata(host.path("out/f")).unwrap();
                assert_eq!((made.uid(), made.gid(), made.mode() & 0o7777), (7, 8, 0o4751), "{target}");
                target.copies(&["-a", "out/f", "box:/new"]);
                let copy = &target.archive("/new/f")["f"];
                assert_eq!((copy.owner, copy.mode), ((7, 8), 0o4751), "{target}");
            },
        );
    }
}

#[test]
fn every_kind_of_file_is_copied_or_left_out_with_a_line() {
    for host in hosts() {
        both(&host, "mkdir /k; mknod /k/pipe p; echo x >/k/one; ln /k/one /k/two; ln -s /gone /k/link", |target| {
            host.shell("rm -rf out");
            target.copies(&["box:/k", "out"]);
            assert!(fs::symlink_metadata(host.path("out/pipe")).unwrap().file_type().is_fifo(), "{target}");
            assert_eq!(fs::read_link(host.path("out/link")).unwrap().to_str(), Some("/gone"), "{target}");
            let (one, two) = (fs::metadata(host.path("out/one")).unwrap(), fs::metadata(host.path("out/two")).unwrap());
            assert_eq!((one.ino(), one.nlink()), (two.ino(), 2), "{target}");
            target.copies(&["out", "box:/back"]);
            let got = target.archive("/back/.");
            let kinds: String = got.values().map(|entry| entry.kind).collect();
            assert_eq!(kinds, "52061", "{target}: {got:?}");
        });
    }
}

#[test]
fn devices_do_not_come_out_of_a_container() {
    for host in hosts() {
        let running = exec::start(&host, &[]);
        let output = host.overfuse().args(["cp", "box:/dev/zero", "zero"]).output().unwrap();
        let line = "overfuse: /dev/zero is a device: devices are not copied to the host\n";
        assert_eq!(String::from_utf8_lossy(&output.stderr), line, "{host}");
        let output = host.overfuse().args(["cp", "box:/dev", "dev"]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success() && said.contains("left out a device path=\"dev/zero\""), "{host}: {said}");
        assert_eq!(fs::read_dir(host.path("dev/pts")).unwrap().count(), 0, "{host}: a view of the kernel is empty");
        assert!(!host.path("dev/zero").exists() && host.path("dev/stdin").is_symlink(), "{host}");
        let output = host.overfuse().args(["cp", "box:/proc/version", "version"]).output().unwrap();
        let line = "overfuse: /proc/version: that is a view of the kernel and no data\n";
        assert_eq!(String::from_utf8_lossy(&output.stderr), line, "{host}");
        running.end();
    }
}

#[test]
fn a_device_goes_into_a_container_where_the_caller_may_make_one_and_does_nothing_there() {
    let Some(host) = root() else { return };
    host.shell("mknod -m 666 zero c 1 5");
    both(&host, "true", |target| {
        target.copies(&["zero", "box:/zero"]);
        assert_eq!(target.archive("/zero")["zero"].kind, '3', "{target}");
        if target.to_string().ends_with("running") {
            assert_eq!(exec::prints(&host, &[], "head -c 3 /zero 2>/dev/null | wc -c"), "0");
        }
    });
}

#[test]
fn a_copy_is_a_change_like_any_other() {
    for host in hosts() {
        fs::write(host.path("new"), "new\n").unwrap();
        let run =
            host.overfuse().args(["run", "--name", "box", "tiny", "-c", "rm /etc/group /bin/wc"]).output().unwrap();
        assert!(run.status.success());
        for args in [["new", "box:/etc/passwd"], ["new", "box:/etc/group"], ["new", "box:/tmp"]] {
            assert!(host.overfuse().arg("cp").args(args).status().unwrap().success(), "{host}: {args:?}");
        }
        let gone = host.overfuse().args(["cp", "box:/bin/wc", "-"]).output().unwrap();
        assert_eq!(
            String::from_utf8_lossy(&gone.stderr),
            "overfuse: /bin/wc: No such file or directory (os error 2)\n"
        );
        let diff = host.overfuse().args(["diff", "box"]).output().unwrap();
        let expected = "C /bin\nD /bin/wc\nC /etc\nC /etc/group\nC /etc/passwd\nA /srv\nC /tmp\nA /tmp/new\n";
        assert_eq!(String::from_utf8_lossy(&diff.stdout), expected, "{host}");
        let out = host.overfuse().args(["cp", "box:/etc/group", "out"]).status().unwrap();
        assert!(out.success());
        assert_eq!(fs::read_to_string(host.path("out")).unwrap(), "new\n", "{host}");
    }
}

#[test]
fn mounts_of_a_running_container_are_copied_from_and_to() {
    for host in hosts() {
        host.shell("mkdir -m 777 data; echo outside >data/f; echo new >new; chmod 666 data/f");
        let volume = format!("{}:/data", host.path("data").display());
        let frozen = format!("{}:/frozen:ro", host.path("data").display());
        let running = exec::start(&host, &["-v", &volume, "-v", &frozen]);
        let cp = |args: [&str; 2]| host.overfuse().arg("cp").args(args).output().unwrap();
        assert!(cp(["box:/data/f", "out"]).status.success(), "{host}");
        assert_eq!(fs::read_to_string(host.path("out")).unwrap(), "outside\n", "{host}");
        assert!(cp(["new", "box:/data/made"]).status.success(), "{host}");
        assert_eq!(fs::read_to_string(host.path("data/made")).unwrap(), "new\n", "{host}");
        let output = cp(["new", "box:/frozen/made2"]);
        assert!(String::from_utf8_lossy(&output.stderr).ends_with("Read-only file system (os error 30)\n"), "{host}");
        assert!(cp(["new", "box:/etc/hosts"]).status.success(), "{host}: a mounted file");
        assert_eq!(exec::prints(&host, &[], "cat /etc/hosts /data/made"), "new\nnew", "{host}");
        exec::prints(&host, &[], "echo shm >/dev/shm/x");
        assert!(cp(["box:/dev/shm", "shm"]).status.success(), "{host}");
        assert_eq!(tree(&host.path("shm")), "x=shm\n", "{host}");
        running.end();
    }
}

#[test]
fn a_copy_leaves_nothing_behind() {
    for host in hosts() {
        both(&host, "true", |target| {
            target.copies(&["box:/etc", "etc"]);
            host.leaves_no_process("cp");
            let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
            assert!(!mounts.contains(host.path("store").to_str().unwrap()), "{target}");
        });
    }
}

#[test]
fn volumes_of_a_stopped_container_are_copied_from_and_to() {
    for host in hosts() {
        host.shell("mkdir -m 777 data; echo outside >data/f; echo new >new; chmod 666 data/f");
        let volume = format!("{}:/data", host.path("data").display());
        let mut run = host.overfuse();
        run.args(["run", "--name", "box", "-v", &volume, "-v", "named:/named", "--tmpfs", "/mem", "tiny", "-c"]);
        let output = run.arg("echo kept >/named/f").output().unwrap();
        assert!(output.status.success(), "{host}: {output:?}");
        for args in
            [["box:/data/f", "out"], ["box:/named/f", "named"], ["new", "box:/data/made"], ["new", "box:/named"]]
        {
            let output = host.overfuse().arg("cp").args(args).output().unwrap();
            assert!(output.status.success() && output.stderr.is_empty(), "{host}: {args:?}: {output:?}");
        }
        assert_eq!(fs::read_to_string(host.path("out")).unwrap(), "outside\n", "{host}");
        assert_eq!(fs::read_to_string(host.path("named")).unwrap(), "kept\n", "{host}");
        assert_eq!(fs::read_to_string(host.path("data/made")).unwrap(), "new\n", "{host}");
        assert_eq!(host.prints(&["-v", "named:/named"], "cat /named/f /named/new"), "kept\nnew", "{host}");
        let diff = host.overfuse().args(["diff", "box"]).output().unwrap();
        assert!(!String::from_utf8_lossy(&diff.stdout).contains("new"), "{host}: {diff:?}");
    }
}
