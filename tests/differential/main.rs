//! Random operations on random layers, step by step on a model, the union without a mount, the mount, and kernel
//! overlayfs.
//!
//! After every step, the results and the entries that the step may have changed must agree with the model. The whole
//! tree must agree now and then, at the end, after a remount, and when Overfuse and the kernel mount each other's
//! layers. The sequences are the same in each run, so that a failure is due to a change of the code;
//! `PROPTEST_CASES=N` runs N new ones. A failing sequence is shrunk and printed as text, to become a test in
//! `regressions`.
#![allow(clippy::expect_used, clippy::unwrap_used, unsafe_code)]

#[path = "../support/mod.rs"]
mod support;

mod deliberate;
mod generate;
mod ground;
mod in_namespace;
mod layers;
mod model;
mod mounted;
mod operations;
mod regressions;
mod sequence;
mod server;
mod side;
mod stack;
mod subject;
mod union;
mod vfs;
mod watch;

use std::sync::Barrier;
use std::thread::{self, available_parallelism};

use proptest::test_runner::{Config, RngSeed, TestCaseError, TestRunner};

use ground::{By, Ground};
use sequence::Sequence;
use watch::Watch;

/// Runs `cases` sequences (a fifth of them in a user namespace), or the number in `PROPTEST_CASES`, of less than `most`
/// operations each, on all cores.
fn run(cases: u32, most: usize, subjects: &[By]) {
    let asked: Option<u32> = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    let workers = available_parallelism().map_or(2, usize::from);
    let cases = if support::need::is_root() { cases } else { cases.div_ceil(5) };
    let cases = asked.unwrap_or(cases).div_ceil(workers as u32);
    // A server that is being started holds the open files of other workers, so all are started first.
    let watch = Watch::new(workers);
    let all_have_started = Barrier::new(workers);
    let work = |worker: usize| -> Result<(), String> {
        let ground = Ground::new();
        all_have_started.wait();
        let base = Config::default();
        let rng_seed = if asked.is_some() { base.rng_seed } else { RngSeed::Fixed(worker as u64 + 1) };
        let config = Config { cases, rng_seed, failure_persistence: None, max_shrink_time: 60_000, ..base };
        let tried = TestRunner::new(config).run(&sequence::any(most), |sequence: Sequence| {
            watch.begins(worker, &sequence);
            let done = sequence.run(&ground, subjects);
            watch.ends(worker);
            done.map_err(TestCaseError::fail)
        });
        tried.map_err(|failure| failure.to_string())
    };
    let _watching = watch.start();
    let failures: Vec<String> = thread::scope(|scope| {
        let threads: Vec<_> = (0..workers)
            .map(|worker| {
                scope.spawn({
                    let work = &work;
                    move || work(worker)
                })
            })
            .collect();
        threads.into_iter().filter_map(|thread| thread.join().expect("a worker panicked").err()).collect()
    });
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn random_sequences_do_the_same_on_the_model_and_on_a_union_without_a_mount() {
    need!(fuse, overlay);
    run(2000, 40, &[By::Union]);
}

#[test]
fn random_sequences_do_the_same_on_the_model_the_union_the_mount_and_the_kernel() {
    need!(fuse, overlay);
    run(2000, 25, &[By::Union, By::Mount, By::Kernel]);
}
