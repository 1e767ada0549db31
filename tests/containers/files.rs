//! Files: which ones a container may change, and which files of the host it sees.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::host::{Host, hosts, root};
use crate::image::Twist;
use crate::need;

#[test]
fn changes_go_to_the_container_and_the_next_one_sees_none() {
    for host in hosts() {
        let script =
            "echo new > /tmp/x; rm /etc/group; echo more >> /etc/passwd; cat /tmp/x; ls /etc; wc -l < /etc/passwd";
        assert_eq!(host.prints(&[], script), "new\nhostname\nhosts\nmtab\npasswd\nresolv.conf\n3", "{host}");
        assert_eq!(host.prints(&[], "ls /tmp; wc -l < /etc/passwd; ls /etc/group"), "2\n/etc/group", "{host}");
    }
}

#[test]
fn what_was_written_is_in_the_upper_when_run_returns() {
    let Some(host) = root() else { return };
    let mut run = host.overfuse();
    run.args(["run", "--name", "kept", "tiny", "-c", "echo kept > /kept; mkdir /d; chown 5 /d"]);
    assert!(run.status().unwrap().success());
    let container = fs::read_dir(host.path("store/containers")).unwrap().next().unwrap().unwrap().path();
    assert_eq!(fs::read_to_string(container.join("upper/kept")).unwrap(), "kept\n");
    let mut names: Vec<_> = fs::read_dir(container.join("upper")).unwrap().map(|e| e.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["d", "kept", "srv"], "mount points are no changes; the missing working directory is one");
}

#[test]
fn a_read_only_container_keeps_its_devices_and_volumes() {
    for host in hosts() {
        fs::create_dir(host.path("data")).unwrap();
        fs::set_permissions(host.path("data"), fs::Permissions::from_mode(0o777)).unwrap();
        let volume = format!("{}:/data", host.path("data").display());
        let script = "echo x 2>/dev/null > /x; echo $?; echo x > /dev/shm/x && echo x > /data/x && cat /data/x";
        assert_eq!(host.prints(&["--read-only", "-v", &volume], script), "1\nx", "{host}");
    }
}

#[test]
fn volumes_show_the_hosts_files_as_far_as_they_may_be_changed() {
    for host in hosts() {
        fs::create_dir(host.path("data")).unwrap();
        fs::set_permissions(host.path("data"), fs::Permissions::from_mode(0o777)).unwrap();
        fs::write(host.path("data/file"), "from outside\n").unwrap();
        fs::set_permissions(host.path("data/file"), fs::Permissions::from_mode(0o666)).unwrap();
        let dir = format!("{}:/deep/er/dir", host.path("data").display());
        let file = format!("{}:/etc/one", host.path("data/file").display());
        let inner = format!("{}:/deep/er/dir/file:ro", host.path("image.tar").display());
        let frozen = format!("{dir}:ro");
        for (volumes, script, printed) in [
            (&[dir.as_str()][..], "cat /deep/er/dir/file; echo in > /deep/er/dir/new && echo ok", "from outside\nok"),
            (&[&frozen], "cat /deep/er/dir/file; echo in 2>/dev/null > /deep/er/dir/no; echo $?", "from outside\n1"),
            (&[&file], "cat /etc/one && echo changed > /etc/one && cat /etc/one", "from outside\nchanged"),
            (&["./data:/data"], "cat /data/new", "in"),
            (&[&inner, &dir], "head -c 10 /deep/er/dir/file; ls /deep/er/dir", "oci-layoutfile\nnew"),
        ] {
            let flags: Vec<&str> = volumes.iter().flat_map(|volume| ["-v", volume]).collect();
            assert_eq!(host.prints(&flags, script), printed, "{host}: {volumes:?}");
        }
        assert_eq!(fs::read_to_string(host.path("data/new")).unwrap(), "in\n", "{host}");
        assert!(!host.path("data/no").exists(), "{host}");
    }
}

#[test]
fn links_of_an_image_lead_no_mount_out_to_the_host() {
    need!(root, fuse, busybox);
    let host = Host::root_with(|dir| {
        let outside = dir.join("outside").display().to_string();
        Twist::links(&[("out", &outside), ("dev", "/out/dev"), ("up", "../../../../..")])
    });
    fs::create_dir(host.path("outside")).unwrap();
    let volume = |target: &str| format!("{}:{target}", host.path("image.tar").display());
    let (out, up) = (volume("/out/file"), volume("/up/climbed"));
    let script = "head -c 10 /out/file; head -c 10 /climbed; ls -d /dev/null";
    assert_eq!(host.prints(&["-v", &out, "-v", &up], script), "oci-layoutoci-layout/dev/null");
    assert_eq!(fs::read_dir(host.path("outside")).unwrap().count(), 0);
    assert!(!fs::exists("/climbed").unwrap());
}
