//! OCI runtimes: bundles that `runc` and `crun` start as they are, and `overfuse run --runtime`.

mod life;
mod runtime;
mod same;

use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::host::{Host, hosts_with};
use crate::image::Twist;
use crate::support::need;

/// The runtimes.
const RUNTIMES: [&str; 2] = ["runc", "crun"];

/// Mounts what a runtime expects of a host, where this one lacks it: control groups and terminals.
const GROUND: &str = r#"
mountpoint -q /dev/pts || mount -t devpts -o gid=5,mode=620,ptmxmode=666 devpts /dev/pts
if ! grep -q " /sys/fs/cgroup" /proc/self/mounts; then
    if [ "$(cut -d: -f1 /proc/self/cgroup)" = 0 ]; then
        mount -t cgroup2 cgroup2 /sys/fs/cgroup
    else
        mount -t tmpfs -o mode=755 tmpfs /sys/fs/cgroup
        cut -d: -f2 /proc/self/cgroup | while read -r list; do
            [ -n "$list" ] || continue
            mkdir "/sys/fs/cgroup/${list#name=}"
            case $list in name=*) list=none,$list ;; esac
            mount -t cgroup -o "$list" cgroup "/sys/fs/cgroup/${list#none,name=}"
        done
    fi
fi
# crun refuses a mix of both versions.
umount /sys/fs/cgroup/unified 2>/dev/null || true
"#;

/// As [`GROUND`], on a host whose administrator lets users share their mounts with other users.
const SHARING_GROUND: &str = r#"
echo user_allow_other > allowed
mount --bind allowed /etc/fuse.conf
"#;

/// What every script begins with: `o` is overfuse, `start RUNTIME DIR` runs a bundle.
const WORDS: &str = r#"
o() { "$OVERFUSE" --root "$STORE" "$@"; }
start() { "$1" --root "$PWD/$1.state" run --bundle "$2" "$(basename "$STORE")-$$-$1"; }
"#;

/// Root and the two users, if this machine has them and both runtimes.
fn all() -> Vec<Host> {
    all_with(|_| Twist::default())
}

/// As [`all`], with a modified image.
fn all_with(twist: impl Fn(&Path) -> Twist) -> Vec<Host> {
    if need::all(&RUNTIMES) { hosts_with(twist) } else { Vec::new() }
}

/// A script of the user, not started yet.
fn script(host: &Host, text: &str) -> Command {
    let mut command = host.on_ground(GROUND, &format!("{WORDS}{text}"));
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// As [`script`], where users may share their mounts.
fn sharing_script(host: &Host, text: &str) -> Command {
    host.on_ground(&format!("{GROUND}{SHARING_GROUND}"), &format!("{WORDS}{text}"))
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// What a script that must succeed prints.
#[track_caller]
fn prints(host: &Host, mut script: Command) -> String {
    let output = script.output().unwrap();
    assert!(output.status.success(), "{host}: {}\n{}{}", output.status, stdout(&output), stderr(&output));
    stdout(&output)
}
