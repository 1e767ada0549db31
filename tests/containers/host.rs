//! A user of this machine, with their own store that holds the test image.

use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::image::{self, Twist};
use crate::support::need::{self, PLAIN_USER, USER, User};

/// A user, their store and their copy of the program.
pub(crate) struct Host {
    /// Belongs to the user, at a path that every user can reach.
    dir: TempDir,
    program: PathBuf,
    user: Option<User>,
}

/// Root, a user with subordinate ids and one without, if this machine has them. Prints which ones are skipped.
pub(crate) fn hosts() -> Vec<Host> {
    hosts_with(|_| Twist::default())
}

/// As [`hosts`], with a modified image.
pub(crate) fn hosts_with(twist: impl Fn(&Path) -> Twist) -> Vec<Host> {
    let mut hosts = Vec::new();
    if need::all(&["root", "fuse", "busybox"]) {
        hosts.push(Host::with(None, &twist));
        if need::all(&["users"]) {
            hosts.extend([USER, PLAIN_USER].map(|name| Host::with(Some(need::user(name).unwrap()), &twist)));
        }
    }
    hosts
}

/// Root alone.
pub(crate) fn root() -> Option<Host> {
    need::all(&["root", "fuse", "busybox"]).then(|| Host::of(None))
}

/// The user with subordinate ids, or the one without.
pub(crate) fn ordinary(name: &str) -> Option<Host> {
    need::all(&["root", "fuse", "busybox", "users"]).then(|| Host::of(Some(need::user(name).unwrap())))
}

impl Host {
    fn of(user: Option<User>) -> Host {
        Self::with(user, |_| Twist::default())
    }

    /// Root with a modified image, which may depend on the path of the host's files.
    pub(crate) fn root_with(twist: impl FnOnce(&Path) -> Twist) -> Host {
        Self::with(None, twist)
    }

    fn with(user: Option<User>, twist: impl FnOnce(&Path) -> Twist) -> Host {
        let dir = tempfile::Builder::new().prefix("overfuse-run-").tempdir_in("/var/tmp").unwrap();
        fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
        // A link or copy, because maybe only root can reach the build directory.
        let program = dir.path().join("overfuse");
        let built = env!("CARGO_BIN_EXE_overfuse");
        fs::hard_link(built, &program).unwrap_or_else(|_| crate::support::copy_program(built, &program));
        if let Some(user) = &user {
            chown(dir.path(), Some(user.uid), Some(user.gid)).unwrap();
        }
        let host = Host { dir, program, user };
        let archive = host.path("image.tar");
        image::write(&archive, &twist(host.dir.path()));
        let loaded = host.overfuse().arg("load").arg(&archive).output().unwrap();
        assert!(loaded.status.success(), "{host}: {}", String::from_utf8_lossy(&loaded.stderr));
        host
    }

    pub(crate) fn is_root(&self) -> bool {
        self.user.is_none()
    }

    /// Whether containers have users other than root.
    pub(crate) fn has_users(&self) -> bool {
        self.user.as_ref().is_none_or(|user| user.name != PLAIN_USER)
    }

    /// Whether a cgroup limits the devices of this user's containers.
    pub(crate) fn limits_devices(&self) -> bool {
        self.is_root() && need::has_cgroups()
    }

    /// What `overfuse run FLAGS` says when it refuses to start a container.
    pub(crate) fn refuses(&self, flags: &[&str]) -> String {
        let output = self.run(flags, &["-c", "echo it runs"]);
        assert_eq!(String::from_utf8_lossy(&output.stdout), "", "{self}: {flags:?}");
        assert_eq!(output.status.code(), Some(125), "{self}: {flags:?}");
        String::from_utf8(output.stderr).unwrap()
    }

    /// A path among the user's own files.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// `overfuse`, as the user, with their store.
    pub(crate) fn overfuse(&self) -> Command {
        let mut command = match &self.user {
            None => Command::new(&self.program),
            Some(user) => user.command(&self.program),
        };
        command.arg("--root").arg(self.path("store")).current_dir(self.dir.path()).stdin(Stdio::null());
        command
    }

    /// The output of a shell script that the user runs outside of containers; it must succeed.
    pub(crate) fn shell(&self, script: &str) -> String {
        let mut command = self.user.as_ref().map_or_else(|| Command::new("sh"), |user| user.command("sh"));
        let output = command.args(["-ec", script]).current_dir(self.dir.path()).output().unwrap();
        assert!(output.status.success(), "{self}: {script:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// A shell script that the user runs outside of containers, in a mount namespace that root has prepared with the
    /// script `ground`. `$OVERFUSE` and `$STORE` are the program and the store; it begins in the user's directory.
    pub(crate) fn on_ground(&self, ground: &str, script: &str) -> Command {
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "sh", "-ec", &format!("{ground}\nexec \"$@\""), "ground"]);
        if let Some(user) = &self.user {
            let (uid, gid) = (user.uid.to_string(), user.gid.to_string());
            command.args(["setpriv", "--reuid", &uid, "--regid", &gid, "--clear-groups"]);
        }
        command.args(["sh", "-c", script]).current_dir(self.dir.path()).stdin(Stdio::null()).env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("XDG_RUNTIME_DIR", self.dir.path());
        command.env("HOME", self.dir.path()).env("OVERFUSE", &self.program).env("STORE", self.path("store"));
        command
    }

    /// `overfuse run --rm FLAGS IMAGE COMMAND`, not started yet.
    pub(crate) fn command(&self, flags: &[&str], command: &[&str]) -> Command {
        let mut run = self.overfuse();
        run.args(["run", "--rm"]).args(flags).arg(image::NAME).args(command);
        run
    }

    /// Runs a command to its end.
    pub(crate) fn run(&self, flags: &[&str], command: &[&str]) -> Output {
        self.command(flags, command).output().unwrap()
    }

    /// The output of a shell script in a container; it must succeed.
    pub(crate) fn prints(&self, flags: &[&str], script: &str) -> String {
        let output = self.run(flags, &["-c", script]);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{self}: {flags:?} {script:?}: {}: {stderr}", output.status);
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    }

    /// Starts a script and waits for its first line, `ready`.
    pub(crate) fn start(&self, flags: &[&str], script: &str) -> Started {
        Started::of(self.command(flags, &["-c", script]))
    }

    /// Asserts that no process of this host's program with this argument is left, after some patience.
    pub(crate) fn leaves_no_process(&self, argument: &str) {
        let until = Instant::now() + Duration::from_secs(10);
        let (store, argument) = (self.path("store"), format!("\0{argument}\0"));
        let left = || {
            let entries = fs::read_dir("/proc").unwrap();
            let lines = entries.filter_map(|entry| fs::read(entry.ok()?.path().join("cmdline")).ok());
            let lines: Vec<String> = lines.map(|line| String::from_utf8_lossy(&line).into_owned()).collect();
            lines.into_iter().any(|line| line.contains(store.to_str().unwrap()) && line.contains(&argument))
        };
        while left() {
            assert!(Instant::now() < until, "{self}: processes are left");
            sleep(Duration::from_millis(20));
        }
    }

    /// The monitor of the only container in the store: the parent of the container's first process.
    pub(crate) fn monitor(&self) -> rustix::process::Pid {
        let container = fs::read_dir(self.path("store/containers")).unwrap().next().unwrap().unwrap().path();
        let state = fs::read_to_string(container.join("state.json")).unwrap();
        let state: serde_json::Value = serde_json::from_str(&state).unwrap();
        let stat = fs::read_to_string(format!("/proc/{}/stat", state["process"]["pid"])).unwrap();
        let (_, after_name) = stat.rsplit_once(") ").unwrap();
        let parent = after_name.split(' ').nth(1).unwrap().parse().unwrap();
        rustix::process::Pid::from_raw(parent).unwrap()
    }

    /// The number of containers in the store.
    pub(crate) fn containers(&self) -> usize {
        fs::read_dir(self.path("store/containers")).unwrap().count()
    }
}

impl Drop for Host {
    /// Containers outlive the processes that start them: a test that fails takes its own along.
    fn drop(&mut self) {
        if std::thread::panicking() {
            let listed = self.overfuse().args(["ps", "-aq"]).output().map(|output| output.stdout).unwrap_or_default();
            let ids = String::from_utf8_lossy(&listed).into_owned();
            let _ = self.overfuse().args(["rm", "-f"]).args(ids.split_whitespace()).output();
        }
    }
}

impl std::fmt::Display for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.user.as_ref().map_or("root", |user| &user.name))
    }
}

/// A running container.
pub(crate) struct Started {
    pub(crate) child: Child,
    pub(crate) output: BufReader<ChildStdout>,
}

impl Started {
    /// Starts a command and waits for its first line, `ready`.
    pub(crate) fn of(mut command: Command) -> Started {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n", "{command:?}");
        Started { child, output }
    }

    /// Ends a container whose command ends at SIGTERM, and waits until it is removed.
    pub(crate) fn end(mut self) {
        self.signal(rustix::process::Signal::TERM);
        self.child.wait().unwrap();
    }

    /// Sends a signal to the process outside.
    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).unwrap();
    }
}
