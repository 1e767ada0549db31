//! `idle=poll`: idle CPUs poll while requests come, and only then.

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::need;
use crate::support::{Layers, mount_with, scratch};

/// How many microseconds an idle CPU may take to wake; `None` if this process may not read it.
fn most_latency() -> Option<i32> {
    let mut value = [0; 4];
    File::open("/dev/cpu_dma_latency").ok()?.read_exact(&mut value).ok()?;
    Some(i32::from_ne_bytes(value))
}

/// Looks up new names until `done`, so that each lookup is a request.
fn ask(at: &Path, done: impl Fn(u32) -> bool) {
    let given_up = Instant::now() + Duration::from_secs(20);
    for number in 0.. {
        assert!(!at.join(format!("missing-{number}")).exists());
        if number % 64 == 63 && done(number) {
            return;
        }
        assert!(Instant::now() < given_up);
    }
}

#[test]
fn idle_cpus_poll_for_root_while_requests_come() {
    need!(root, fuse);
    let dir = scratch();
    let layers = Layers::build(dir.path(), "upper:\n lower:\n f f 644 text\n");
    let before = most_latency();
    let ends = || {
        let given_up = Instant::now() + Duration::from_secs(20);
        while most_latency() != before {
            assert!(Instant::now() < given_up, "idle CPUs poll although nothing is asked");
            sleep(Duration::from_millis(1));
        }
    };
    for options in ["idle=poll", "idle=poll,io=cached,threads=1"] {
        let mounted = mount_with(&layers, &dir.path().join("at"), options);
        let at = mounted.at();
        assert_eq!(most_latency(), before, "nothing was asked yet");
        for _ in 0..2 {
            // In a user namespace the option has no effect, and the mount works as without it.
            ask(at, |number| if before.is_some() { most_latency() == Some(0) } else { number > 1000 });
            ends();
        }
        assert_eq!(fs::read(at.join("f")).expect("read"), b"text");
        // Polling may start again here; it must end with the mount.
        ask(at, |number| number > 100);
        mounted.unmount();
        ends();
    }
    let mounted = mount_with(&layers, &dir.path().join("at"), "idle=sleep");
    ask(mounted.at(), |number| {
        assert_eq!(most_latency(), before);
        number > 1000
    });
    mounted.unmount();
}
