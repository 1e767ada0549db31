//! Volumes that an image, another container or an option tries to lead out to the host.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use rustix::fs::{CWD, RenameFlags, renameat_with};

use crate::host::{hosts, hosts_with};
use crate::image::Twist;

#[test]
fn cve_2021_30465_a_volume_with_a_link_in_the_way_of_a_target_stays_inside() {
    for host in hosts() {
        fs::create_dir(host.path("outside")).unwrap();
        fs::set_permissions(host.path("outside"), std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
        let outside = host.path("outside").display().to_string();
        let links = format!(
            "cd /v; busybox ln -s {outside} host; busybox ln -s ../../../../../../../.. up; busybox ln -s /proc kernel"
        );
        host.prints(&["-v", "shared:/v"], &links);
        for target in ["/v/host/deep", &format!("/v/up{outside}/deep")] {
            let small = format!("small:{target}");
            let seen = host.prints(&["-v", "shared:/v", "-v", &small], &format!("ls -d {target}"));
            assert_eq!(seen, target, "{host}");
        }
        let output = host.run(&["-v", "shared:/v", "-v", "small:/v/kernel/sys"], &["-c", "true"]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.starts_with("overfuse: volumes are not mounted on /v/kernel/sys"), "{host}: {said}");
        assert_eq!(fs::read_dir(host.path("outside")).unwrap().count(), 0, "{host}");
    }
}

#[test]
fn cve_2021_30465_a_directory_of_a_volume_that_becomes_a_link_meanwhile_leads_to_no_file_of_the_host() {
    for host in hosts() {
        fs::create_dir(host.path("outside")).unwrap();
        let outside = host.path("outside").display().to_string();
        host.prints(&["-v", "shared:/v"], &format!("mkdir -p /v/real; busybox ln -s {outside} /v/link"));
        let data = host.path("store/volumes/shared/data");
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            // As a container does that has the volume mounted.
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    let (real, link) = (data.join("real"), data.join("link"));
                    renameat_with(CWD, real, CWD, link, RenameFlags::EXCHANGE).unwrap();
                    thread::yield_now();
                }
            });
            for _ in 0..10 {
                let flags = &["-v", "shared:/v", "-v", "small:/v/real/deep", "-v", "/v/real/anonymous"];
                let output = host.run(flags, &["-c", "grep -c outside /proc/mounts; true"]);
                // Both results are right: the target was the directory, or a link to nothing inside the container.
                let said = String::from_utf8_lossy(&output.stderr).into_owned();
                assert!(output.status.success() || said.starts_with("overfuse: cannot mount "), "{host}: {said}");
            }
            done.store(true, Ordering::Relaxed);
        });
        assert_eq!(fs::read_dir(host.path("outside")).unwrap().count(), 0, "{host}");
    }
}

#[test]
fn cve_2024_1753_a_link_in_a_volume_leads_a_source_nowhere_but_into_the_volume() {
    for host in hosts() {
        fs::create_dir(host.path("outside")).unwrap();
        fs::write(host.path("outside/secret"), "secret").unwrap();
        let outside = host.path("outside").display().to_string();
        let links = format!(
            "cd /v; mkdir -p inner; echo mine > inner/secret; busybox ln -s {outside} host; busybox ln -s / top; \
            busybox ln -s ../../../../../../../..{outside} up; busybox ln -s inner good"
        );
        host.prints(&["-v", "shared:/v"], &links);
        let part = |path: &str| format!("src=shared,dst=/x,volume-subpath={path}");
        for path in ["host", "up", "host/secret", &format!("top{outside}")] {
            let output = host.run(&["--mount", &part(path)], &["-c", "busybox cat /x/secret /x"]);
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(said.starts_with(&format!("overfuse: cannot open {path} in volume shared: ")), "{host}: {said}");
            assert_eq!(output.stdout, b"", "{host}: {path}");
        }
        for path in ["good", "top/inner"] {
            assert_eq!(host.prints(&["--mount", &part(path)], "cat /x/secret"), "mine", "{host}: {path}");
        }
    }
}

#[test]
fn cve_2024_9407_an_option_of_a_mount_brings_no_other_options_along() {
    for host in hosts() {
        for (mount, said) in [
            ("type=bind,src=/etc,dst=/x,bind-propagation=rslave:suid", "is no value of bind-propagation"),
            ("type=bind,src=/etc,dst=/x,\"bind-propagation=rslave,dev\"", "is no value of bind-propagation"),
            ("type=tmpfs,dst=/x,tmpfs-size=1m:dev", "is not a size"),
            ("type=tmpfs,dst=/x,\"tmpfs-mode=755,dev\"", "is no value of tmpfs-mode"),
        ] {
            let output = host.run(&["--mount", mount], &["-c", "true"]);
            let stderr = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.code() == Some(125) && stderr.contains(said), "{host}: {mount}: {stderr}");
        }
    }
}

#[test]
fn cve_2024_9675_no_name_of_a_volume_is_a_path() {
    for host in hosts() {
        fs::create_dir_all(host.path("store/outside/data")).unwrap();
        for flags in [
            &["--mount", "src=../outside,dst=/x"][..],
            &["--mount", "src=..,dst=/x"],
            &["-v", "../outside/../volumes/..:/x"],
            &["-v", "a/../../outside:/x"],
            &["--mount", "src=data,dst=/x,volume-subpath=../../../outside"],
        ] {
            let output = host.run(flags, &["-c", "true"]);
            assert_eq!(output.status.code(), Some(125), "{host}: {flags:?}");
        }
        assert_eq!(fs::read_dir(host.path("store/volumes")).unwrap().count(), 0, "{host}");
    }
}

#[test]
fn cve_2024_9676_a_volume_of_the_image_at_a_link_gets_no_file_of_the_host() {
    let volumes = |path: &str| serde_json::json!({ path: {} });
    for host in hosts_with(|dir| {
        let outside = dir.join("outside").display().to_string();
        let links = [("out", outside.as_str()), ("up", "../../../../../../etc"), ("etc/secret", "/out/secret")];
        Twist { config: [("Volumes".into(), volumes("/out"))].into_iter().collect(), ..Twist::links(&links) }
    }) {
        fs::create_dir(host.path("outside")).unwrap();
        fs::write(host.path("outside/secret"), "secret").unwrap();
        let script = "ls /out/ /up/passwd; cat /etc/secret 2>/dev/null; echo $?; grep -c outside /proc/mounts";
        assert_eq!(host.prints(&[], script), "/up/passwd\n\n/out/:\n1\n1", "{host}");
        // What a link in a copied directory names is copied as a link.
        let script = "readlink /x/secret; cat /x/secret 2>/dev/null; echo $?";
        host.prints(&["-v", "etc:/etc"], "true");
        assert_eq!(host.prints(&["-v", "etc:/x"], script), "/out/secret\n1", "{host}");
        assert_eq!(fs::read_dir(host.path("outside")).unwrap().count(), 1, "{host}");
    }
    for (path, what) in
        [("/kernel", "kernel"), ("/kernel/sys", "kernel"), ("/proc/made", "kernel"), ("/top", "root"), ("/", "root")]
    {
        let links = [("kernel", "/proc"), ("top", "/")];
        let twist = |_: &std::path::Path| Twist {
            config: [("Volumes".into(), volumes(path))].into_iter().collect(),
            ..Twist::links(&links)
        };
        for host in hosts_with(twist) {
            let output = host.run(&[], &["-c", "true"]);
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(
                said.starts_with("overfuse: volumes are not mounted on ") && said.contains(what),
                "{host}: {path}: {said}"
            );
            assert_eq!(fs::read_dir(host.path("store/volumes")).unwrap().count(), 0, "{host}: {path}");
        }
    }
}
