//! Programs that run from the mount: a running program cannot be written, and a file open for writing cannot be run.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::need;
use crate::support::{At, Layers, Subject, copy_program, scratch};

/// Starts the program at `path`, a copy of cat(1), which runs until its input ends. Returns when it runs.
fn run(at: &At, path: &str) -> io::Result<Child> {
    let mut child = Command::new(at.path(path)).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    io::Write::write_all(child.stdin.as_mut().expect("piped"), b"x")?;
    child.stdout.as_mut().expect("piped").read_exact(&mut [0])?;
    Ok(child)
}

/// As [`run`], after a write. Retries, because a child process of another test may hold our files open until its exec.
fn run_after_writing(at: &At, path: &str) -> io::Result<Child> {
    let patience = Instant::now() + Duration::from_secs(3);
    loop {
        match run(at, path) {
            Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy && Instant::now() < patience => {
                std::thread::sleep(Duration::from_millis(5));
            }
            result => return result,
        }
    }
}

fn end(mut child: Child) {
    drop(child.stdin.take());
    assert!(child.wait().expect("wait").success());
}

/// In a user namespace the kernel treats the two names as different files.
#[test]
fn a_program_is_busy_while_it_runs_or_is_written() {
    need!(root, fuse, overlay);
    let logs = Subject::BOTH.map(|subject| {
        let dir = scratch();
        let layers = Layers::build(dir.path(), "upper:\nlower:\nd d 755");
        for place in [layers.upper(), &layers.lowers[0]] {
            copy_program("/bin/cat", place.join(if place == layers.upper() { "above" } else { "below" }));
        }
        let mounted = subject.mount(&layers, &dir.path().join("at"));
        let at = At::new(mounted.at());
        for path in ["below", "above"] {
            let running = run_after_writing(&at, path).expect("run");
            at.append(path, "x").gives("ETXTBSY");
            // All else of the file may change, and another file may take its name.
            at.chmod(path, 0o700).gives("ok");
            let again = run(&at, path).expect("run once more");
            at.append(path, "x").gives("ETXTBSY");
            at.link(path, "d/other").gives("ok");
            at.append("d/other", "x").gives("ETXTBSY");
            at.rename("d/other", "d/moved").gives("ok");
            at.append("d/moved", "x").gives("ETXTBSY");
            at.unlink(path).gives("ok");
            at.append("d/moved", "x").gives("ETXTBSY");
            end(again);
            end(running);
            at.append("d/moved", "").gives("ok");

            let writer = OpenOptions::new().append(true).open(at.path("d/moved")).expect("open for writing");
            at.note("run what is open for writing", run(&at, "d/moved").map(|_| "")).gives("ETXTBSY");
            drop(writer);
            let reader = File::open(at.path("d/moved")).expect("open for reading");
            end(run_after_writing(&at, "d/moved").expect("run what is open for reading"));
            drop(reader);
            at.unlink("d/moved").gives("ok");
        }
        mounted.unmount();
        at.log()
    });
    assert_eq!(logs[0], logs[1], "the kernel's outcomes are on the left");
}

/// The kernel's overlayfs copies the file up empty before it refuses.
#[test]
fn a_truncation_that_is_refused_leaves_the_running_program_whole() {
    need!(fuse, overlay);
    let dir = scratch();
    let layers = Layers::build(dir.path(), "upper:\nlower:\nd d 755");
    copy_program("/bin/cat", layers.lowers[0].join("below"));
    let mounted = Subject::Overfuse.mount(&layers, &dir.path().join("at"));
    let at = At::new(mounted.at());
    let running = run(&at, "below").expect("run");
    at.write("below", "x").gives("ETXTBSY");
    let truncating = rustix::fs::open(at.path("below"), rustix::fs::OFlags::TRUNC, 0.into());
    assert_eq!(truncating.err(), Some(rustix::io::Errno::TXTBSY));
    end(running);
    end(run(&at, "below").expect("run again"));
    mounted.unmount();
}
