//! The monitor's loop: waits for the container and for clients, and does what clients request.

use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use super::Monitor;
use super::clients::Client;
use super::job::Failure;
use super::protocol::{Event, Request, window};
use super::run::Run;
use crate::container::state::State;
use crate::sys::Errno;
use crate::sys::poll::{self, Interest};
use crate::sys::signal;

/// A descriptor that is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Listener,
    /// Requests of the client with this index.
    Client(usize),
    /// The client with this index takes more.
    Room(usize),
    Signals,
    /// The first process has ended.
    Ended,
    /// The first process has something to say, or is the command now.
    Channel,
    Output(usize),
}

impl Monitor {
    /// Attends to the container until its first process has ended.
    pub(super) fn attend(&mut self, run: &mut Run, state: &mut State) -> Result<(), Failure> {
        self.welcome(run);
        loop {
            if self.attend_clients(Some(run), self.orders.kill_at)? {
                return Ok(());
            }
            if state.process != run.process() {
                // An OCI runtime has made it.
                state.process = run.process();
                self.record(state);
            }
            self.announce(run);
            if self.orders.kill_at.is_some_and(|at| at <= Instant::now()) {
                self.orders.kill_at = None;
                run.kill()?;
            }
        }
    }

    fn welcome(&mut self, run: &Run) {
        self.clients.0.iter_mut().for_each(|client| run.welcome(client));
    }

    /// Waits once, until `until` at most, and does what there is to do. Returns whether the container has ended.
    pub(super) fn attend_clients(
        &mut self,
        mut run: Option<&mut Run>,
        until: Option<Instant>,
    ) -> Result<bool, Failure> {
        let ready = self.ready(run.as_deref(), until)?;
        // Takes what the container printed before handling its end.
        for &source in &ready {
            match (source, run.as_deref_mut()) {
                (Source::Listener, _) => {
                    while let Some(channel) = self.listener.accept()? {
                        self.clients.0.push(Client::new(channel));
                    }
                }
                (Source::Room(index), _) => self.clients.0[index].catch_up(),
                (Source::Client(index), mut run) => {
                    while let Some(request) = self.clients.0[index].request() {
                        self.serve(index, request, run.as_deref_mut());
                    }
                }
                (Source::Signals, run) => self.obey_signals(run)?,
                (Source::Channel, Some(run)) => {
                    run.hear()?;
                    self.welcome(run);
                }
                (Source::Output(index), Some(run)) => {
                    run.listen(index, &mut self.log, &mut self.clients);
                }
                (Source::Ended | Source::Channel | Source::Output(_), _) => {}
            }
        }
        self.bury(run);
        Ok(ready.contains(&Source::Ended))
    }

    fn ready(&self, run: Option<&Run>, until: Option<Instant>) -> Result<Vec<Source>, Errno> {
        let mut waited: Vec<(Source, BorrowedFd<'_>, Interest)> = vec![
            (Source::Listener, self.listener.as_fd(), Interest::Read),
            (Source::Signals, self.signals.as_fd(), Interest::Read),
        ];
        for (index, client) in self.clients.0.iter().enumerate() {
            waited.push((Source::Client(index), client.as_fd(), Interest::Read));
            if client.is_behind() {
                waited.push((Source::Room(index), client.as_fd(), Interest::Write));
            }
        }
        if let Some(run) = run {
            waited.push((Source::Ended, run.child().as_fd(), Interest::Read));
            waited.extend(run.channel().map(|channel| (Source::Channel, channel, Interest::Read)));
            if !self.clients.are_slow() {
                waited.extend(run.outputs().map(|(index, fd)| (Source::Output(index), fd, Interest::Read)));
            }
        }
        let interests: Vec<_> = waited.iter().map(|&(_, fd, interest)| (fd, interest)).collect();
        let ready = match until {
            Some(until) => poll::wait_for(&interests, until.saturating_duration_since(Instant::now()))?,
            None => poll::wait(&interests)?,
        };
        Ok(waited.iter().zip(ready).filter(|(_, ready)| *ready).map(|((source, ..), _)| *source).collect())
    }

    /// Forgets the clients that are gone.
    fn bury(&mut self, mut run: Option<&mut Run>) {
        let is_orphan = self.clients.0.iter().any(|client| !client.is_open() && client.is_starter);
        // Who interrupts a start wants no container.
        if is_orphan && self.has_their_streams {
            self.stop(Some(signal::KILL), None, run.as_deref_mut());
        }
        let gave_input = self.clients.0.iter().any(|client| !client.is_open() && client.input);
        if gave_input
            && self.job.settings.life.input_once
            && let Some(run) = run
        {
            run.end_input();
        }
        self.clients.0.retain(Client::is_open);
    }

    /// Signals to the monitor itself stop the container.
    fn obey_signals(&mut self, run: Option<&mut Run>) -> Result<(), Errno> {
        let mut run = run;
        while let Some(number) = self.signals.next()? {
            if let signal::HANGUP | signal::INTERRUPT | signal::TERMINATE = number {
                self.stop(None, None, run.as_deref_mut());
            }
        }
        Ok(())
    }

    fn serve(&mut self, index: usize, request: Request, run: Option<&mut Run>) {
        let client = &mut self.clients.0[index];
        match (request, run) {
            (Request::Attach { input }, Some(run)) => {
                (client.attached, client.input) = (true, input);
                run.welcome(client);
            }
            (Request::EndInput, Some(run)) => {
                client.input = false;
                if self.job.settings.life.input_once {
                    run.end_input();
                }
            }
            (Request::Resize { rows, columns }, run) => {
                let size = window(rows, columns);
                self.window = Some(size);
                if let Some(run) = run {
                    run.resize(size);
                }
            }
            (Request::Pass(number), Some(run)) => {
                let ends = matches!(number, signal::INTERRUPT | signal::TERMINATE);
                client.pleas += u32::from(ends);
                // The kernel spares a first process that has no handler. Outside of a container the first signal would
                // have ended it, so the second one does here.
                let spared = ends && client.pleas == 2 && run.process().is_some_and(|process| !process.minds(number));
                if spared {
                    self.orders.ended = true;
                }
                let _ = run.signal(if spared { signal::KILL } else { number });
            }
            (Request::Kill(number), Some(run)) => {
                let answer = match run.signal(number) {
                    Ok(()) => Event::Done,
                    Err(errno) => Event::Refused(format!("cannot send signal {number}: {errno}")),
                };
                client.tell(&answer);
                self.orders.ended |= number == signal::KILL || number == self.job.stop_signal();
            }
            (Request::Stop { signal, seconds, keep }, run) => {
                client.waits = true;
                self.orders.keep |= keep;
                self.stop(signal, seconds, run);
            }
            (Request::Wait, _) => client.waits = true,
            (Request::Follow, _) => client.follows = true,
            (Request::Kill(_), None) => {
                client.tell(&Event::Done);
                self.orders.ended = true;
            }
            (Request::Attach { .. }, None) => {
                client.tell(&Event::Refused("the container is about to start again".into()));
            }
            (Request::EndInput | Request::Pass(_), None) => {}
        }
    }

    /// Sends the stop signal, and SIGKILL later.
    fn stop(&mut self, signal: Option<i32>, seconds: Option<i64>, run: Option<&mut Run>) {
        self.orders.ended = true;
        let Some(run) = run else { return };
        let seconds = seconds.unwrap_or_else(|| self.job.settings.life.stop_timeout());
        if let Ok(seconds) = u64::try_from(seconds) {
            let at = Instant::now().checked_add(Duration::from_secs(seconds));
            self.orders.kill_at = [self.orders.kill_at, at].into_iter().flatten().min();
        }
        if run.signal(signal.unwrap_or_else(|| self.job.stop_signal())).is_err() {
            let _ = run.kill();
        }
    }
}
