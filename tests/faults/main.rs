//! The sweep: every operation of the union, cut at each system call that changes something.
//!
//! Each call fails once with each of several errors, and once ends the process. Afterwards the live union, the same
//! layers opened again, and the kernel's overlayfs on them must show one tree: the old one after an error, the new one
//! after success. A process that died leaves either.
//!
//! Its own main, without the test harness: a process that forks may have one thread only.
#![allow(clippy::expect_used, clippy::unwrap_used, unsafe_code)]

#[path = "../support/mod.rs"]
mod support;

mod ground;
mod named;
mod operations;
mod tree;

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, ExitCode, Stdio};

use overfuse::sys::faults::{self, DEATH_STATUS, Fault, Scope};
use overfuse::sys::{Errno, Namespaces, process};

use ground::{Ground, Mode};
use operations::{OPERATIONS, Operation};

const FAULTS: [(&str, Fault); 5] = [
    ("ENOSPC", Fault::Fail(Errno::NOSPC)),
    ("EIO", Fault::Fail(Errno::IO)),
    ("EDQUOT", Fault::Fail(Errno::DQUOT)),
    ("EIO from there on", Fault::FailOnwards(Errno::IO)),
    ("death", Fault::Die),
];

/// Before the number of the mode that one process sweeps.
const MODE: &str = "--mode";

fn main() -> ExitCode {
    if !support::need::all(&["root", "overlay"]) {
        return ExitCode::SUCCESS;
    }
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mode = arguments.iter().position(|argument| argument == MODE);
    let mode = mode.and_then(|at| arguments.get(at + 1)).and_then(|mode| mode.parse::<usize>().ok());
    let only = arguments.iter().find(|argument| !argument.starts_with('-') && argument.parse::<usize>().is_err());
    let only = only.map_or("", String::as_str);
    match mode {
        Some(mode) => sweep_mode(Mode::ALL[mode], only),
        None => sweep_all(only),
    }
}

/// Runs the named tests, and one process for each mode: an operation waits for the disk and for the kernel's mounts.
fn sweep_all(only: &str) -> ExitCode {
    let faults: Vec<&str> = FAULTS.iter().map(|(name, _)| *name).collect();
    let (operations, modes) = (selected(only).count(), Mode::ALL.len());
    println!("faults: {operations} operations in {modes} modes, at each changing call {}", faults.join(", "));
    let mut failures = named::run(only);
    let program = std::env::current_exe().expect("the path of this program");
    let parts: Vec<_> = (0..modes)
        .map(|mode| {
            let mut command = Command::new(&program);
            command.args([MODE, &mode.to_string(), only]).stdout(Stdio::piped()).spawn().expect("start a process")
        })
        .collect();
    let mut points = 0;
    for ended in parts.into_iter().map(|part| std::thread::spawn(move || relay(part))).collect::<Vec<_>>() {
        let (its_points, its_failures) = ended.join().expect("follow a process");
        points += its_points;
        failures += its_failures;
    }
    println!("faults: {operations} operations in {modes} modes, {points} points, {failures} failures");
    if failures == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Shows what a process says until it ends; answers how many points it had, and how many failures.
fn relay(mut part: Child) -> (usize, usize) {
    let mut counts = None;
    for line in BufReader::new(part.stdout.take().expect("a pipe")).lines().map_while(Result::ok) {
        match line.strip_prefix(ENDED) {
            Some(ended) => {
                let (points, failures) = ended.split_once(' ').expect("two counts");
                counts = Some((points.parse().expect("a count"), failures.parse().expect("a count")));
            }
            None => println!("{line}"),
        }
    }
    let status = part.wait().expect("wait for a process");
    counts.filter(|_| status.success()).unwrap_or_else(|| {
        println!("a process ended early: {status}");
        (0, 1)
    })
}

/// Before the two counts in the last line of a process.
const ENDED: &str = "ended: ";

fn selected(only: &str) -> impl Iterator<Item = &'static Operation> {
    OPERATIONS.iter().filter(move |operation| operation.name.contains(only))
}

fn sweep_mode(mode: Mode, only: &str) -> ExitCode {
    let ground = Ground::new(mode);
    let (mut points, mut failures) = (0, 0);
    for operation in selected(only) {
        let mut failed = Vec::new();
        let its_points = sweep(&ground, operation, &mut failed);
        println!("{mode}: {}: {its_points} points, {} failures", operation.name, failed.len());
        failed.iter().take(4).for_each(|failure| println!("{failure}"));
        points += its_points;
        failures += failed.len();
    }
    println!("{ENDED}{points} {failures}");
    ExitCode::SUCCESS
}

/// Cuts one operation at each of its calls; answers at how many points.
fn sweep(ground: &Ground, operation: &Operation, failures: &mut Vec<String>) -> usize {
    let at = |what: String| format!("{} ({:?}): {what}", operation.name, ground.mode);
    ground.renew();
    let union = ground.open();
    let old = tree::of_union(&union);
    let armed = faults::arm(Scope::Thread, 0, Fault::None);
    if let Err(error) = (operation.act)(&union) {
        failures.push(at(format!("fails without a fault: {error}")));
        return 0;
    }
    let calls = armed.seen();
    drop(armed);
    let new = tree::of_union(&union);
    drop(union);
    if calls == 0 && !ground.mode.is_volatile() {
        failures.push(at("changes nothing".into()));
    }
    let mut points = 0;
    for nth in 1..=calls {
        for (name, fault) in FAULTS {
            if operation.in_steps && !matches!(fault, Fault::Fail(_)) {
                continue;
            }
            points += 1;
            let checked = match fault {
                Fault::Die => die(ground, operation, nth, (&old, &new)),
                fault => fail(ground, operation, (nth, fault), (&old, &new)),
            };
            if let Err(what) = checked {
                failures.push(at(format!("call {nth} of {calls}, {name}: {what}")));
            }
        }
    }
    points
}

fn fail(
    ground: &Ground,
    operation: &Operation,
    (nth, fault): (u64, Fault),
    (old, new): (&str, &str),
) -> Result<(), String> {
    ground.renew();
    let union = ground.open();
    let armed = faults::arm(Scope::Thread, nth, fault);
    let done = (operation.act)(&union);
    let said = if done.is_ok() { "succeeds" } else { "fails" };
    let (hit, call) = (armed.hit(), armed.hit().unwrap_or("no call"));
    drop(armed);
    let goes_on = matches!(fault, Fault::FailOnwards(_));
    // Where every later call fails too, times cannot be set back.
    let touched = tree::touched(old, operation.completes.filter(|_| goes_on));
    let expected: &[&str] = if done.is_ok() { &[new] } else { &[old, touched.as_str()] };
    // What cannot be removed from the work directory counts as a link.
    let counted = |text: &str| if goes_on { tree::without_links(text) } else { text.to_owned() };
    let expected = expected.iter().map(|text| counted(text)).collect::<Vec<_>>();
    let live = counted(&tree::of_union(&union));
    if expected.iter().all(|one| tree::compare(one, &live).is_err()) {
        let diff = tree::compare(&expected[0], &live).expect_err("differs from each");
        return Err(format!("{call} {said}, live:\n{diff}"));
    }
    // What could not be removed stays until the next mount.
    if done.is_err() && !goes_on && hit != Some("unlinkat") && ground.left() > 1 {
        return Err(format!("{call} {said}: {} left in the work directory", ground.left()));
    }
    drop(union);
    if goes_on {
        // Until the work directory is emptied, links are counted that are none.
        let expected = if done.is_ok() { [new, new] } else { [old, &touched] };
        return ground.check_again(&expected, operation).map_err(|diff| format!("{call} {said}, {diff}"));
    }
    ground.check_again(&[&live], operation).map_err(|diff| format!("{call} {said}, {diff}"))
}

fn die(ground: &Ground, operation: &Operation, nth: u64, (old, new): (&str, &str)) -> Result<(), String> {
    ground.renew();
    let child = process::spawn(Namespaces::empty(), || {
        let union = ground.open();
        let _armed = faults::arm(Scope::Process, nth, Fault::Die);
        let _ = (operation.act)(&union);
        0
    });
    let status = child.and_then(process::Child::wait).map_err(|error| error.to_string())?;
    if i32::from(status.code()) != DEATH_STATUS {
        return Err(format!("the child ended with {status:?}"));
    }
    // The data of a metacopy comes into the file that has the attributes, which moves its time.
    let touched = tree::touched(old, operation.completes);
    ground.check_again(&[old, new, &touched], operation)
}
