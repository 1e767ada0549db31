//! Finds deadlocks: if a sequence takes far too long, prints it and ends the program.

use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::sequence::Sequence;

/// A normal sequence takes less than a tenth of a second.
const PATIENCE: Duration = Duration::from_secs(60);

/// The sequence that each worker runs, and the time when it began.
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

    /// Watches until the returned sender is dropped.
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
