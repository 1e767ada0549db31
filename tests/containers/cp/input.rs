//! Bad input gets one line.

use std::fs;

use crate::host::root;

use super::both;

#[test]
fn what_is_wrong_is_said_in_one_line() {
    if let Some(host) = root() {
        fs::write(host.path("f"), "x").unwrap();
        both(&host, "true", |target| {
            for (args, line) in [
                (&["f", "g"][..], "neither path names a container: expected CONTAINER:PATH"),
                (&["-", "-"], "neither path names a container: expected CONTAINER:PATH"),
                (&["box:/a", "box:/b"], "copying between containers is not supported"),
                (&["gone:/a", "b"], "there is no container \"gone\""),
                (&["f", "box:/gone/x"], "/gone/x: No such file or directory (os error 2)"),
                (
                    &["gone", "box:/x"],
                    &format!("{}: No such file or directory (os error 2)", host.path("gone").display()),
                ),
                (&["box:/gone", "x"], "/gone: No such file or directory (os error 2)"),
                (&["box:/etc/passwd/x", "x"], "/etc/passwd/x: Not a directory (os error 20)"),
                (&["/proc/version", "box:/x"], "/proc/version: that is a view of the kernel and no data"),
            ] {
                target.refuses(args, line);
            }
            assert!(!host.path("x").exists() && !host.path("g").exists());
        });
    }
}

#[test]
fn a_container_that_is_mounted_elsewhere_is_in_use() {
    let Some(host) = root() else { return };
    host.shell("mkdir at");
    let mount = host.overfuse().args(["mount", "--writable", "box", "tiny", "at"]).status().unwrap();
    assert!(mount.success());
    let output = host.overfuse().args(["cp", "box:/etc/passwd", "-"]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "overfuse: container box is in use\n");
    assert!(host.overfuse().args(["umount", "at"]).status().unwrap().success());
}
