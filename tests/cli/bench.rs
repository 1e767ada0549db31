//! `bench`: it works for all users, survives failing subjects, and leaves nothing behind, however it ends.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::{fs, thread, time};

use rustix::mount::{MountFlags, UnmountFlags};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::need;
use crate::support::need::{PLAIN_USER, USER, user};
use crate::support::{copy_program, scratch};

/// A file system mounted at the place for the trees, until this value is dropped.
struct Other(PathBuf);

impl Other {
    fn mount(at: PathBuf, kind: &str, options: Option<&std::ffi::CStr>) -> Other {
        rustix::mount::mount(kind, &at, kind, MountFlags::empty(), options).expect("mount");
        Other(at)
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        // A test that failed may have left something open.
        let _ = rustix::mount::unmount(&self.0, UnmountFlags::DETACH);
    }
}

/// A directory for the trees that all users may use, with a copy of the program beside it.
struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Place {
        let place = Place { dir: scratch() };
        copy_program(env!("CARGO_BIN_EXE_overfuse"), place.program());
        fs::create_dir(place.trees()).expect("make a directory");
        for (path, mode) in [(place.dir.path(), 0o755), (&place.trees(), 0o1777)] {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("let everybody in");
        }
        place
    }

    fn program(&self) -> PathBuf {
        self.dir.path().join("overfuse")
    }

    fn trees(&self) -> PathBuf {
        self.dir.path().join("trees")
    }

    /// Arguments of a small benchmark in this place.
    fn args(&self, command: &mut Command, args: &[&str]) {
        command.arg("bench").args(args).arg("--dir").arg(self.trees()).stdin(Stdio::null());
        if !args.contains(&"--files") {
            command.args(["--files", "60"]);
        }
        if !args.contains(&"--size") {
            command.args(["--size", "64K"]);
        }
    }

    #[track_caller]
    fn run(&self, args: &[&str]) -> Output {
        self.run_by(Command::new(self.program()), args)
    }

    #[track_caller]
    fn run_by(&self, mut command: Command, args: &[&str]) -> Output {
        self.args(&mut command, args);
        let output = command.output().expect("run the benchmark");
        self.nothing_is_left();
        output
    }

    /// Waits for the benchmark's directory; it exists once the benchmark handles signals.
    fn wait_until_it_begins(&self) {
        while fs::read_dir(self.trees()).expect("list").next().is_none() {
            thread::sleep(time::Duration::from_millis(1));
        }
    }

    #[track_caller]
    fn nothing_is_left(&self) {
        assert_eq!(fs::read_dir(self.trees()).expect("list").count(), 0, "something is left in {:?}", self.trees());
        let trees = self.trees().display().to_string();
        for entry in fs::read_dir("/proc").expect("list").flatten() {
            let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let at = fs::read_link(entry.path().join("cwd")).unwrap_or_default();
            assert!(!at.starts_with(&trees), "a process is left: {}", String::from_utf8_lossy(&line));
        }
    }

    /// A script that can serve as a subject: runs `lines`, in which `$MOUNT` and the arguments mount with Overfuse.
    fn script(&self, name: &str, lines: &str) -> String {
        let path = self.dir.path().join(name);
        let text = format!("#!/bin/sh\n[ \"$1\" = --version ] && exit\nMOUNT={}\n{lines}\n", self.program().display());
        fs::write(&path, text).expect("write a script");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("chmod");
        format!("{name}={}", path.display())
    }
}

#[track_caller]
fn report(output: &Output) -> Value {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The results of each subject in the row with this name: the number of samples, and the failure.
fn outcomes(report: &Value, row: &str) -> Vec<(String, usize, Option<String>)> {
    let rows = report["rows"].as_array().expect("rows");
    let row = rows.iter().find(|found| found["name"] == row).unwrap_or_else(|| panic!("no row {row}: {report}"));
    let results = row["results"].as_array().expect("results").iter().map(|outcome| {
        let samples = outcome["seconds"].as_array().expect("samples");
        assert!(samples.iter().all(|sample| sample.as_f64().is_some_and(|seconds| seconds > 0.0)), "{samples:?}");
        let subject = outcome["subject"].as_str().expect("a name").to_owned();
        (subject, samples.len(), outcome["failed"].as_str().map(Into::into))
    });
    results.collect()
}

/// A workload of each kind: reads, changes, syncs, runs a program.
const SOME: [&str; 4] = ["stat", "remove", "sqlite-transaction", "start"];

/// The subjects that must be there, wherever the tests run.
const OURS: &str = "native,overfuse";

#[test]
fn every_workload_runs_on_a_plain_directory_the_kernel_and_overfuse() {
    need!(fuse, overlay);
    let place = Place::new();
    let output = place.run(&[
        "copy-up",
        "metadata",
        "remove",
        "lookup",
        "readdir",
        "walk",
        "io",
        "small-files",
        "mixes",
        "start",
        "layers",
        "--subjects",
        "native,overlayfs,overfuse",
        "--runs",
        "1",
        "--layers",
        "3",
        "--json",
        "-",
    ]);
    let report = report(&output);
    assert_eq!(text(&output.stderr), "");
    let rows = report["rows"].as_array().expect("rows");
    assert!(rows.len() > 60, "{} rows", rows.len());
    for row in rows {
        let name = row["name"].as_str().expect("a name");
        for outcome in row["results"].as_array().expect("results") {
            let mounts = name.ends_with("-mount");
            let expected = usize::from(!(mounts && outcome["subject"] == "native"));
            assert_eq!(outcome["seconds"].as_array().map(Vec::len), Some(expected), "{name}: {outcome}");
            assert_eq!(outcome["failed"], Value::Null, "{name}");
            assert_eq!(outcome["daemon"] != Value::Null, outcome["subject"] == "overfuse", "{name}: {outcome}");
        }
    }
}

#[test]
fn users_with_and_without_subordinate_ids_can_measure() {
    need!(fuse, users);
    for name in [USER, PLAIN_USER] {
        let place = Place::new();
        let command = user(name).expect("a user").command(place.program());
        let args = [&SOME[..], &["--subjects", "native,overlayfs,overfuse", "--runs", "1", "--json", "-"]].concat();
        let report = report(&place.run_by(command, &args));
        assert_eq!(report["method"]["user"], "root of a user namespace");
        for (subject, samples, failed) in outcomes(&report, "sqlite-transaction") {
            assert_eq!((samples, failed), (1, None), "{name}, {subject}");
        }
    }
}

#[test]
fn only_root_measures_with_caches_dropped() {
    need!(fuse, users);
    let place = Place::new();
    let args = ["stat-first", "--cold", "--subjects", OURS, "--runs", "1", "--json", "-"];
    let command = user(PLAIN_USER).expect("a user").command(place.program());
    let output = place.run_by(command, &args);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("only root can drop caches; the pages of the lower layers stay warm"), "{said}");
    let report = report(&output);
    assert_eq!(report["method"]["cold"], false);
    let notes = report["method"]["notes"].to_string();
    assert!(notes.contains("were warm") && !notes.contains("dropped"), "{notes}");
}

#[test]
fn the_system_calls_of_overfuse_on_its_layers_are_counted() {
    need!(fuse);
    let place = Place::new();
    let report = report(&place.run(&["stat", "--subjects", OURS, "--runs", "1", "--json", "-"]));
    let requests = |row: &str| {
        let rows = report["rows"].as_array().expect("rows");
        let row = rows.iter().find(|found| found["name"] == row).expect("a row");
        assert_eq!(row["results"][0]["counts"], Value::Null, "a directory counts nothing");
        let counts = &row["results"][1]["counts"]["requests"];
        counts.as_object().expect("counts").values().filter_map(Value::as_u64).sum::<u64>()
    };
    assert!(requests("stat-first") >= 60);
    assert!(requests("stat-again") < 60);
}

#[test]
fn a_table_is_printed_and_rows_are_chosen_by_name() {
    need!(fuse);
    let place = Place::new();
    let output = place.run(&["missing-first", "--subjects", OURS, "--runs", "2"]);
    let printed = text(&output.stdout);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let lines: Vec<&str> = printed.lines().collect();
    assert!(lines[0].starts_with("Linux ") && lines[0].contains("lower pages warm"), "{printed}");
    assert!(lines[2].starts_with("LOOKUP") && lines[2].ends_with("overfuse"), "{printed}");
    assert!(lines[3].starts_with("missing-first   6 layers, 60 files"), "{printed}");
    assert!(lines[3].contains('±') && lines[3].contains('×'), "{printed}");
    assert!(!printed.contains("stat-first"), "{printed}");
}

#[test]
fn a_subject_that_does_not_mount_or_dies_is_named_and_the_others_continue() {
    need!(fuse);
    let place = Place::new();
    let exits = place.script("exits", "echo not today >&2; exit 3");
    let killed = place.script("killed", "kill -9 $$");
    // The script exits when the mount is live, as the parent of a daemon does.
    let live = "until grep -q \"$(realpath ../run/at) \" /proc/self/mountinfo; do sleep 0.01; done";
    // This directory is the first thing that the work makes.
    let wait = "for n in $(seq 2000); do [ -d ../run/upper/made ] && break; sleep 0.005; done";
    let dies = place.script("dies", &format!("$MOUNT mount -f \"$@\" &\n({wait}; kill -9 $!) &\n{live}"));
    let output = place.run(&[
        "entries",
        "--files",
        "400",
        "--subjects",
        OURS,
        "--subjects",
        &exits,
        "--subjects",
        &killed,
        "--subjects",
        &dies,
        "--subjects",
        "gone=/no/such/program",
        "--runs",
        "1",
        "--json",
        "-",
    ]);
    let report = report(&output);
    let found = outcomes(&report, "rmdir");
    let whole: Vec<_> =
        found[..2].iter().map(|(subject, samples, failed)| (subject.as_str(), *samples, failed)).collect();
    assert_eq!(whole, [("native", 1, &None), ("overfuse", 1, &None)]);
    for (outcome, (subject, why)) in found[2..].iter().zip([
        ("exits", "does not mount (exit status: 3): not today"),
        ("killed", "does not mount (signal: 9 (SIGKILL))"),
        ("dies", "its process was killed by signal 9"),
    ]) {
        assert_eq!((outcome.0.as_str(), outcome.1), (subject, 0));
        assert!(outcome.2.as_ref().is_some_and(|said| said.starts_with(why)), "{outcome:?}");
    }
    assert_eq!(report["subjects"][5]["state"], "skipped");
    let said = text(&output.stderr);
    assert!(said.contains("gone is skipped: /no/such/program: No such file"), "{said}");
    assert!(said.contains("entries, exits: does not mount"), "{said}");
}

#[test]
fn a_subject_that_stays_in_the_foreground_is_measured_as_well() {
    need!(fuse);
    let place = Place::new();
    let stays = place.script("stays", "exec $MOUNT mount -f \"$@\"");
    let report = report(&place.run(&["tar", "--subjects", &stays, "--runs", "1", "--json", "-"]));
    assert_eq!(outcomes(&report, "tar-again"), [("stays".to_owned(), 1, None)]);
}

#[test]
fn no_subject_and_no_result_are_failures() {
    need!(fuse);
    let place = Place::new();
    let exits = place.script("exits", "exit 3");
    for (subject, said) in [("gone=/no/such/program", "no subject to measure"), (&exits, "nothing could be measured")] {
        let output = place.run(&["tar", "--subjects", subject, "--runs", "1"]);
        assert_eq!(output.status.code(), Some(1));
        assert!(text(&output.stderr).contains(said), "{}", text(&output.stderr));
    }
}

#[test]
fn interrupted_at_any_time_it_leaves_nothing_and_prints_its_results() {
    need!(fuse);
    // The last one would not end by itself.
    for wait in [0, 30, 200, 500, 900, 1500] {
        let place = Place::new();
        let mut command = Command::new(place.program());
        place.args(&mut command, &["stat", "create", "--subjects", OURS, "--runs", "1000", "--files", "300"]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("run it");
        place.wait_until_it_begins();
        thread::sleep(time::Duration::from_millis(wait));
        kill_process(Pid::from_child(&child), Signal::INT).expect("interrupt it");
        let error = BufReader::new(child.stderr.take().expect("a pipe"));
        let said: Vec<String> = error.lines().map(|line| line.expect("text")).collect();
        let output = child.wait_with_output().expect("wait for it");
        assert_eq!(output.status.code(), Some(130), "after {wait} ms: {said:?}");
        assert!(said.last().is_some_and(|line| line.contains("interrupted")), "{said:?}");
        assert!(text(&output.stdout).contains("not complete"), "after {wait} ms");
        place.nothing_is_left();
    }
}

#[test]
fn interrupted_while_a_program_hangs_it_leaves_nothing() {
    need!(fuse);
    let place = Place::new();
    // Mounts, and then answers no request.
    let stops = place.script("stops", "$MOUNT mount -f \"$@\" &\nsleep 0.3\nkill -STOP $!");
    let hangs = place.script("hangs", "exec sleep 1000");
    for subject in [&stops, &hangs] {
        let mut command = Command::new(place.program());
        place.args(&mut command, &["stat", "--subjects", subject, "--runs", "1"]);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("run it");
        place.wait_until_it_begins();
        thread::sleep(time::Duration::from_millis(800));
        kill_process(Pid::from_child(&child), Signal::TERM).expect("interrupt it");
        let output = child.wait_with_output().expect("wait for it");
        assert_eq!(output.status.code(), Some(130), "{}", text(&output.stderr));
        place.nothing_is_left();
    }
}

#[test]
fn a_directory_without_room_is_one_line_before_anything_is_measured() {
    need!(root, fuse);
    let place = Place::new();
    let _small = Other::mount(place.trees(), "tmpfs", Some(c"size=3M"));
    let output = place.run(&["stat", "--files", "2000", "--subjects", OURS]);
    let said = text(&output.stderr);
    assert_eq!((output.status.code(), said.lines().count()), (Some(1), 1), "{said}");
    assert!(said.contains("3 MiB free") && said.contains("--dir"), "{said}");
}

#[test]
fn a_directory_that_becomes_full_ends_it_with_the_results_until_then() {
    need!(root, fuse);
    let place = Place::new();
    let _small = Other::mount(place.trees(), "tmpfs", Some(c"size=40M"));
    let fills = place.script(
        "fills",
        "$MOUNT mount \"$@\"\n[ -e ../tree/0/layer0 ] || head -c 100M /dev/zero > ../run/filling 2>/dev/null\nexit 0",
    );
    let output = place.run(&["first-write", "create", "--runs", "1", "--subjects", OURS, "--subjects", &fills]);
    let (printed, said) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("is full: there was no room for entries"), "{said}");
    assert!(printed.contains("first-write") && printed.contains("not complete"), "{printed}");
}

#[test]
fn a_directory_that_cannot_hold_an_upper_is_refused_in_one_line() {
    need!(root);
    let place = Place::new();
    let _without = Other::mount(place.trees(), "ramfs", None);
    let output = place.run(&["stat", "--subjects", OURS]);
    let said = text(&output.stderr);
    assert_eq!((output.status.code(), said.lines().count()), (Some(1), 1), "{said}");
    assert!(said.contains("cannot hold an upper layer"), "{said}");
}

#[test]
fn a_baseline_shows_the_figures_that_moved() {
    need!(fuse);
    let place = Place::new();
    let path = place.dir.path().join("before.json");
    let path = path.to_str().expect("text");
    let args = ["stat-first", "--subjects", OURS, "--runs", "3"];
    report(&place.run(&[&args[..], &["--json", "-"]].concat()));
    let output = place.run(&[&args[..], &["--json", path]].concat());
    assert!(output.status.success());

    // The baseline was a hundred times faster in one figure, slower in the other.
    let mut before: Value = serde_json::from_slice(&fs::read(path).expect("read")).expect("JSON");
    for (subject, factor) in [(0, 0.01), (1, 100.0)] {
        for sample in before["rows"][0]["results"][subject]["seconds"].as_array_mut().expect("samples") {
            *sample = (sample.as_f64().expect("seconds") * factor).into();
        }
    }
    fs::write(path, before.to_string()).expect("write");
    let output = place.run(&[&args[..], &["--baseline", path]].concat());
    let printed = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{printed}");
    assert!(
        printed.contains("Of 2 figures 2 moved beyond the noise of the baseline, 1 of them to slower."),
        "{printed}"
    );
    let line = |direction: &str| printed.lines().find(|line| line.starts_with(direction)).expect("a line").to_owned();
    assert!(line("slower").contains(": native, stat-first 6 layers, 60 files: "), "{printed}");
    assert!(line("faster").contains(": overfuse, stat-first"), "{printed}");

    // Compared with itself nothing moved.
    for sample in before["rows"][0]["results"][0]["seconds"].as_array_mut().expect("samples") {
        *sample = 1000.0.into();
    }
    fs::write(path, before.to_string()).expect("write");
    let output = place.run(&[&args[..], &["--baseline", path]].concat());
    assert_eq!(output.status.code(), Some(0), "only faster: {}", text(&output.stdout));
}

#[test]
fn a_page_and_json_are_written_and_bad_files_are_refused_before_measuring() {
    need!(fuse);
    let place = Place::new();
    let path = |name: &str| place.dir.path().join(name).to_str().expect("text").to_owned();
    let (page, json, picture) = (path("page.html"), path("report.json"), path("picture.svg"));
    let files = ["--html", &page, "--json", &json, "--svg", &picture];
    let output = place.run(&[&["tar", "--subjects", OURS, "--runs", "1"], &files[..]].concat());
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(fs::read_to_string(&picture).expect("read").contains("Time as a multiple of native"));
    let alone = place.run(&["tar", "--subjects", "overfuse", "--runs", "1", "--svg", &picture]);
    assert!(text(&alone.stderr).contains("name two subjects"), "{}", text(&alone.stderr));
    assert!(fs::read_to_string(&page).expect("read").contains("tar-first"));
    let report: Value = serde_json::from_slice(&fs::read(&json).expect("read")).expect("JSON");
    assert_eq!(report["format"], 1);

    fs::write(path("other.json"), "{\"format\": 2}").expect("write");
    fs::write(path("not.json"), "hello").expect("write");
    for (args, said) in [
        (["--json", "/no/such/dir/x"], "cannot write /no/such/dir/x"),
        (["--html", "/"], "is a directory"),
        (["--svg", "/no/such/dir/x"], "cannot write /no/such/dir/x"),
        (["--baseline", &path("none.json")], "No such file"),
        (["--baseline", &path("not.json")], "was not written by overfuse bench --json"),
        (["--baseline", &path("other.json")], "has format 2"),
    ] {
        let output = place.run(&["tar", args[0], args[1]]);
        let error = text(&output.stderr);
        assert_eq!((output.status.code(), error.lines().count()), (Some(1), 1), "{args:?}: {error}");
        assert!(error.contains(said), "{args:?}: {error}");
    }
}

#[test]
fn unknown_names_are_one_line_with_the_nearest() {
    let place = Place::new();
    for (args, said) in [
        (&["stat-frist"][..], "no workload \"stat-frist\"; did you mean stat-first"),
        (&["xyzzy"], "no workload \"xyzzy\"; overfuse bench --list shows all"),
        (&["stat", "--subjects", "kernel"], "no subject \"kernel\""),
        (&["stat", "--subjects", "native", "--relative-to", "overfuse"], "not one of the measured subjects"),
    ] {
        let output = place.run(args);
        let error = text(&output.stderr);
        assert_eq!((output.status.code(), error.lines().count()), (Some(1), 1), "{args:?}: {error}");
        assert!(error.contains(said), "{args:?}: {error}");
    }
    for args in [["--size", "0"], ["--size", "4x"], ["--layers", "501"], ["--runs", "0"]] {
        assert_eq!(place.run(&args).status.code(), Some(125), "{args:?}");
    }
}

#[test]
fn the_list_names_every_group() {
    let place = Place::new();
    let output = Command::new(place.program()).args(["bench", "--list"]).output().expect("run it");
    let printed = text(&output.stdout);
    for group in
        ["copy-up", "metadata", "remove", "lookup", "readdir", "walk", "io", "small-files", "mixes", "start", "layers"]
    {
        assert!(printed.lines().any(|line| line.starts_with(group)), "{group}: {printed}");
    }
}
