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
mod operations;
mod tree;

use std::process::ExitCode;

use overfuse::sys::faults::{self, DEATH_STATUS, Fault, Scope};
use overfuse::sys::{Errno, Namespaces, process};

use ground::{Ground, Mode};
use operations::{OPERATIONS, Operation};

const ERRORS: [(&str, Errno); 3] = [("ENOSPC", Errno::NOSPC), ("EIO", Errno::IO), ("EDQUOT", Errno::DQUOT)];

fn main() -> ExitCode {
    if !support::need::all(&["root", "overlay"]) {
        return ExitCode::SUCCESS;
    }
    let only = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let (mut points, mut failures) = (0, Vec::new());
    for mode in Mode::ALL {
        let ground = Ground::new(mode);
        for operation in OPERATIONS.iter().filter(|one| only.as_ref().is_none_or(|only| one.name.contains(only))) {
            points += sweep(&ground, operation, &mut failures);
        }
    }
    let modes = Mode::ALL.len();
    for failure in failures.iter().take(40) {
        println!("{failure}");
    }
    println!("faults: {} operations in {modes} modes, {points} points, {} failures", OPERATIONS.len(), failures.len());
    if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
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
    let mut points = 0;
    for nth in 1..=calls {
        for (name, error) in ERRORS {
            points += 1;
            if let Err(what) = fail(ground, operation, (nth, error), (&old, &new)) {
                failures.push(at(format!("call {nth} of {calls}, {name}: {what}")));
            }
        }
        points += 1;
        if let Err(what) = die(ground, operation, nth, (&old, &new)) {
            failures.push(at(format!("call {nth} of {calls}, death: {what}")));
        }
    }
    points
}

fn fail(
    ground: &Ground,
    operation: &Operation,
    (nth, error): (u64, Errno),
    (old, new): (&str, &str),
) -> Result<(), String> {
    ground.renew();
    let union = ground.open();
    let armed = faults::arm(Scope::Thread, nth, Fault::Fail(error));
    let done = (operation.act)(&union);
    let said = if done.is_ok() { "succeeds" } else { "fails" };
    let (hit, call) = (armed.hit(), armed.hit().unwrap_or("no call"));
    drop(armed);
    let expected = if done.is_ok() { new } else { old };
    tree::compare(expected, &tree::of_union(&union)).map_err(|diff| format!("{call} {said}, live:\n{diff}"))?;
    // What could not be removed stays until the next mount.
    if done.is_err() && hit != Some("unlinkat") && ground.left() > 1 {
        return Err(format!("{call} {said}: {} left in the work directory", ground.left()));
    }
    drop(union);
    ground.check_again(&[expected]).map_err(|diff| format!("{call} {said}, {diff}"))
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
    ground.check_again(&[old, new, &touched])
}
