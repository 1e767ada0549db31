//! Mounts that an image, or a process that changes it meanwhile, tries to redirect.

use std::fs;
use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use rustix::fs::{CWD, RenameFlags, renameat_with};

use crate::host::{hosts, hosts_with, root};
use crate::image::Twist;

/// Prints the file system types of `/proc`, `/proc/sys`, `/sys` and `/dev`, and whether the masks are in place.
const VIEW: &str = "stat -f -c %T /proc/self/ /proc/sys/ /sys/ /dev/; cat /proc/keys /proc/timer_list | wc -c; \
    echo x 2>/dev/null > /proc/sys/kernel/hostname; echo $?; ls /proc/acpi /proc/scsi /sys/firmware 2>/dev/null | grep -v : | wc -w";
const SEEN: &str = "proc\nproc\nsysfs\ntmpfs\n0\n1\n0";

#[test]
fn cve_2025_31133_masks_cover_what_they_should_whatever_the_image_has_there() {
    for host in hosts_with(|_| {
        let links = [
            ("dev", "/etc"),
            ("null", "/proc/sysrq-trigger"),
            ("etc/null", "/proc/sysrq-trigger"),
            ("etc/pts", "/proc"),
        ];
        Twist::links(&links)
    }) {
        assert_eq!(host.prints(&[], VIEW), SEEN, "{host}");
        let null = host.prints(&[], "stat -c '%F %t %T' /dev/null; stat -c %F /proc/keys");
        assert_eq!(null, "character special file 1 3\ncharacter special file", "{host}");
    }
}

#[test]
fn cve_2025_52565_the_console_is_the_containers_own_terminal() {
    for host in hosts_with(|_| {
        Twist::links(&[("dev", "/srv/dev"), ("console", "/proc/sysrq-trigger"), ("etc/console", "/proc/kcore")])
    }) {
        let printed = host.prints(&["-t"], "stat -c '%F %t' /dev/console; ls /dev/pts").replace('\r', "");
        assert_eq!(printed, "character special file 88\n0     ptmx", "{host}");
    }
}

#[test]
fn cve_2025_52881_what_is_written_to_proc_goes_to_proc() {
    for host in hosts_with(|_| Twist::links(&[("proc", "/srv/proc"), ("sys", "/srv/sys")])) {
        assert_eq!(host.prints(&[], VIEW), SEEN, "{host}");
        assert_eq!(
            host.prints(&["-u", "0", "--hostname", "box"], "hostname; cat /proc/self/comm"),
            "box\ncat",
            "{host}"
        );
    }
}

#[test]
fn cve_2026_41579_a_link_in_place_of_dev_leads_to_no_directory_of_the_host() {
    for host in hosts_with(|dir| Twist::links(&[("dev", dir.join("outside").to_str().unwrap())])) {
        fs::create_dir(host.path("outside")).unwrap();
        assert_eq!(
            host.prints(&[], "echo x > /dev/null; stat -f -c %T /dev/; ls -d /dev/pts"),
            "tmpfs\n/dev/pts",
            "{host}"
        );
        assert_eq!(fs::read_dir(host.path("outside")).unwrap().count(), 0, "{host}");
    }
}

#[test]
fn cve_2021_30465_a_volume_whose_target_is_exchanged_meanwhile_stays_inside() {
    let Some(host) = root() else { return };
    for dir in ["data/real", "outside"] {
        fs::create_dir_all(host.path(dir)).unwrap();
    }
    fs::create_dir_all(host.path("small")).unwrap();
    fs::write(host.path("small/mark"), "").unwrap();
    symlink(host.path("outside"), host.path("data/link")).unwrap();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let (real, link) = (host.path("data/real"), host.path("data/link"));
                renameat_with(CWD, real, CWD, link, RenameFlags::EXCHANGE).unwrap();
                thread::yield_now();
            }
        });
        let data = format!("{}:/data", host.path("data").display());
        let small = format!("{}:/data/real/deep", host.path("small").display());
        let script = "grep -c ' /proc/sys ' /proc/mounts; ls / | grep -c outside; true";
        for _ in 0..20 {
            let output = host.run(&["-v", &data, "-v", &small], &["-c", script]);
            // Both results are right: the target was the directory, or a link to nothing inside the container.
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.success() || said.starts_with("overfuse: cannot mount "), "{said}");
        }
        done.store(true, Ordering::Relaxed);
    });
    assert_eq!(fs::read_dir(host.path("outside")).unwrap().count(), 0);
}

#[test]
fn volumes_are_refused_over_the_kernels_own_files() {
    for host in hosts_with(|_| Twist::links(&[("kernel", "/proc"), ("self", "/proc/self"), ("top", "/")])) {
        fs::create_dir(host.path("data")).unwrap();
        fs::write(host.path("file"), "").unwrap();
        for (source, target, what) in [
            ("data", "/proc", "kernel"),
            ("data", "//proc/", "kernel"),
            ("data", "/proc/sys", "kernel"),
            ("data", "/proc/self", "kernel"),
            ("data", "/proc/made", "kernel"),
            ("data", "/tmp/../proc", "kernel"),
            ("data", "/kernel", "kernel"),
            ("data", "/kernel/sys", "kernel"),
            ("data", "/self", "kernel"),
            ("file", "/proc/uptime", "kernel"),
            ("file", "/kernel/uptime", "kernel"),
            ("data", "/top", "root"),
        ] {
            let volume = format!("{}:{target}", host.path(source).display());
            let output = host.run(&["-v", &volume], &["-c", "true"]);
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(
                said.starts_with("overfuse: volumes are not mounted on ") && said.contains(what),
                "{host}: {target}: {said}"
            );
            assert_eq!(output.status.code(), Some(125), "{host}: {target}");
        }
    }
}

#[test]
fn proc_and_sys_are_masked_as_docker_masks_them() {
    for host in hosts() {
        assert_eq!(host.prints(&[], VIEW), SEEN, "{host}");
    }
}
