//! Bind mounts: which mounts of the host they show, and parts of volumes.

use std::fs;
use std::process::Command;

use super::succeeds;
use crate::host::{Host, hosts, root};
use crate::image::NAME;

/// Mounts of this machine, unmounted on drop.
struct Mounted(Vec<std::path::PathBuf>);

impl Mounted {
    fn mount(&mut self, args: &[&str], at: &std::path::Path) {
        assert!(Command::new("mount").args(args).arg(at).status().unwrap().success());
        self.0.push(at.into());
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        for at in self.0.iter().rev() {
            let _ = Command::new("umount").arg("-l").arg(at).status();
        }
    }
}

/// `dir` with a tmpfs at `dir/below`, which has a file.
fn tree(host: &Host) -> Mounted {
    fs::create_dir_all(host.path("dir/below")).unwrap();
    let mut mounts = Mounted(Vec::new());
    mounts.mount(&["-t", "tmpfs", "none"], &host.path("dir/below"));
    fs::write(host.path("dir/below/file"), "x\n").unwrap();
    mounts
}

#[test]
fn mounts_below_the_source_come_along_as_asked() {
    let Some(host) = root() else { return };
    let _mounts = tree(&host);
    let source = host.path("dir").display().to_string();
    let script = "ls /d/below; echo x 2>/dev/null > /d/top; echo $?; echo x 2>/dev/null > /d/below/new; echo $?";
    for (options, printed) in [
        ("", "file\n0\n0"),
        (",readonly", "file\nnew\n1\n1"),
        (",readonly,bind-recursive=readonly", "file\nnew\n1\n1"),
        (",readonly,bind-recursive=writable", "file\nnew\n1\n0"),
        (",readonly,bind-nonrecursive", "1\n1"),
        (",bind-recursive=disabled", "0\n0"),
    ] {
        let mount = format!("type=bind,src={source},dst=/d{options}");
        assert_eq!(host.prints(&["--mount", &mount], script), printed, "{options}");
    }
}

#[test]
fn later_mounts_of_the_host_reach_only_a_slave() {
    let Some(host) = root() else { return };
    fs::create_dir_all(host.path("dir/late")).unwrap();
    let mut mounts = Mounted(Vec::new());
    let dir = host.path("dir");
    mounts.mount(&["--bind", dir.to_str().unwrap()], &dir);
    assert!(Command::new("mount").arg("--make-shared").arg(&dir).status().unwrap().success());
    let script = "echo ready; while ! [ -e /go/go ]; do sleep 0.05; done; ls /d/late";
    fs::create_dir(host.path("go")).unwrap();
    let go = format!("{}:/go", host.path("go").display());
    let volume = |options: &str| format!("{}:/d{options}", dir.display());
    let (private, slave) = (volume(""), volume(":rslave"));
    let mut started =
        [host.start(&["-v", &go, "-v", &private], script), host.start(&["-v", &go, "-v", &slave], script)];
    mounts.mount(&["-t", "tmpfs", "none"], &host.path("dir/late"));
    fs::write(host.path("dir/late/file"), "").unwrap();
    fs::write(host.path("go/go"), "").unwrap();
    for (started, printed) in started.iter_mut().zip(["", "file\n"]) {
        let mut rest = String::new();
        std::io::Read::read_to_string(&mut started.output, &mut rest).unwrap();
        assert!(started.child.wait().unwrap().success());
        assert_eq!(rest, printed);
    }
}

#[test]
fn a_part_of_a_volume_can_be_mounted_alone() {
    for host in hosts() {
        host.prints(&["-v", "data:/d"], "mkdir -p /d/a/b; echo deep > /d/a/b/file; echo top > /d/file");
        let part = |path: &str| format!("src=data,dst=/x,volume-subpath={path}");
        assert_eq!(host.prints(&["--mount", &part("a/b")], "ls /x; cat /x/file"), "file\ndeep", "{host}");
        assert_eq!(host.prints(&["--mount", &part("./file")], "cat /x"), "top", "{host}");
        let output = host.run(&["--mount", &part("gone")], &["-c", "true"]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(
            said, "overfuse: cannot open gone in volume data: No such file or directory (os error 2)\n",
            "{host}"
        );
    }
}

#[test]
fn the_users_mount_replaces_the_launchers_file() {
    for host in hosts() {
        fs::write(host.path("hosts"), "127.0.0.1 mine\n").unwrap();
        assert_eq!(
            host.prints(&["-v", "./hosts:/etc/hosts"], "cat /etc/hosts; grep -c ' /etc/hosts ' /proc/mounts"),
            "127.0.0.1 mine\n1",
            "{host}"
        );
    }
}

#[test]
fn inspect_and_start_know_the_mounts() {
    let Some(host) = root() else { return };
    succeeds(&host, &["run", "--name", "one", "-v", "data:/d:ro", NAME, "-c", "true"]);
    let settings =
        fs::read_dir(host.path("store/containers")).unwrap().next().unwrap().unwrap().path().join("settings.json");
    let settings: serde_json::Value = serde_json::from_slice(&fs::read(settings).unwrap()).unwrap();
    assert_eq!(settings["mounts"]["list"][0]["target"], "/d");
}
