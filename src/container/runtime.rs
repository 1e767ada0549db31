//! The first process of a container that an OCI runtime makes: it has the runtime make the container, then waits for it.
//!
//! ```text
//!   launcher ──fork──► this process ──► runtime create, start, delete
//!                            └── the container's process 1, which the runtime leaves behind
//! ```
//!
//! It is process 1 of a PID namespace that holds the runtime too, so that all of it ends when this process ends, and this
//! process ends with the launcher. To the launcher it looks as the first process of any container: it waits for the root
//! to be served, hands over the terminal, passes signals on, and its exit code is the command's.

use std::ffi::{CString, OsStr};
use std::fs::{self, File};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::bundle::{self, BundleError, Runner};
use super::child::{self, CONSOLE, FAILED, PROCESS};
use super::command;
use super::error::{Doing, LaunchError};
use super::plan::{Input, Plan, Runtime};
use crate::sys::poll::{self, Interest};
use crate::sys::process::{self, Child, Status, Stream};
use crate::sys::signal::{self, Messages};
use crate::sys::{
    Channel, ConsoleSocket, Detached, Dir, Errno, IdMaps, Namespaces, Reach, Refuse, Root, is_root_of_host, namespace,
    pty,
};

type Result<T> = std::result::Result<T, LaunchError>;

/// The names of files in the runtime's directory, which is the bundle and the working directory of the runtime.
const STATE: &str = "state";
const LOG: &str = "log";
const PID: &str = "pid";
const TERMINAL: &str = "terminal";

/// Runs the process. Returns its exit status.
pub(super) fn run(plan: Plan, runtime: Runtime, channel: Channel) -> i32 {
    let began = (|| {
        process::die_with_parent().doing("tie the container to this process")?;
        process::close_all_but(&channel).doing("close the descriptors of others")?;
        channel.receive().doing("wait for the root").map(|message| message.is_some())
    })();
    let error = match began {
        Ok(true) => match Made::new(plan, runtime, &channel) {
            Ok(made) => {
                // The launcher takes this for the start of the command.
                drop(channel);
                return made.attend();
            }
            Err(error) => error,
        },
        Ok(false) => return FAILED,
        Err(error) => error,
    };
    child::report(&channel, &error)
}

/// A runtime in its directory.
struct Caller {
    runtime: Runtime,
    /// With absolute path.
    program: CString,
    /// Standard input of the container.
    input: Option<File>,
}

/// A container that runs.
struct Made {
    caller: Caller,
    messages: Messages,
    container: Child,
}

impl Made {
    fn new(plan: Plan, runtime: Runtime, channel: &Channel) -> Result<Made> {
        let messages = Messages::receive_with_children().doing("receive signals")?;
        process::set_umask(0o022);
        own_proc()?;
        let (terminal, window) = (plan.process.terminal, plan.window);
        let input = match (terminal, plan.input) {
            (false, Input::Attached) => None,
            _ => Some(File::open("/dev/null").doing("open /dev/null")?),
        };
        let args = plan.process.args.clone();
        let path = plan.process.variable("PATH").map(OsStr::to_owned);
        let root = plan.root.clone();
        if !plan.security.allows_nodes() {
            let refuse = || Detached::refuse(Dir::open_host(&root)?, Refuse::DEVICES, Reach::Top);
            refuse().doing(format!("refuse devices on {}", root.display()))?;
        }
        write_bundle(plan, &runtime)?;

        let program = CString::new(runtime.program.as_os_str().as_bytes()).map_err(|_| Errno::INVAL);
        let caller = Caller { program: program.doing("name the runtime")?, runtime, input };
        let socket = terminal.then(|| ConsoleSocket::bind(Path::new(TERMINAL)));
        let socket = socket.transpose().doing("make a socket for the terminal")?;
        let mut create = vec!["create", "--bundle", ".", "--pid-file", PID];
        if socket.is_some() {
            create.extend(["--console-socket", TERMINAL]);
        }
        caller.call(&create).map_err(|error| match Dir::open_host(&root) {
            Ok(root) => command::missing(&Root::from(root), &args, path.as_deref()).unwrap_or(error),
            Err(_) => error,
        })?;
        let pid = fs::read_to_string(PID).doing("read the number of the container's process")?;
        let container = Child::adopted(pid.trim().parse().unwrap_or(0)).doing("find the container's process")?;
        if let Some(socket) = socket {
            let master = socket.take().doing("take the container's terminal")?;
            if let Some(size) = window {
                pty::set_window_size(&master, size).doing("set the size of the terminal")?;
            }
            channel.send(CONSOLE, Some(master.as_fd())).doing("hand the terminal over")?;
        }
        channel.send(PROCESS, Some(container.as_fd())).doing("name the container's process")?;
        caller.call(&["start"])?;
        Ok(Made { caller, messages, container })
    }

    /// Passes signals on until the container has ended, and removes it from the runtime. Returns its exit status.
    fn attend(self) -> i32 {
        let ended = self.wait();
        // Its processes are gone; what cannot be removed is the runtime's own record.
        let _ = self.caller.call(&["delete", "--force"]);
        ended.map_or(FAILED, |status| status.code().into())
    }

    fn wait(&self) -> std::result::Result<Status, Errno> {
        loop {
            poll::wait(&[(self.messages.as_fd(), Interest::Read)])?;
            while let Some(signal) = self.messages.next()? {
                if signal != signal::CHILD_ENDED {
                    self.container.signal(signal)?;
                    continue;
                }
                while let Some((pid, status)) = process::reap()? {
                    if pid == self.container.id() {
                        return Ok(status);
                    }
                }
            }
        }
    }
}

/// Mounts a `/proc` that shows this PID namespace: the runtime looks processes up there.
fn own_proc() -> Result<()> {
    namespace::enter_new(Namespaces::MOUNT).doing("make a mount namespace")?;
    namespace::make_mounts_private().doing("make mounts private")?;
    let refuse = Refuse::SET_ID.and(Refuse::DEVICES).and(Refuse::EXECUTION);
    let proc = Detached::new(c"proc", &[], refuse).doing("mount /proc (is this itself a container?)")?;
    Dir::open_host(Path::new("/proc")).and_then(|at| proc.attach(at)).doing("mount /proc")
}

/// Makes the runtime's directory anew, with the bundle in it, and enters it.
fn write_bundle(plan: Plan, runtime: &Runtime) -> Result<()> {
    let dir = &runtime.dir;
    let doing = || format!("make {}", dir.display());
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error).doing(doing()),
        _ => fs::create_dir(dir).doing(doing())?,
    }
    let here = CString::new(dir.as_os_str().as_bytes()).map_err(|_| Errno::INVAL);
    here.and_then(|here| process::change_dir(&here)).doing(format!("change to {}", dir.display()))?;
    let runner = match is_root_of_host() {
        true => Runner::Root,
        false => Runner::Namespace(IdMaps::of_this_process().doing("read /proc/self/uid_map")?),
    };
    let root = plan.root.clone();
    let written = bundle::configuration(plan, &runner, &root, Default::default())
        .and_then(|configuration| bundle::write(&configuration.spec, Path::new(".")));
    written.map_err(|error| match error {
        BundleError::Launch(error) => error,
        other => LaunchError::Runtime { program: runtime.program.clone(), said: other.to_string() },
    })
}

impl Caller {
    /// Calls the runtime with a command about the container, and waits for its end.
    fn call(&self, command: &[&str]) -> Result<()> {
        let Runtime { program, id, .. } = &self.runtime;
        let name = program.file_name().unwrap_or_default().to_string_lossy();
        let [first, options @ ..] = command else { return Ok(()) };
        let words = [&name, "--root", STATE, "--log", LOG, "--log-format", "json", first];
        let words = words.iter().copied().chain(options.iter().copied()).chain([id.as_str()]);
        let args = words.map(CString::new).collect::<std::result::Result<Vec<_>, _>>();
        let args = args.map_err(|_| Errno::INVAL).doing(format!("call {name}"))?;
        // For the programs that a runtime calls; it needs nothing else of ours.
        let env = [c"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned()];
        let child = process::spawn(Namespaces::empty(), || {
            let execute = || -> std::result::Result<(), Errno> {
                signal::reset_all()?;
                if let Some(input) = &self.input {
                    process::replace_standard(Stream::Input, input)?;
                }
                process::close_on_execute_from(3)?;
                process::execute(&self.program, &args, &env).map(drop)
            };
            execute().map_or_else(|errno| NOT_STARTED + i32::from(errno == Errno::NOENT), |()| FAILED)
        });
        let status = child.and_then(Child::wait).doing(format!("call {name}"))?;
        if status == Status::Exited(0) {
            return Ok(());
        }
        let said = last_error(Path::new(LOG)).unwrap_or_else(|| format!("`{first}` ended with {}", status.code()));
        Err(LaunchError::Runtime { program: program.clone(), said })
    }
}

/// The exit status of a runtime that cannot be executed.
const NOT_STARTED: i32 = 126;

/// The last error in the log of a runtime.
fn last_error(log: &Path) -> Option<String> {
    #[derive(Deserialize)]
    struct Line {
        level: String,
        msg: String,
    }
    let text = fs::read_to_string(log).ok()?;
    let mut lines = text.lines().rev().filter_map(|line| serde_json::from_str::<Line>(line).ok());
    lines.find(|line| line.level == "error").map(|line| line.msg)
}

/// The file of a program named as a user names it: a path, or a name to look for in `dirs`. `None` if there is no such
/// file.
pub fn find(name: &Path, dirs: &[PathBuf]) -> Option<PathBuf> {
    let is_program = |path: &PathBuf| path.is_file();
    if name.components().count() > 1 || name.is_absolute() {
        return name.canonicalize().ok().filter(is_program);
    }
    dirs.iter().filter(|dir| dir.is_absolute()).map(|dir| dir.join(name)).find(is_program)
}
