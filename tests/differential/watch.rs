//! Ends the program, with what hangs, when a sequence takes far too long: a deadlock is a finding too.

use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::sequence::Sequence;

/// A sequence takes less than a tenth of a second.
const PATIENCE: Duration = Duration::from_secs(60);

/// What each worker does, and since when.
#[derive(Clone)]
pub struct Watch(Arc<Vec<Mutex<Option<Doing>>>>);

type Doing = (Instant, Sequence);

impl Watch {
    pub fn new(workers: usize) -> Watch {
        Watch(Arc::new((0..workers).map(|_| Mutex::default()).collect()))
    }

    pub fn begins(&self, worker: usize, sequence: &Sequence) {
        *self.0[worker].lock() = Some((Instant::now(), sequence.clone()));
    }

    pub fn ends(&self, worker: usize) {
        *self.0[worker].lock() = None;
    }

    /// Watches until what is answered is dropped.
    pub fn start(&self) -> Sender<()> {
        let (sender, receiver) = channel();
        let watch = self.clone();
        std::thread::spawn(move || {
            while receiver.recv_timeout(Duration::from_secs(1)) == Err(RecvTimeoutError::Timeout) {
                for doing in watch.0.iter() {
                    if let Some((since, sequence)) = &*doing.lock()
                        && since.elapsed() > PATIENCE
                    {
                        eprintln!("this hangs:\n{sequence:?}");
                        std::process::exit(1);
                    }
                }
            }
        });
        sender
    }
}
