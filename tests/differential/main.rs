//! Random operations on random layers, on kernel overlayfs and on Overfuse, step by step.
//!
//! After every step the outcome and the whole visible tree must agree; at the end also after a
//! remount, and when the kernel mounts both uppers. The sequences are the same in each run, so that a
//! change is judged by itself; with `PROPTEST_CASES=N` they are N new ones. A failure is shrunk and printed as text that a test in `regressions` can hold for ever.

#[path = "../support/mod.rs"]
mod support;

mod deliberate;
mod layers;
mod operations;
mod regressions;
mod sequence;

use proptest::test_runner::{Config, RngSeed, TestCaseError, TestRunner};

use sequence::Sequence;

/// As many sequences as take a minute on two cores.
const CASES: u32 = 150;

#[test]
fn random_sequences_do_the_same_on_the_kernel_and_on_overfuse() {
    need!(root, fuse, overlay);
    let asked = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    let base = Config::default();
    let rng_seed = if asked.is_some() { base.rng_seed } else { RngSeed::Fixed(1) };
    let cases = asked.unwrap_or(CASES);
    let config = Config { cases, rng_seed, failure_persistence: None, max_shrink_time: 60_000, ..base };
    let tried =
        TestRunner::new(config).run(&sequence::any(), |sequence: Sequence| sequence.run().map_err(TestCaseError::fail));
    if let Err(failure) = tried {
        panic!("{failure}");
    }
}
