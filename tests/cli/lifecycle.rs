//! The life of a mount, from mounting to unmounting.

use std::fs;
use std::process::Command;

use crate::need;
use crate::place::{Place, eventually};

const WRITABLE: &str = "-o lowerdir=lower,upperdir=upper,workdir=work";

#[test]
fn mount_returns_when_the_mount_is_live_and_a_process_serves_it() {
    need!(root, fuse);
    let place = Place::new();
    assert_eq!(place.overfuse("mount -o lowerdir=lower at"), (0, String::new()));
    assert!(place.is_mounted());
    assert_eq!(fs::read_to_string(place.path().join("at/file")).unwrap(), "below");
    assert_eq!(place.processes().len(), 1);
    assert_eq!(place.overfuse("umount at"), (0, String::new()));
    assert!(!place.is_mounted());
    eventually(|| place.processes().is_empty());
}

/// The process that serves a mount must not hold locks or pipes of the process that mounted.
#[test]
fn the_serving_process_keeps_no_descriptor_of_its_parent_open() {
    need!(root, fuse);
    let place = Place::new();
    fs::write(place.path().join("lock"), "").unwrap();
    let script = format!("exec 7>lock; flock 7; {} mount -o lowerdir=lower at 8>&7", env!("CARGO_BIN_EXE_overfuse"));
    let status = Command::new("sh").arg("-c").arg(script).current_dir(place.path()).status().expect("start sh");
    assert!(status.success() && place.is_mounted());
    assert_eq!(place.run("flock", "--nonblock lock true").0, 0, "the lock is still held");
    assert_eq!(place.overfuse("umount at").0, 0);
}

#[test]
fn no_process_is_left_after_any_way_of_unmounting() {
    need!(root, fuse);
    for (program, args) in [("umount", "at"), ("umount", "-l at"), ("fusermount3", "-u at"), ("fusermount3", "-uz at")]
    {
        let place = Place::new();
        assert_eq!(place.overfuse("mount -o lowerdir=lower at").0, 0);
        assert_eq!(place.run(program, args), (0, String::new()));
        eventually(|| place.processes().is_empty());
    }
}

/// The kernel sends the close and ends the connection at once, perhaps while the request is being read.
#[test]
fn closing_the_last_file_after_a_lazy_unmount_is_not_a_failure() {
    need!(root, fuse);
    let place = Place::new();
    for turn in 0..40 {
        let mut serving = Command::new(env!("CARGO_BIN_EXE_overfuse"))
            .args(["mount", "-f"])
            .args(WRITABLE.split(' '))
            .arg("at")
            .current_dir(place.path())
            .spawn()
            .expect("start overfuse");
        eventually(|| place.is_mounted());
        let files: Vec<_> =
            (0..8).map(|file| fs::File::create(place.path().join(format!("at/{file}"))).unwrap()).collect();
        assert_eq!(place.overfuse("umount --lazy at").0, 0);
        drop(files);
        assert!(serving.wait().expect("wait for it").success(), "turn {turn}");
    }
}

#[test]
fn a_signal_to_the_serving_process_unmounts() {
    need!(root, fuse);
    for signal in ["-TERM", "-INT", "-HUP"] {
        let place = Place::new();
        assert_eq!(place.overfuse("mount -o lowerdir=lower at").0, 0);
        let serving = place.processes();
        assert_eq!(serving.len(), 1);
        assert_eq!(place.run("kill", &format!("{signal} {}", serving[0])).0, 0);
        eventually(|| place.processes().is_empty());
        assert!(!place.is_mounted(), "{signal}");
    }
}

#[test]
fn the_forms_that_other_programs_use_mean_the_same() {
    need!(root, fuse);
    for args in [
        "-o lowerdir=lower at",
        "-olowerdir=lower at",
        "-o lowerdir=lower source at",
        "overlay at -o lowerdir=lower",
        "-o lowerdir=lower,,rw at",
    ] {
        let place = Place::new();
        assert_eq!(place.overfuse(args), (0, String::new()), "{args}");
        assert!(place.path().join("at/file").exists(), "{args}");
        assert_eq!(place.overfuse("umount at").0, 0);
    }
}

#[test]
fn a_live_mount_becomes_read_only_and_writable_again() {
    need!(root, fuse);
    let place = Place::new();
    assert_eq!(place.overfuse(&format!("mount {WRITABLE},nosuid at")).0, 0);
    let file = place.path().join("at/file");
    for (options, writes, flags) in [
        ("remount,ro", false, "ro,nosuid"),
        ("remount,rw", true, "rw,nosuid"),
        // The form in which mount.fuse3 passes it on from mount(8).
        (
            "ro,nosuid,nodev,relatime,remount,user_id=0,group_id=0,default_permissions,allow_other",
            false,
            "ro,nosuid,nodev",
        ),
        ("rw,remount,suid,dev", true, "rw"),
    ] {
        assert_eq!(place.overfuse(&format!("overfuse at -o {options}")), (0, String::new()), "{options}");
        assert_eq!(fs::write(&file, "x").is_ok(), writes, "{options}");
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
        let at = place.path().join("at");
        let mount = mounts.lines().find(|line| line.split(' ').nth(1) == at.to_str()).unwrap();
        assert!(mount.contains(&format!(" {flags},relatime")), "{options}: {mount}");
    }
    assert_eq!(
        place.overfuse("mount -o remount,rw,threads=x at"),
        (1, "overfuse: option threads: \"x\" is no number".into())
    );
    assert_eq!(place.overfuse("umount at").0, 0);
    assert_eq!(place.overfuse("mount -o remount,rw at"), (1, "overfuse: nothing is mounted at at".into()));
}

/// `CAP_SYS_RESOURCE` would let ordinary users write beyond their quotas through the mount.
#[test]
fn the_serving_process_does_not_override_quotas() {
    need!(root, fuse);
    const SYS_RESOURCE: u32 = 24;
    let place = Place::new();
    assert_eq!(place.overfuse(&format!("mount {WRITABLE} at")), (0, String::new()));
    let serving = place.processes();
    // This thread and the threads that it starts answer requests.
    eventually(|| {
        let status = fs::read_to_string(format!("/proc/{}/status", serving[0])).unwrap();
        let set = status.lines().find_map(|line| line.strip_prefix("CapEff:")).unwrap();
        u64::from_str_radix(set.trim(), 16).unwrap() >> SYS_RESOURCE & 1 == 0
    });
    assert_eq!(place.overfuse("umount at").0, 0);
}

#[test]
fn written_files_are_there_after_mounting_again_at_once() {
    need!(root, fuse);
    let place = Place::new();
    for round in 0..20 {
        assert_eq!(place.overfuse(&format!("mount {WRITABLE} at")), (0, String::new()), "round {round}");
        let file = place.path().join("at/file");
        assert_eq!(
            fs::read_to_string(&file).unwrap(),
            if round == 0 { "below".into() } else { (round - 1).to_string() }
        );
        fs::write(&file, round.to_string()).unwrap();
        assert_eq!(place.overfuse("umount at"), (0, String::new()), "round {round}");
    }
}

#[test]
fn an_upper_directory_serves_one_mount_at_a_time() {
    need!(root, fuse);
    let place = Place::new();
    fs::create_dir(place.path().join("second")).unwrap();
    assert_eq!(place.overfuse(&format!("mount {WRITABLE} at")).0, 0);
    let (status, said) = place.overfuse(&format!("mount {WRITABLE} second"));
    assert_eq!((status, said.as_str()), (1, "overfuse: upper directory upper is in use by another mount"));
    assert_eq!(place.overfuse("umount at").0, 0);
}

#[test]
fn a_colon_in_a_path_is_written_with_a_backslash() {
    need!(root, fuse);
    let place = Place::new();
    fs::create_dir(place.path().join("a:b")).unwrap();
    fs::write(place.path().join("a:b/above"), "").unwrap();
    assert_eq!(place.overfuse(r"mount -o lowerdir=a\:b:lower at"), (0, String::new()));
    assert!(place.path().join("at/above").exists() && place.path().join("at/file").exists());
    assert_eq!(place.overfuse("umount at").0, 0);
}

#[test]
fn an_ordinary_user_mounts_and_unmounts() {
    need!(users, fuse);
    let user = crate::support::need::user(crate::support::need::USER).unwrap();
    let place = Place::new();
    let (uid, gid) = (rustix::fs::Uid::from_raw(user.uid), rustix::fs::Gid::from_raw(user.gid));
    for path in ["", "lower", "lower/file", "upper", "work", "at"] {
        rustix::fs::chown(place.path().join(path), Some(uid), Some(gid)).unwrap();
    }
    // The user runs a copy, because the build directory may be closed to other users.
    let ours = crate::support::subject::overfuse();
    let binary = place.path().join("overfuse");
    crate::support::copy_program(ours.get_program(), &binary);
    let run = |args: &str| {
        let output = user.command(&binary).args(args.split_whitespace()).current_dir(place.path()).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).trim().to_owned())
    };
    assert_eq!(run(&format!("mount {WRITABLE} at")), (Some(0), String::new()));
    assert!(place.is_mounted());
    let wrote = user.command("sh").args(["-c", "echo above > at/file"]).current_dir(place.path()).status().unwrap();
    assert!(wrote.success());
    assert_eq!(fs::read_to_string(place.path().join("upper/file")).unwrap(), "above\n");
    assert_eq!(run("umount at"), (Some(0), String::new()));
    assert!(!place.is_mounted());
    eventually(|| place.processes().is_empty());
}
