//! A mounted subject, with an empty upper layer; unmounted and removed when it is dropped.

use std::fs::{self, File};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::mount;
use crate::sys::{Dir, Name, Namespaces, mount_overlay, orphans, process};

use super::result::Daemon;
use super::subject::{Kind, Stack, Subject, User};

/// How long a program may take until its mount is live.
const TO_MOUNT: Duration = Duration::from_secs(20);
/// How long a program may take to end after it is unmounted.
const TO_END: Duration = Duration::from_secs(5);
/// The message about a daemon that ended by itself.
const ENDED: &str = "its process ended";
/// A program that still runs this long after its mount is live is taken to stay in the foreground.
const TO_DETACH: Duration = Duration::from_millis(300);

/// The directory of a run.
///
/// ```text
/// tree/      the layers and the merged tree
/// run/       upper, work, at (the mount point), log (the program's stderr), native (a copy that may be changed)
/// ```
#[derive(Clone, Debug)]
pub(super) struct Place {
    dir: PathBuf,
    user: User,
}

impl Place {
    /// # Errors
    /// When the directories cannot be made.
    pub(super) fn new(dir: &Path, user: User) -> io::Result<Place> {
        for part in ["tree", "run"] {
            fs::create_dir(dir.join(part))?;
        }
        Ok(Place { dir: dir.into(), user })
    }

    pub(super) fn tree(&self) -> PathBuf {
        self.dir.join("tree")
    }

    pub(super) fn upper(&self) -> PathBuf {
        self.dir.join("run/upper")
    }

    fn at(&self) -> PathBuf {
        self.dir.join("run/at")
    }

    fn log(&self) -> PathBuf {
        self.dir.join("run/log")
    }

    /// Empties a part of the place, `tree` or `run`.
    ///
    /// # Errors
    /// The error of the file system.
    pub(super) fn clear(&self, part: &str) -> io::Result<()> {
        let dir = Dir::open_host(&self.dir)?;
        dir.remove_all(Name::new(part)?)?;
        fs::create_dir(self.dir.join(part))
    }

    /// The last line that the program wrote to its log.
    fn last_words(&self) -> Option<String> {
        let said = fs::read(self.log()).ok()?;
        let said = String::from_utf8_lossy(&said).into_owned();
        said.lines().map(str::trim).rfind(|line| !line.is_empty()).map(Into::into)
    }
}

/// A live mount, or a plain directory for the subject `native`.
#[derive(Debug)]
pub(super) struct Mounted {
    place: Place,
    root: PathBuf,
    /// Something is mounted at `root`.
    is_mount: bool,
    /// From the start of the program until the mount was live.
    pub took: Option<Duration>,
    /// The children that this process had before the mount. All newer ones, orphans included, serve the mount.
    before: Vec<u32>,
}

impl Mounted {
    /// Mounts the stack with an empty upper layer. For `native` the root is the merged tree itself or, if the work
    /// `changes` it, the path of a [`copy`](Self::copy), which the caller has yet to make.
    ///
    /// # Errors
    /// A line that says why the subject does not mount.
    pub(super) fn mount(
        subject: &Subject,
        place: &Place,
        layers: u32,
        changes: bool,
        stop: &dyn Fn() -> bool,
    ) -> Result<Mounted, String> {
        let text = |error: io::Error| error.to_string();
        place.clear("run").map_err(text)?;
        let mut mounted = Mounted {
            place: place.clone(),
            root: place.at(),
            is_mount: false,
            took: None,
            before: orphans::children(),
        };
        if subject.kind == Kind::Native {
            mounted.root = place.tree().join("merged");
            if changes {
                mounted.root = place.dir.join("run/native");
            }
            return Ok(mounted);
        }
        for part in ["upper", "work", "at"] {
            fs::create_dir(place.dir.join("run").join(part)).map_err(text)?;
        }
        let stack = Stack::of(layers);
        let result = match subject.command_line(&stack, place.user) {
            Some((program, arguments)) => mounted.start(&program, &arguments, stop),
            None => mounted.mount_overlayfs(&stack),
        };
        mounted.is_mount = is_mount_point(&mounted.root);
        mounted.took = Some(result?);
        Ok(mounted)
    }

    /// Mounts overlayfs in a child process, because the layers' paths are relative to its working directory.
    fn mount_overlayfs(&self, stack: &Stack) -> Result<Duration, String> {
        let marks = if self.place.user == User::Root { "" } else { ",userxattr" };
        let options = format!("{}{marks}", stack.options());
        let (tree, at) = (self.place.tree(), stack.at);
        let (child, channel) = process::spawn_connected(Namespaces::empty(), |channel| {
            let started = Instant::now();
            let done = change_dir(&tree).and_then(|()| Ok(mount_overlay(&options, Path::new(at))?));
            let took = started.elapsed().as_nanos();
            let said = done.map_or_else(|error| error.to_string(), |()| took.to_string());
            i32::from(channel.send(said.as_bytes(), None).is_err())
        })
        .map_err(|error| error.to_string())?;
        let said = channel.receive().ok().flatten().map(|(said, _)| String::from_utf8_lossy(&said).into_owned());
        child.wait().map_err(|error| error.to_string())?;
        let said = said.ok_or("the process that mounts is gone")?;
        said.parse().map(Duration::from_nanos).map_err(|_| said)
    }

    fn start(&self, program: &Path, arguments: &[String], stop: &dyn Fn() -> bool) -> Result<Duration, String> {
        let log = File::create(self.place.log()).map_err(|error| error.to_string())?;
        let mut command = Command::new(program);
        command.args(arguments).current_dir(self.place.tree());
        // A process group of its own, so that signals from the terminal (Ctrl-C) do not reach it.
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).process_group(0);
        let started = Instant::now();
        let mut child = command.spawn().map_err(|error| format!("{}: {error}", program.display()))?;
        let mut live_after = None;
        loop {
            let ended = child.try_wait().map_err(|error| error.to_string())?;
            let took = started.elapsed();
            if let Some(status) = ended {
                let live = status.success() && is_mount_point(&self.root);
                return if live { Ok(live_after.unwrap_or(took)) } else { Err(self.why_not(&status.to_string())) };
            }
            if live_after.is_none() && is_mount_point(&self.root) {
                live_after = Some(took);
            }
            if let Some(live) = live_after.filter(|live| took > *live + TO_DETACH) {
                return Ok(live);
            }
            if took > TO_MOUNT || stop() {
                end_now(&mut child);
                return Err(self.why_not(&format!("no mount after {} s", took.as_secs())));
            }
            thread::sleep(Duration::from_micros(300));
        }
    }

    fn why_not(&self, status: &str) -> String {
        match self.place.last_words() {
            Some(said) => format!("does not mount ({status}): {said}"),
            None => format!("does not mount ({status})"),
        }
    }

    /// The path to which the merged tree must be copied before the measurement, if a copy is needed.
    pub(super) fn copy(&self) -> Option<PathBuf> {
        (!self.is_mount && self.root.starts_with(self.place.dir.join("run"))).then(|| self.root.clone())
    }

    /// The root of the merged tree.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// The upper directory; `None` for a plain directory.
    pub(super) fn upper(&self) -> Option<PathBuf> {
        self.is_mount.then(|| self.place.upper())
    }

    /// The sum over the processes that serve the mount; `None` if there are none, as for overlayfs and `native`.
    pub(super) fn daemon(&self) -> Option<Daemon> {
        let all = self.daemons().into_iter().filter_map(daemon);
        all.reduce(|a, b| Daemon {
            memory: a.memory + b.memory,
            memory_peak: a.memory_peak + b.memory_peak,
            descriptors: a.descriptors + b.descriptors,
            cpu: a.cpu + b.cpu,
        })
    }

    /// How a serving process ended, if one did, with the last line of its log. When the mount `is_gone`, a process must
    /// have ended, but the kernel may report the mount first: this waits up to a second for it.
    pub(super) fn died(&self, is_gone: bool) -> Option<String> {
        let patience = Instant::now() + if is_gone { Duration::from_secs(1) } else { Duration::ZERO };
        let mut said = None;
        loop {
            while let Ok(Some((id, status))) = process::reap() {
                match status {
                    _ if self.before.contains(&id) => {}
                    process::Status::Exited(0) => said = said.or(Some(ENDED.into())),
                    process::Status::Exited(code) => said = Some(format!("its process ended with {code}")),
                    process::Status::Signaled(signal) => {
                        said = Some(format!("its process was killed by signal {signal}"));
                    }
                }
            }
            // A process that exited with success may be the parent of one that failed and has not fully ended yet.
            let badly = said.as_ref().is_some_and(|said| said != ENDED);
            if badly || Instant::now() >= patience {
                break;
            }
            thread::sleep(Duration::from_millis(5));
        }
        let said: String = said?;
        Some(self.place.last_words().map_or(said.clone(), |words| format!("{said}: {words}")))
    }

    /// The live processes that serve the mount. Children of a process that has not ended yet are not listed.
    fn daemons(&self) -> Vec<u32> {
        orphans::children().into_iter().filter(|child| !self.before.contains(child)).collect()
    }

    /// Kills the serving processes, so that requests that wait for them fail.
    pub(super) fn kill(&self) {
        let patience = Instant::now() + TO_END;
        let mut killed = Vec::new();
        loop {
            let alive = self.daemons();
            for daemon in alive.iter().filter(|daemon| !killed.contains(*daemon)).copied().collect::<Vec<_>>() {
                // Fails only if it ended meanwhile.
                let _ = orphans::kill(daemon);
                killed.push(daemon);
            }
            // The children of a killed process become children of this one when it is gone.
            if alive.is_empty() || Instant::now() > patience {
                break;
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    fn unmount(&mut self) {
        let patience = Instant::now() + TO_END;
        let mut busy = self.is_mount;
        while busy {
            let lazily = Instant::now() > patience;
            let unmounted = mount::unmount(&self.root, lazily);
            busy = !lazily && unmounted.is_err_and(|error| error.may_be_busy());
            if busy {
                thread::sleep(Duration::from_millis(20));
            }
        }
        let patience = Instant::now() + TO_END;
        while !self.daemons().is_empty() && Instant::now() < patience {
            thread::sleep(Duration::from_millis(2));
        }
        self.kill();
        while let Ok(Some(_)) = process::reap() {}
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        self.unmount();
        // A rest that cannot be removed now is removed with the whole directory, or reported then.
        let _ = self.place.clear("run");
    }
}

fn end_now(child: &mut Child) {
    // Fails only if it ended meanwhile.
    let _ = child.kill();
    let _ = child.wait();
}

/// Reads the kernel's list of mounts: a call on the path itself could wait for the daemon.
fn is_mount_point(at: &Path) -> bool {
    let Ok(mounts) = fs::read_to_string("/proc/self/mountinfo") else { return false };
    let Some(at) = at.to_str() else { return false };
    let escaped = at.replace('\\', "\\134").replace(' ', "\\040").replace('\t', "\\011").replace('\n', "\\012");
    mounts.lines().any(|line| line.split(' ').nth(4) == Some(&escaped))
}

fn daemon(id: u32) -> Option<Daemon> {
    /// Clock ticks per second in which Linux reports CPU time to user space; the same on all common machines.
    const TICKS: f64 = 100.0;
    let status = fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let kilobytes = |field: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(field))?;
        line.trim_start_matches(':').split_whitespace().next()?.parse::<u64>().ok()
    };
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    let times = stat.rsplit_once(')')?.1.split_whitespace().skip(11).take(2);
    Some(Daemon {
        memory: kilobytes("VmRSS").unwrap_or(0) * 1024,
        memory_peak: kilobytes("VmHWM").unwrap_or(0) * 1024,
        descriptors: fs::read_dir(format!("/proc/{id}/fd")).map_or(0, |fds| fds.count() as u64),
        cpu: times.filter_map(|time| time.parse::<f64>().ok()).sum::<f64>() / TICKS,
    })
}

/// Copies directories and regular files; a merged tree has nothing else.
///
/// # Errors
/// The error of the file system.
pub(super) fn copy_tree(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_tree(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

fn change_dir(to: &Path) -> io::Result<()> {
    use std::os::unix::ffi::OsStrExt;
    let to = std::ffi::CString::new(to.as_os_str().as_bytes())?;
    Ok(process::change_dir(&to)?)
}
