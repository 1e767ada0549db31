//! The first content of a new volume: the image's files at its target.

use std::fs;
use std::path::Path;

use crate::host::{hosts, hosts_with, root};
use crate::image::{NAME, Twist};

/// An image with files in `/data`, which belongs to user 1000.
fn full(dir: &Path) -> Twist {
    let outside = dir.join("outside").display().to_string();
    Twist {
        directories: vec![("data".into(), 0o1750, 1000, 1001), ("data/empty".into(), 0o700, 1000, 0)],
        files: vec![("data/file".into(), b"text".to_vec()), ("data/run".into(), b"#!/bin/sh\necho ran\n".to_vec())],
        devices: vec![("data/null".into(), 1, 3)],
        links: vec![("data/out".into(), outside), ("data/up".into(), "../../../../etc".into())],
        ..Twist::default()
    }
}

#[test]
fn a_new_volume_gets_the_images_files_with_owners_modes_and_links_but_no_devices() {
    for host in hosts_with(full) {
        // Without root, the image's device is an ordinary file from the start.
        let stat = "stat -c '%n %u:%g %a' /data /data/empty /data/file; readlink /data/out; readlink /data/up; \
            ls /data | grep -v null; [ -c /data/null ]; echo $?; /data/run";
        let (owner, group) = if host.has_users() { ("1000:1001", "1000:0") } else { ("0:0", "0:0") };
        let outside = host.path("outside").display().to_string();
        let expected = format!(
            "/data {owner} 1750\n/data/empty {group} 700\n/data/file 0:0 755\n{outside}\n../../../../etc\n\
            empty\nfile\nout\nrun\nup\n1\nran"
        );
        for flags in [&["-v", "data:/data"][..], &["--mount", "src=other,dst=/data"], &["-v", "/data"]] {
            assert_eq!(host.prints(flags, stat), expected, "{host}: {flags:?}");
        }
        assert_eq!(host.prints(&["-v", "data:/x"], "ls /x | grep -v null"), "empty\nfile\nout\nrun\nup", "{host}");
    }
}

#[test]
fn what_containers_write_stays_and_is_not_filled_up_again() {
    for host in hosts_with(full) {
        host.prints(&["-v", "data:/data"], "rm -r /data/*; echo own > /data/own");
        assert_eq!(host.prints(&["-v", "data:/data"], "ls /data; cat /data/own; rm /data/own"), "own\nown", "{host}");
        assert_eq!(host.prints(&["-v", "data:/data"], "ls /data"), "", "{host}");
    }
}

#[test]
fn nothing_is_copied_if_the_user_or_the_place_says_so() {
    for host in hosts_with(full) {
        for flags in [
            &["-v", "one:/data:nocopy"][..],
            &["--mount", "src=two,dst=/data,volume-nocopy"],
            &["-v", "three:/missing"],
            // Files that other mounts show are not the image's.
            &["-v", "four:/sys/kernel"],
            &["-v", "five:/dev/pts"],
        ] {
            let target = flags[1].split([':', '=', ',']).find(|part| part.starts_with('/')).unwrap();
            assert_eq!(host.prints(flags, &format!("ls {target}")), "", "{host}: {flags:?}");
        }
        // A volume that is still new gets the files later.
        assert_eq!(host.prints(&["-v", "three:/data"], "cat /data/file"), "text", "{host}");
    }
}

#[test]
fn mount_points_in_the_image_are_no_files_of_it() {
    for host in hosts() {
        let seen = host.prints(&["-v", "etc:/etc"], "ls /etc; wc -l < /etc/passwd; grep -c . /etc/hostname");
        assert_eq!(seen, "group\nhostname\nhosts\nmtab\npasswd\nresolv.conf\n2\n1", "{host}");
        let content = host.prints(&["-v", "etc:/x"], "cat /x/hostname /x/hosts; wc -l < /x/passwd");
        assert_eq!(content, "2", "{host}: the host's names are not in the volume");
    }
}

#[test]
fn containers_that_start_at_once_all_see_the_whole() {
    let many = |_: &Path| Twist {
        directories: vec![("data".into(), 0o755, 0, 0)],
        files: (0..100).map(|n| (format!("data/{n}"), vec![b'x'; 1000])).collect(),
        ..Twist::default()
    };
    for host in hosts_with(many) {
        let count = || host.command(&["-v", "data:/data"], &["-c", "ls /data | wc -l"]);
        let started: Vec<_> = (0..4).map(|_| count().stdout(std::process::Stdio::piped()).spawn().unwrap()).collect();
        for child in started {
            let output = child.wait_with_output().unwrap();
            assert_eq!(String::from_utf8_lossy(&output.stdout), "100\n", "{host}");
        }
    }
}

#[test]
fn a_monitor_that_is_killed_while_it_copies_leaves_no_half() {
    let many = |_: &Path| Twist {
        directories: vec![("data".into(), 0o755, 0, 0)],
        files: (0..1000).map(|n| (format!("data/{n}"), vec![b'x'; 100])).collect(),
        ..Twist::default()
    };
    for host in hosts_with(many) {
        let copied = |place: &str| fs::read_dir(host.path("store/volumes/data").join(place)).map_or(0, Iterator::count);
        let mut run = host.overfuse();
        run.args(["run", "--name", "killed", "-v", "data:/data", NAME, "-c", "true"]);
        let mut child = run.stderr(std::process::Stdio::null()).spawn().unwrap();
        while copied("filling") + copied("filled") + copied("data") == 0 {
            assert!(child.try_wait().unwrap().is_none(), "{host}: it ended without a copy");
        }
        rustix::process::kill_process(host.monitor(), rustix::process::Signal::KILL).unwrap();
        child.wait().unwrap();
        assert_eq!(
            host.prints(&["-v", "data:/data"], "ls /data | wc -l; cat /data/* | wc -c"),
            "1000\n100000",
            "{host}"
        );
    }
}

#[test]
fn a_copy_that_fails_says_so_and_the_next_one_is_whole() {
    let Some(host) = root() else { return };
    fs::create_dir_all(host.path("store/volumes")).unwrap();
    let made = host.overfuse().args(["run", "--name", "made", "-v", "data:/nothing", NAME, "-c", "true"]).status();
    assert!(made.unwrap().success());
    // A directory in the way of the copy's data, as a failing disk would be.
    let volume = host.path("store/volumes/data");
    fs::remove_dir(volume.join("data")).unwrap();
    let output = host.run(&["-v", "data:/etc"], &["-c", "true"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.starts_with("overfuse: cannot ") && said.contains("data") && said.lines().count() == 1, "{said}");
    assert_eq!(output.status.code(), Some(125));
    fs::create_dir(volume.join("data")).unwrap();
    assert_eq!(host.prints(&["-v", "data:/etc"], "ls /etc/passwd"), "/etc/passwd");
}
