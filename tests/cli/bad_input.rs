//! Bad input: one clear line, a non-zero status, and nothing left behind.

use crate::need;
use crate::place::Place;

#[test]
fn a_mount_that_fails_prints_its_reason_in_one_line() {
    need!(root, fuse);
    for (args, expected) in [
        ("mount -o lowerdir=nowhere at", "overfuse: lower directory nowhere: No such file or directory (os error 2)"),
        ("mount -o lowerdir=lower/file at", "overfuse: lower directory lower/file: Not a directory (os error 20)"),
        ("mount -o lowerdir= at", "overfuse: option lowerdir needs a value: lowerdir=…"),
        ("mount -o lowerdir=lower nowhere", "overfuse: mount point nowhere: No such file or directory (os error 2)"),
        ("mount -o lowerdir=lower lower/file", "overfuse: mount point lower/file is not a directory"),
        (
            "mount -o lowerdir=lower,upperdir=upper at",
            "overfuse: option upperdir needs workdir, an empty directory on the same file system",
        ),
        (
            "mount -o lowerdir=lower,upperdir=upper,workdir=/dev/shm at",
            "overfuse: upper directory upper and work directory /dev/shm are on different file systems; put both on one",
        ),
        (
            "mount -o lowerdir=lower,upperdir=nowhere,workdir=work at",
            "overfuse: upper directory nowhere: No such file or directory (os error 2)",
        ),
        ("mount -o lowerdir=lower,threads=many at", "overfuse: option threads: \"many\" is no number"),
        ("mount -o ro at", "overfuse: nothing to mount: name an image, or give -o lowerdir=TOP:…:BOTTOM"),
        ("umount at", "overfuse: nothing is mounted at at"),
        ("umount nowhere", "overfuse: unmounting nowhere: No such file or directory (os error 2)"),
    ] {
        let place = Place::new();
        assert_eq!(place.overfuse(args), (125, expected.to_owned()), "{args}");
        assert!(!place.is_mounted(), "{args}");
        assert!(place.processes().is_empty(), "{args}");
    }
}

#[test]
fn a_work_directory_inside_of_the_upper_is_refused() {
    need!(root, fuse);
    let place = Place::new();
    std::fs::create_dir(place.path().join("upper/work")).unwrap();
    let (status, said) = place.overfuse("mount -o lowerdir=lower,upperdir=upper,workdir=upper/work at");
    assert_eq!(status, 125);
    assert!(said.ends_with("or is the same; choose one beside it") && said.lines().count() == 1, "{said}");
    assert!(!place.is_mounted());
}

#[test]
fn an_unknown_option_gives_a_warning_and_is_ignored() {
    need!(root, fuse);
    let place = Place::new();
    let (status, said) = place.overfuse("mount -o lowerdir=lower,frobnicate=1 at");
    assert_eq!((status, said.as_str()), (0, "overfuse: unknown mount option frobnicate, ignored"));
    assert!(place.path().join("at/file").exists());
    assert_eq!(place.overfuse("umount at").0, 0);
}

#[test]
fn an_unknown_command_is_answered_with_the_nearest() {
    let place = Place::new();
    let (status, said) = place.overfuse("mont -h");
    assert_eq!(status, 125);
    assert!(said.contains("unrecognized subcommand 'mont'") && said.contains("'mount'"), "{said}");
}
