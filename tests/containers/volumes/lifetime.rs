//! How long volumes live, and which containers share them.

use super::{succeeds, volumes};
use crate::host::{hosts, hosts_with};
use crate::image::{NAME, Twist};

fn with_volumes(paths: &[&str]) -> Twist {
    let paths = paths.iter().map(|path| ((*path).to_owned(), serde_json::json!({}))).collect::<serde_json::Map<_, _>>();
    Twist::says("Volumes", paths)
}

#[test]
fn a_named_volume_outlives_its_containers() {
    for host in hosts() {
        host.prints(&["-v", "data:/d"], "echo kept > /d/file");
        assert_eq!(volumes(&host), ["data"], "{host}");
        let read = "cat /d/file; echo x 2>/dev/null > /d/new; echo $?";
        assert_eq!(host.prints(&["-v", "data:/d:ro"], read), "kept\n1", "{host}");
        assert_eq!(host.prints(&["--mount", "source=data,target=/d"], read), "kept\n0", "{host}");
    }
}

#[test]
fn the_images_volumes_are_anonymous_and_go_with_rm() {
    for host in hosts_with(|_| with_volumes(&["/cache", "/etc", "/d/e/"])) {
        let flags =
            &["--name", "kept", "-v", "/own", "-v", "data:/d/e", NAME, "-c", "echo x > /cache/x; echo y > /own/y"];
        succeeds(&host, &[&["run"][..], flags].concat());
        let made = volumes(&host);
        assert_eq!(made.len(), 4, "{host}: {made:?}");
        assert_eq!(made.iter().filter(|name| name.len() == 64).count(), 3, "{host}: {made:?}");
        // Files in volumes are no changes of the container.
        assert_eq!(succeeds(&host, &["diff", "kept"]), "A /cache\nA /d\nA /d/e\nA /own\nA /srv", "{host}");
        assert_eq!(
            host.prints(&[], "ls /cache; ls /etc/passwd; grep -c ' /cache ' /proc/mounts"),
            "/etc/passwd\n1",
            "{host}"
        );
        assert_eq!(volumes(&host), made, "{host}: --rm removes what the second container had");
        succeeds(&host, &["rm", "kept"]);
        assert_eq!(volumes(&host), made, "{host}: rm alone removes no volume");
        succeeds(&host, &["create", "--name", "next", "-v", "data:/d/e", NAME]);
        succeeds(&host, &["rm", "-v", "next"]);
        assert_eq!(volumes(&host), made, "{host}: rm -v removes anonymous volumes of its container only");
        succeeds(&host, &["volume", "prune", "-f"]);
        assert_eq!(volumes(&host), ["data"], "{host}");
    }
}

#[test]
fn a_container_that_cannot_start_leaves_no_anonymous_volume() {
    for host in hosts_with(|_| with_volumes(&["/cache"])) {
        let output = host.overfuse().args(["run", "--rm", "--entrypoint", "/gone", NAME]).output().unwrap();
        assert_eq!(output.status.code(), Some(127), "{host}");
        assert_eq!((volumes(&host).len(), host.containers()), (0, 0), "{host}");
    }
}

#[test]
fn a_container_finds_its_volumes_again_when_it_is_started_again() {
    for host in hosts_with(|_| with_volumes(&["/etc"])) {
        let script = "ls /etc/passwd /etc/own; cat /d/count; echo x >> /d/count; echo own > /etc/own; rm /etc/passwd";
        let flags = ["run", "--name", "again", "-v", "data:/d", NAME, "-c", script];
        let first = host.overfuse().args(flags).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&first.stdout), "/etc/passwd\n", "{host}");
        let second = host.overfuse().args(["start", "-a", "again"]).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&second.stdout), "/etc/own\nx\n", "{host}");
        assert_eq!(volumes(&host).len(), 2, "{host}");
        host.shell("rm -r store/volumes/data/volume.json");
        let output = host.overfuse().args(["start", "-a", "again"]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains(r#"there is no volume "data""#) && said.lines().count() == 1, "{host}: {said}");
        succeeds(&host, &["rm", "-v", "again"]);
        assert_eq!(volumes(&host), ["data"], "{host}");
    }
}

#[test]
fn volumes_from_takes_over_bind_mounts_and_volumes() {
    for host in hosts_with(|_| with_volumes(&["/cache", "/own"])) {
        std::fs::create_dir(host.path("dir")).unwrap();
        std::fs::write(host.path("dir/file"), "host\n").unwrap();
        let bind = format!("{}:/bind:ro", host.path("dir").display());
        let script = "echo c > /cache/c; echo d > /data/d; echo t > /tmp/t; echo e > /own/e";
        let flags = ["--name", "first", "-v", &bind, "-v", "data:/data", "--tmpfs", "/tmp", NAME, "-c", script];
        succeeds(&host, &[&["run"][..], &flags].concat());
        let before = volumes(&host);
        let read = "cat /cache/c /data/d /bind/file; ls /tmp /own; echo x 2>/dev/null > /data/new; echo $?";
        for (from, printed) in
            [("first", "c\nd\nhost\n/own:\n\n/tmp:\n0"), ("first:ro", "c\nd\nhost\n/own:\n\n/tmp:\n1")]
        {
            assert_eq!(host.prints(&["--volumes-from", from, "--tmpfs", "/own"], read), printed, "{host}: {from}");
        }
        assert_eq!(volumes(&host), before, "{host}: the first container still uses its anonymous volume");
    }
}

#[test]
fn the_anonymous_volumes_of_a_killed_monitor_go_with_its_container() {
    for host in hosts_with(|_| with_volumes(&["/cache"])) {
        let mut started = host.start(&["-v", "data:/d"], "echo ready; sleep 60");
        assert_eq!(volumes(&host).len(), 2, "{host}");
        rustix::process::kill_process(host.monitor(), rustix::process::Signal::KILL).unwrap();
        started.child.wait().unwrap();
        // The next container that is made sweeps what is left.
        let next = succeeds(&host, &["create", NAME]);
        assert_eq!(host.containers(), 1, "{host}");
        succeeds(&host, &["rm", "-v", &next]);
        assert_eq!(volumes(&host), ["data"], "{host}");
    }
}
