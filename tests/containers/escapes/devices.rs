//! Devices of the host: nodes in an image, made by a program, and in a volume.

use std::fs;
use std::os::unix::fs::MetadataExt;

use crate::host::{Host, hosts, hosts_with, root};
use crate::image::Twist;
use crate::need;

fn with_a_node() -> Twist {
    Twist { devices: vec![("zeroes".into(), 1, 5)], ..Twist::default() }
}

#[test]
fn a_device_node_of_an_image_does_nothing() {
    for host in hosts_with(|_| with_a_node()) {
        let users: &[&[&str]] = if host.has_users() { &[&[], &["-u", "app"]] } else { &[&[]] };
        for flags in users {
            let read = host.prints(flags, "head -c 3 /zeroes 2>/dev/null | wc -c");
            assert_eq!(read, "0", "{host}: {flags:?}");
        }
    }
}

#[test]
fn with_a_new_root_alone_a_device_node_does_nothing_either() {
    need!(root, fuse, busybox);
    let host = Host::root_with(|_| with_a_node());
    assert_eq!(host.prints(&["--chroot"], "head -c 3 /zeroes 2>&- | wc -c"), "0");
    // There is no /dev/null.
    let made = if host.limits_devices() { "0" } else { "1" };
    assert_eq!(host.prints(&["--chroot"], "mknod /x c 1 5 2>&-; echo $?"), made);
    assert_eq!(host.prints(&["--chroot"], "head -c 3 /x 2>&- | wc -c"), "0");
    assert_eq!(host.prints(&["--chroot", "--privileged"], "head -c 3 /zeroes | wc -c"), "3");
}

#[test]
fn without_a_device_cgroup_nobody_in_a_container_makes_device_nodes() {
    for host in hosts() {
        let flags: &[&str] = if host.limits_devices() { &["--cap-drop", "MKNOD"] } else { &[] };
        for place in ["/x", "/dev/x", "/dev/shm/x", "/tmp/x"] {
            for kind in ["c 1 5", "b 7 0"] {
                let script = format!("mknod {place} {kind} 2>/dev/null; echo $?");
                let made = host.prints(&[flags, &["--no-virtual-ids"]].concat(), &script);
                assert_eq!(made, "1", "{host}: {place} {kind}");
                // With virtual ids it is made, but not a device of this host.
                let script = format!("mknod {place} {kind} 2>/dev/null; cat {place} 2>/dev/null | wc -c");
                assert_eq!(host.prints(flags, &script), "0", "{host}: {place} {kind}");
            }
        }
        assert_eq!(host.prints(&[], "mknod /tmp/p p; stat -c %F /tmp/p"), "fifo", "{host}");
    }
}

#[test]
fn a_device_node_of_the_hosts_disk_opens_nothing() {
    need!(root, fuse, busybox, cgroups);
    let host = Host::root_with(|_| Twist::default());
    let device = fs::metadata("/dev/vda").or_else(|_| fs::metadata("/dev/sda")).map(|disk| disk.rdev());
    // Any number does: the cgroup refuses before the kernel looks for the disk.
    let (major, minor) = device.map_or((8, 0), |rdev| (rdev >> 8 & 0xfff, rdev & 0xff));
    let script = format!("mknod /dev/disk b {major} {minor} && head -c 3 /dev/disk");
    for flags in [&[][..], &["--init"], &["--cap-add", "ALL"]] {
        let output = host.run(flags, &["-c", &script]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(said, "head: /dev/disk: Operation not permitted\n", "{flags:?}");
        assert_eq!(output.stdout, b"");
    }
    // One that every container has.
    assert_eq!(host.prints(&[], "mknod /dev/zeroes c 1 5; head -c 3 /dev/zeroes | wc -c"), "3");
    assert_eq!(host.prints(&[], "mknod /zeroes c 1 5; head -c 3 /zeroes 2>/dev/null | wc -c"), "0");
}

#[test]
fn a_device_node_in_a_volume_does_nothing() {
    let Some(host) = root() else { return };
    fs::create_dir(host.path("data")).unwrap();
    host.shell("mknod -m 666 data/zeroes c 1 5 && head -c 3 data/zeroes > three && test $(stat -c %s three) = 3");
    let volume = format!("{}:/data", host.path("data").display());
    assert_eq!(host.prints(&["-v", &volume], "head -c 3 /data/zeroes 2>/dev/null | wc -c"), "0");
    assert_eq!(host.prints(&["-v", &volume, "--privileged"], "head -c 3 /data/zeroes | wc -c"), "3");
}

#[test]
fn a_device_that_is_given_works() {
    for host in hosts_with(|_| Twist::links(&[("link", "/srv/deep")])) {
        for (device, path) in [
            ("/dev/zero:/dev/mine", "/dev/mine"),
            ("/dev/zero:/srv/mine:rwm", "/srv/mine"),
            ("/dev/zero:/link/mine", "/srv/deep/mine"),
        ] {
            let printed = host.prints(&["--device", device], &format!("head -c 3 {path} | wc -c"));
            assert_eq!(printed, "3", "{host}: {device}");
        }
        for (device, said) in [
            ("/etc/passwd", "/etc/passwd is not a device"),
            ("/dev/gone", "cannot bind /dev/gone: No such file or directory (os error 2)"),
        ] {
            let output = host.run(&["--device", device], &["-c", "true"]);
            assert_eq!(String::from_utf8_lossy(&output.stderr), format!("overfuse: {said}\n"), "{host}");
            assert_eq!(output.status.code(), Some(125), "{host}");
        }
    }
}
