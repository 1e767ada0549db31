//! The process that serves the mounts of one worker: this program again, which reads requests from a pipe.
//!
//! It is not a thread of the worker, since a process that uses a mount which it serves itself may become unkillable.
//! There is one for all mounts, since starting a process takes longer than a sequence.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Mutex;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use overfuse::fuse::{self, Options, Session};
use overfuse::sys::Errno;
use overfuse::union::Union;

/// The environment variable that makes this program a server.
const SERVE: &str = "OVERFUSE_TEST_SERVE";
/// The first character of an answer, since the test harness writes to standard output too.
const ANSWER: &str = "\u{1}";

pub struct Server {
    child: Child,
    pipes: Mutex<(ChildStdin, BufReader<ChildStdout>)>,
}

impl Server {
    /// Starts a server in the mount namespace of the calling thread.
    pub fn start() -> Server {
        let mut child = Command::new(std::env::current_exe().expect("the path of this program"))
            .args(["--exact", "server::this_process_serves_where_it_is_told_to", "--nocapture", "--test-threads=1"])
            .env(SERVE, "yes")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("start this program again");
        let input = child.stdin.take().expect("it is piped");
        let output = BufReader::new(child.stdout.take().expect("it is piped"));
        Server { child, pipes: Mutex::new((input, output)) }
    }

    pub fn mount(&self, options: &str, at: &Path) -> Result<(), String> {
        self.ask(&format!("mount\t{}\t{options}", at.display()))
    }

    pub fn unmount(&self, at: &Path) -> Result<(), String> {
        self.ask(&format!("unmount\t{}", at.display()))
    }

    fn ask(&self, what: &str) -> Result<(), String> {
        let mut pipes = self.pipes.lock().expect("no worker panics while it asks");
        let (input, output) = &mut *pipes;
        writeln!(input, "{what}").map_err(|error| format!("the server is gone: {error}"))?;
        loop {
            let mut line = String::new();
            match output.read_line(&mut line) {
                Ok(0) => return Err(format!("the server ended when told to {what}")),
                Ok(_) => {}
                Err(error) => return Err(error.to_string()),
            }
            match line.split_once(ANSWER) {
                Some((_, "ok\n")) => return Ok(()),
                Some((_, failure)) => return Err(failure.trim().into()),
                None => {}
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Killed, since it may hang.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The main function of the server process; not a test. Without the environment variable it does nothing.
#[test]
fn this_process_serves_where_it_is_told_to() {
    if std::env::var_os(SERVE).is_none() {
        return;
    }
    // The kernel sends modes and the user's umask; a umask of this process must not apply too.
    rustix::process::umask(rustix::fs::Mode::empty());
    let mut served = HashMap::new();
    for line in std::io::stdin().lines() {
        let line = line.expect("read from the worker");
        let words: Vec<&str> = line.split('\t').collect();
        let done = match words[..] {
            ["mount", at, options] => mount(options, Path::new(at)).map(|thread| {
                served.insert(PathBuf::from(at), thread);
            }),
            ["unmount", at] => {
                served.remove(Path::new(at)).map_or(Err("not mounted".into()), |t| unmount(Path::new(at), t))
            }
            _ => Err(format!("{line} is no request")),
        };
        println!("{ANSWER}{}", done.map_or_else(|error| error.replace('\n', " "), |()| "ok".into()));
    }
}

type Serving = JoinHandle<std::io::Result<()>>;

fn mount(options: &str, at: &Path) -> Result<Serving, String> {
    let options = Options::parse(options).map_err(|error| error.to_string())?;
    let spec = options.spec().map_err(|error| error.to_string())?;
    let union = Union::open(&spec).map_err(|error| format!("{error}: {:?}", std::error::Error::source(&error)))?;
    let session = Session::mount(union, at, &options).map_err(|error| format!("{error:?}"))?;
    Ok(std::thread::spawn(|| session.serve()))
}

fn unmount(at: &Path, serving: Serving) -> Result<(), String> {
    patiently(|| fuse::unmount(at, false))?;
    match serving.join() {
        Ok(served) => served.map_err(|error| format!("serving: {error}")),
        Err(_) => Err("the thread that serves panicked".into()),
    }
}

/// Unmounts, and tries again while the mount is busy: a process that another thread starts holds this process's open
/// files until its `exec`.
pub fn patiently(unmount: impl Fn() -> Result<(), Errno>) -> Result<(), String> {
    let patience = Instant::now() + Duration::from_secs(3);
    loop {
        match unmount() {
            Err(Errno::BUSY) if Instant::now() < patience => std::thread::sleep(Duration::from_millis(5)),
            other => return other.map_err(|error| format!("unmounting: {error}")),
        }
    }
}
