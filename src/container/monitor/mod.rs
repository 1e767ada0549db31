//! The monitor: one process for each container that runs. It owns the container's mount, terminal, log and exit code.
//!
//! ```text
//!   run, start ──fork──► monitor ──fork──► the container's first process
//!        ▲                 │  ▲ └─ thread: serves the mount
//!        └── attached ─────┘  │
//!   attach, stop, wait, … ────┘ by the socket in the container's directory
//! ```
//!
//! The monitor begins a session of its own and outlives the process that started it. While it lives it holds the
//! container's lock. When it is killed, the kernel kills the container with it, ends the mount and frees the lock, so
//! that other commands see what happened. It starts the container again if the restart policy says so, and removes it if
//! it was run with `--rm`.
//!
//! It never waits for one of its clients. A client that reads slowly makes the container wait, as a pipe would, while
//! that client lives; signals and requests still arrive.

mod attend;
mod clients;
mod job;
pub(super) mod protocol;
mod run;

use std::time::{Duration, Instant};

use super::log;
use super::restart::pause;
use super::settings::Settings;
use super::state::{State, Status};
use crate::image;
use crate::sys::process::{self, Stream};
use crate::sys::pty::WindowSize;
use crate::sys::signal::Messages;
use crate::sys::socket::Listener;
use crate::sys::{Channel, DescriptorLimit, Errno, Namespaces};

use clients::{Client, Clients};
use job::Failure;
use protocol::{Event, SOCKET};
use run::Run;

pub use job::Job;

/// What the process that starts a monitor has to do with the container.
#[derive(Clone, Copy, Debug, Default)]
pub struct Starter {
    /// It gets the output from the first byte on.
    pub attached: bool,
    /// It gives the input.
    pub input: bool,
    /// The size of its terminal.
    pub window: Option<WindowSize>,
}

/// Forks a monitor, which calls `prepare` and runs what that returns. Returns this process's channel to it. This process
/// must have one thread.
///
/// `prepare` must use no descriptor that is open now: the monitor closes all but the standard streams.
///
/// # Errors
/// As `fork(2)`; `EDEADLK` when this process has several threads.
pub(super) fn start(starter: Starter, prepare: impl FnOnce() -> Result<Job, String>) -> Result<Channel, Errno> {
    let work = |channel| monitor(channel, starter, prepare);
    process::spawn_connected(Namespaces::empty(), work).map(|(_, channel)| channel)
}

fn monitor(channel: Channel, starter: Starter, prepare: impl FnOnce() -> Result<Job, String>) -> i32 {
    let begin = || -> Result<(), Errno> {
        process::new_session()?;
        process::close_all_but(&channel)?;
        channel.set_nonblocking()
    };
    let begun = begin();
    let mut client = Client::new(channel);
    client.attached = starter.attached;
    client.input = starter.input;
    client.is_starter = true;
    let job = match begun.map_err(|errno| format!("cannot begin a session: {errno}")).and_then(|()| prepare()) {
        Ok(job) => job,
        Err(reason) => return fail(client, reason),
    };
    match Monitor::new(job, starter.window) {
        Ok(mut monitor) => {
            monitor.clients.0.push(client);
            monitor.run();
            0
        }
        Err(errno) => fail(client, format!("cannot begin to monitor the container: {errno}")),
    }
}

fn fail(mut client: Client, reason: String) -> i32 {
    client.tell(&Event::Failed { reason, exit_code: Failure::OURS });
    1
}

/// A monitor, in its own process.
#[derive(Debug)]
struct Monitor {
    job: Job,
    listener: Listener,
    /// Signals to the monitor itself: a host that shuts down sends SIGTERM.
    signals: Messages,
    clients: Clients,
    log: log::Writer,
    window: Option<WindowSize>,
    /// Whether this process still has the standard streams of the process that started it.
    has_their_streams: bool,
    /// The limit of open files that the container gets.
    limit: DescriptorLimit,
    orders: Orders,
}

/// What the user has ordered.
#[derive(Debug, Default)]
struct Orders {
    /// The container was stopped or killed, so it does not start again.
    ended: bool,
    /// When to kill what a stop signal has not ended.
    kill_at: Option<Instant>,
    /// It is not removed, although it was run with `--rm`.
    keep: bool,
}

impl Monitor {
    fn new(job: Job, window: Option<WindowSize>) -> Result<Monitor, Errno> {
        let dir = job.container.dir();
        Ok(Monitor {
            listener: Listener::bind(dir, SOCKET)?,
            signals: Messages::receive()?,
            clients: Clients::default(),
            log: log::Writer::new(dir.to_owned(), job.settings.life.log),
            window,
            has_their_streams: true,
            limit: DescriptorLimit::now(),
            orders: Orders::default(),
            job,
        })
    }

    /// Runs the container, again and again if the restart policy says so.
    fn run(mut self) {
        let mut state = State { restarts: 0, ..State::recorded(&self.job.container) };
        let mut waited = None;
        loop {
            let begun = Instant::now();
            let ran = self.once(&mut state);
            state.process = None;
            let exit_code = match &ran {
                Ok(exit_code) => {
                    (state.status, state.finished) = (Status::Exited, Some(image::Instant::now()));
                    *exit_code
                }
                Err(failure) => {
                    state.status = if state.finished.is_some() { Status::Exited } else { Status::Created };
                    state.error = Some(failure.reason.clone());
                    failure.exit_code
                }
            };
            state.exit_code = Some(exit_code);
            if ran.is_err() || !self.starts_again(exit_code, state.restarts) {
                return self.end(&state, ran);
            }
            let next = pause(waited, begun.elapsed());
            waited = Some(next);
            self.record(&State { status: Status::Restarting, ..state.clone() });
            self.clients.let_go(&Event::Ended { exit_code });
            self.rest(next);
            if self.orders.ended {
                return self.end(&state, ran);
            }
            state.restarts += 1;
        }
    }

    fn starts_again(&self, exit_code: u8, restarts: u32) -> bool {
        // `update` may have changed the policy.
        let settings = Settings::of(&self.job.container);
        let policy = settings.map_or(self.job.settings.life.restart, |settings| settings.life.restart);
        !self.orders.ended && policy.starts_again(exit_code, restarts)
    }

    /// Runs the container once. Returns its exit code.
    fn once(&mut self, state: &mut State) -> Result<u8, Failure> {
        process::set_umask(0o022);
        self.limit.restore();
        let files = self.job.files()?;
        let mut plan = self.job.plan(self.window)?;
        plan.virtual_ids &= files.has_one_owner();
        let at = plan.root.clone();
        let mut run = Run::new(plan, self.job.settings.interactive)?;
        let served = files.serve(&at)?;
        if let Err(error) = run.connected() {
            // Ignores the errors: the network's explains more.
            let _ = run.child().kill();
            let _ = (run.end(), served.end());
            process::wait_to_be_alone();
            return Err(error.into());
        }
        run.record_owners_in(served.direct())?;
        *state = State {
            status: Status::Running,
            process: run.process(),
            started: Some(image::Instant::now()),
            finished: state.finished,
            exit_code: None,
            oom_killed: false,
            error: None,
            restarts: state.restarts,
        };
        self.record(state);
        run.go();
        let attended = self.attend(&mut run, state);
        if attended.is_err() {
            // Ignores the error: it means that the process has ended.
            let _ = run.kill();
        }
        let drained = run.drain(&mut self.log, &mut self.clients);
        self.announce(&run);
        state.oom_killed = run.ran_out_of_memory();
        let ended = run.end();
        self.log.finish();
        // No process uses the mount any more, so this also writes back what the kernel still caches.
        let served = served.end();
        process::wait_to_be_alone();
        // An error of the container explains more than one of the mount.
        attended?;
        drained?;
        let status = ended?;
        served?;
        Ok(status.code())
    }

    /// Tells the process that started the monitor that the command runs.
    fn announce(&mut self, run: &Run) {
        if !self.has_their_streams || !run.is_started() {
            return;
        }
        for client in self.clients.0.iter_mut().filter(|client| client.is_starter) {
            client.tell(&Event::Started { id: self.job.container.id.clone() });
        }
        self.leave_streams();
    }

    fn record(&self, state: &State) {
        if let Err(error) = state.record(&self.job.container) {
            tracing::warn!(%error, "other commands do not see the container's state");
        }
    }

    /// Records the end, lets go of the container, and tells the clients.
    fn end(mut self, state: &State, ran: Result<u8, Failure>) {
        let Job { store, container, in_use, settings, .. } = self.job;
        let remove = settings.auto_remove && !self.orders.keep;
        if !remove && let Err(error) = state.record(&container) {
            tracing::warn!(%error, "other commands do not see that the container has ended");
        }
        // A process that connects from now on is refused, and sees the recorded state.
        let _ = std::fs::remove_file(container.dir().join(SOCKET));
        drop(self.listener);
        drop(in_use);
        let removed = || store.remove_container(&container).and_then(|()| store.remove_volumes_of(&container));
        if remove && let Err(error) = removed() {
            tracing::warn!(%error, "the container is left");
        }
        let event = match ran {
            Ok(exit_code) => Event::Ended { exit_code },
            Err(Failure { reason, exit_code }) => Event::Failed { reason, exit_code },
        };
        self.clients.0.iter_mut().for_each(|client| client.tell(&event));
        self.clients.flush();
    }

    /// Gives up the standard streams of the process that started this one, so that nobody waits for their end.
    fn leave_streams(&mut self) {
        if !std::mem::replace(&mut self.has_their_streams, false) {
            return;
        }
        // Warnings of the server go to a file, which goes with the container.
        let path = self.job.container.dir().join("monitor.log");
        let null = std::fs::File::options().read(true).write(true).open("/dev/null");
        let kept = if self.job.settings.auto_remove { None } else { Some(path) };
        let log = kept.and_then(|path| std::fs::File::options().create(true).append(true).open(path).ok());
        let Ok(null) = null else { return };
        for stream in [Stream::Input, Stream::Output] {
            let _ = process::replace_standard(stream, &null);
        }
        let _ = process::replace_standard(Stream::Error, log.as_ref().unwrap_or(&null));
        let _ = process::change_dir(c"/");
    }

    /// Waits for the next start, and answers clients meanwhile.
    fn rest(&mut self, pause: Duration) {
        let until = Instant::now() + pause;
        while !self.orders.ended && Instant::now() < until {
            if let Err(error) = self.attend_clients(None, Some(until)) {
                tracing::warn!(error = error.reason, "the container does not start again");
                self.orders.ended = true;
            }
        }
    }
}
