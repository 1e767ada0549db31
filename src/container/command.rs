//! Turns a process inside the finished container into the command: sets streams, capabilities and user, then executes.

use std::cell::Cell;
use std::ffi::{CString, OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::account::Identity;
use super::error::{Absent, Doing, LaunchError};
use super::isolation::Security;
use super::launch::BEFORE_COMMAND;
use super::resources::Resources;
use super::spec::{DEFAULT_PATH, Process};
use super::virtual_ids;
use crate::sys::process::{self, Stream};
use crate::sys::{Capabilities, Channel, Dir, Errno, Kind, Root, pty, seccomp, signal};

type Result<T> = std::result::Result<T, LaunchError>;

/// What a process inside the container needs to become the command.
#[derive(Debug)]
pub(super) struct Command {
    pub(super) process: Process,
    /// Resolved before the switch to the new root; its path is not resolved again.
    pub(super) workdir: Dir,
    pub(super) identity: Identity,
    pub(super) capabilities: Capabilities,
    pub(super) security: Security,
    pub(super) resources: Resources,
    /// False in a user namespace that an ordinary user made without subordinate ids.
    pub(super) may_set_groups: bool,
    /// How many users and groups this user namespace maps.
    pub(super) mapped: (u64, u64),
    /// Whether the process outside passes a listener on to the supervisor of virtual ids.
    pub(super) virtual_ids: bool,
    pub(super) terminal: Option<OwnedFd>,
    /// Replaces standard input.
    pub(super) input: Option<File>,
}

impl Command {
    /// Becomes the command. Returns only when that failed, with the reason.
    pub(super) fn execute(mut self, outside: &Channel) -> LaunchError {
        match self.become_user(outside) {
            Ok(()) => self.become_program(),
            Err(error) => error,
        }
    }

    fn become_user(&mut self, outside: &Channel) -> Result<()> {
        process::new_session().doing("begin a session")?;
        self.take_streams().doing("set up standard input and output")?;
        signal::reset_all().doing("reset signals")?;
        process::enter_dir(&self.workdir).doing(format!("change to {}", self.process.workdir.display()))?;

        self.resources.set_ulimits()?;
        self.security.check_additions()?;
        self.capabilities.bound().doing("bound the capabilities")?;
        let virtual_ids = self.virtual_ids && virtual_ids::hand_over(outside, self.capabilities)?;
        // Installing a filter without no_new_privs needs a capability that the steps below drop. They use only calls
        // that every usable profile allows.
        if !self.security.no_new_privileges {
            self.filter_calls()?;
        }
        let Identity { uid, gid, ref groups, .. } = self.identity;
        let groups = (self.may_set_groups || virtual_ids).then_some(groups.as_slice());
        match process::become_user(uid, gid, groups) {
            Err(Errno::INVAL) => {
                let (users, groups) = self.mapped;
                return Err(LaunchError::Unmapped { uid, gid, users, groups });
            }
            other => other.doing(format!("become user {uid}, group {gid}"))?,
        }
        if virtual_ids && uid != 0 {
            // The kernel does this to whoever leaves root. To the kernel, a virtual user is still root.
            Capabilities::NONE.bound().doing("bound the capabilities")?;
            Capabilities::NONE.keep().doing("drop capabilities")?;
        }
        self.capabilities.keep().doing("drop capabilities")?;
        if self.security.no_new_privileges {
            process::gain_no_privileges().doing("give up further privileges")?;
        }
        process::set_umask(0o022);

        // Becoming another user cleared the parent-death signal: set it again. It does not fire for a parent that is
        // already dead, so check for that too.
        process::die_with_parent().doing("tie the container to this process")?;
        if outside.is_closed().doing("check the process outside")? {
            process::exit_now(0);
        }
        process::close_on_execute_from(3).doing("close descriptors")?;
        if self.security.no_new_privileges {
            self.filter_calls()?;
        }
        Ok(())
    }

    fn filter_calls(&self) -> Result<()> {
        process::set_name(BEFORE_COMMAND);
        for filter in self.security.filter().filters(self.capabilities)? {
            seccomp::install(&filter).doing("filter system calls")?;
        }
        Ok(())
    }

    fn take_streams(&self) -> std::result::Result<(), Errno> {
        if let Some(terminal) = &self.terminal {
            pty::take_as_terminal(terminal)?;
            for stream in [Stream::Input, Stream::Output, Stream::Error] {
                process::replace_standard(stream, terminal)?;
            }
            return Ok(());
        }
        if let Some(input) = &self.input {
            process::replace_standard(Stream::Input, input)?;
        }
        if self.identity.uid != 0 {
            process::give_standard_pipes(self.identity.uid);
        }
        Ok(())
    }

    fn become_program(mut self) -> LaunchError {
        if self.process.variable("HOME").is_none() {
            self.process.env.push(("HOME".into(), self.identity.home.clone().into()));
        }
        let Process { args, env, .. } = &self.process;
        let Some(program) = args.first() else {
            return LaunchError::NotFound { program: OsString::new(), reason: Absent::InPath };
        };
        let path = self.process.variable("PATH").unwrap_or(OsStr::new(DEFAULT_PATH));
        let env = env.iter().map(|(name, value)| c_string(&[name.as_os_str(), value].join(OsStr::new("="))));
        let strings = || -> Result<_> {
            let args = args.iter().map(|arg| c_string(arg)).collect::<Result<Vec<_>>>()?;
            Ok((args, env.collect::<Result<Vec<_>>>()?))
        };
        match strings() {
            Ok((args, env)) => search(program, path, |file| match c_string(file.as_os_str()) {
                Ok(file) => match process::execute(&file, &args, &env) {
                    Err(errno) => errno,
                },
                Err(_) => Errno::INVAL,
            }),
            Err(error) => error,
        }
    }
}

fn c_string(text: &OsStr) -> Result<CString> {
    CString::new(text.as_bytes()).map_err(|_| Errno::INVAL).doing(format!("pass on {text:?}"))
}

/// Tries every file that `program` can name, as `execvp(3)` does. Returns the reason why none started.
fn search(program: &OsStr, path: &OsStr, execute: impl Fn(&Path) -> Errno) -> LaunchError {
    let cannot = |errno| LaunchError::CannotExecute { program: program.to_owned(), errno };
    let absent = |reason| LaunchError::NotFound { program: program.to_owned(), reason };
    let exists = |file: &Path| !matches!(file.symlink_metadata(), Err(e) if e.kind() == io::ErrorKind::NotFound);
    if program.as_bytes().contains(&b'/') {
        let file = Path::new(program);
        return match execute(file) {
            Errno::NOENT if exists(file) => absent(Absent::Interpreter),
            Errno::NOENT | Errno::NOTDIR => absent(Absent::File),
            errno => cannot(errno),
        };
    }
    if program.is_empty() {
        return absent(Absent::InPath);
    }
    let mut refused = None;
    for dir in path.as_bytes().split(|&b| b == b':') {
        let dir = if dir.is_empty() { Path::new(".") } else { Path::new(OsStr::from_bytes(dir)) };
        let file = dir.join(program);
        match execute(&file) {
            Errno::NOENT if exists(&file) => return absent(Absent::Interpreter),
            Errno::NOENT | Errno::NOTDIR => {}
            Errno::ACCESS => refused = Some(Errno::ACCESS),
            errno => return cannot(errno),
        }
    }
    refused.map_or_else(|| absent(Absent::InPath), cannot)
}

/// Why `args` cannot run in `root`, before any volume is mounted there; `None` if the program is there and executable.
pub(super) fn missing(root: &Root, args: &[OsString], path: Option<&OsStr>) -> Option<LaunchError> {
    const EXECUTE: u32 = 0o111;
    let program = args.first()?;
    let found = Cell::new(false);
    let error = search(program, path.unwrap_or(OsStr::new(DEFAULT_PATH)), |file| {
        match root.open_path(file).and_then(|file| file.stat()) {
            Ok(stat) if stat.kind == Kind::Regular && stat.perm & EXECUTE != 0 => {
                found.set(true);
                Errno::NOEXEC
            }
            Ok(_) => Errno::ACCESS,
            Err(errno) => errno,
        }
    });
    if found.get() { None } else { Some(error) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    #[test]
    fn a_program_is_searched_as_execvp_does() {
        let nothing: &[(&str, Errno)] = &[];
        for (program, answers, tried, expected) in [
            ("x", nothing, "/a/x ./x /b/x", not_found("x", Absent::InPath)),
            ("x", &[("/a/x", Errno::ACCESS)], "/a/x ./x /b/x", refused("x", Errno::ACCESS)),
            ("x", &[("/a/x", Errno::NOEXEC)], "/a/x", refused("x", Errno::NOEXEC)),
            ("/q/x", &[], "/q/x", not_found("/q/x", Absent::File)),
            ("/q/x", &[("/q/x", Errno::ACCESS)], "/q/x", refused("/q/x", Errno::ACCESS)),
            ("", &[], "", not_found("", Absent::InPath)),
        ] {
            let executed = RefCell::new(Vec::new());
            let got = search(OsStr::new(program), OsStr::new("/a::/b"), |file| {
                let file = file.to_str().unwrap();
                executed.borrow_mut().push(file.to_owned());
                answers.iter().find(|(name, _)| *name == file).map_or(Errno::NOENT, |(_, errno)| *errno)
            });
            assert_eq!(got, expected, "{program}");
            assert_eq!(executed.into_inner().join(" "), tried, "{program}");
        }
    }

    fn not_found(program: &str, reason: Absent) -> LaunchError {
        LaunchError::NotFound { program: program.into(), reason }
    }

    fn refused(program: &str, errno: Errno) -> LaunchError {
        LaunchError::CannotExecute { program: program.into(), errno }
    }
}
