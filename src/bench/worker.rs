//! Runs one measurement in a child process, so that a crash or a hang of the child does not end the benchmark.

use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::sys::poll::{self, Interest};
use crate::sys::signal::{self, Messages};
use crate::sys::{Channel, Errno, Namespaces, process};

use super::clock::{Clock, Sample};

/// How long one measurement may take.
const MOST: Duration = Duration::from_secs(600);
/// The most bytes of a message in one packet of the channel, after the byte that tells whether more follows.
const PIECE: usize = (16 << 10) - 1;

/// What a workload does.
pub type Work = dyn Fn(&mut Clock<'_>) -> io::Result<()>;

/// Why a measurement has no more samples.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Failure {
    pub why: String,
    /// The file system is full.
    pub full: bool,
    /// The process that served the mount is gone.
    pub gone: bool,
}

#[derive(Serialize, Deserialize)]
enum Message {
    Sample(Sample),
    Failed(Failure),
    Done,
}

/// How a measurement ended.
#[derive(Debug)]
pub(super) enum End {
    Done,
    Failed(Failure),
    /// A signal asked this process to end.
    Interrupted,
}

/// Does `work` on the tree at `root` in a child process, and passes each sample to `sample` as it arrives. If the work
/// is not completed, calls `abandon` before it waits for the child: the child may wait for a daemon, which `abandon`
/// must end.
///
/// # Errors
/// When the child cannot be started, or the channel to it fails.
pub(super) fn run(
    work: &Work,
    (root, upper, mounted_in): (&Path, Option<&Path>, Option<Duration>),
    signals: &Messages,
    sample: &mut dyn FnMut(Sample),
    abandon: &dyn Fn(),
) -> io::Result<End> {
    let (child, channel) = process::spawn_connected(Namespaces::empty(), |channel| {
        // Fails if the parent is gone already; then nothing reads the samples.
        if process::die_with_parent().is_err() {
            return 1;
        }
        let mut tell = |sample| send(&channel, &Message::Sample(sample));
        let mut clock = Clock::new(root, upper, mounted_in, &mut tell);
        let last = match work(&mut clock) {
            Ok(()) => Message::Done,
            Err(error) => {
                let errno = Errno::from_io_error(&error);
                Message::Failed(Failure {
                    why: format!("{}: {error}", clock.doing()),
                    full: matches!(errno, Some(Errno::NOSPC | Errno::DQUOT)),
                    gone: matches!(errno, Some(Errno::NOTCONN | Errno::CONNABORTED)),
                })
            }
        };
        i32::from(send(&channel, &last).is_err())
    })?;
    let end = listen(&channel, signals, sample);
    if !matches!(end, Ok(End::Done)) {
        child.kill()?;
        abandon();
    }
    drop(channel);
    child.wait()?;
    end
}

fn listen(channel: &Channel, signals: &Messages, sample: &mut dyn FnMut(Sample)) -> io::Result<End> {
    let until = Instant::now() + MOST;
    let mut message = Vec::new();
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let ready = poll::wait_for(&[(signals.as_fd(), Interest::Read), (channel.as_fd(), Interest::Read)], left)?;
        if left.is_zero() {
            return Ok(failed(&format!("not done after {} s", MOST.as_secs())));
        }
        if asked_to_end(signals) {
            return Ok(End::Interrupted);
        }
        if ready.get(1) != Some(&true) {
            continue;
        }
        let Some((piece, _)) = channel.receive()? else { return Ok(failed("the process that measured died")) };
        let Some((more, piece)) = piece.split_first() else { continue };
        message.extend_from_slice(piece);
        if *more == b'+' {
            continue;
        }
        match serde_json::from_slice(&message)? {
            Message::Sample(one) => sample(one),
            Message::Failed(failure) => return Ok(End::Failed(failure)),
            Message::Done => return Ok(End::Done),
        }
        message.clear();
    }
}

fn failed(why: &str) -> End {
    End::Failed(Failure { why: why.into(), full: false, gone: false })
}

/// Whether a signal that ends this process has arrived.
pub(super) fn asked_to_end(signals: &Messages) -> bool {
    std::iter::from_fn(|| signals.next().ok().flatten())
        .any(|number| matches!(number, signal::HANGUP | signal::INTERRUPT | signal::TERMINATE))
}

fn send(channel: &Channel, message: &Message) -> io::Result<()> {
    let text = serde_json::to_vec(message)?;
    let count = text.chunks(PIECE).count();
    for (n, piece) in text.chunks(PIECE).enumerate() {
        let more = if n + 1 < count { b'+' } else { b'.' };
        channel.send(&[&[more], piece].concat(), None)?;
    }
    Ok(())
}
