//! Bad input: one clear line, a non-zero status, and nothing left behind.

use crate::need;
use crate::place::Place;

#[test]
fn a_mount_that_fails_prints_its_reason_in_one_line() {
    need!(root, fuse);
    for (args, expected) in [
        ("mount -o lowerdir=nowhere at", "overfuse: lower directory nowhere: No such file or directory (os error 2)"),
        ("mount -o lowerdir=lower/file at", "overfuse: lower directory lower/file: Not a directory (os error 20)"),
        ("mount -o lowerdir= at", "overfuse: option lowerdir needs a value: lowerdir=…"),
        ("mount -o lowerdir=lower nowhere", "overfuse: mount point nowhere: No such file or directory (os error 2)"),
        ("mount -o lowerdir=lower lower/file", "overfuse: mount point lower/file is not a directory"),
        (
            "mount -o lowerdir=lower,upperdir=upper at",
            "overfuse: option upperdir needs workdir, an empty directory on the same file system",
        ),
        (
            "mount -o lowerdir=lower,upperdir=upper,workdir=/dev/shm at",
            "overfuse: upper directory upper and work directory /dev/shm are on different file systems; put both on one",
        ),
        (
            "mount -o lowerdir=lower,upperdir=nowhere,workdir=work at",
            "overfuse: upper directory nowhere: No such file or directory (os error 2)",
        ),
        ("mount -o lowerdir=lower,threads=many at", "overfuse: option threads: \"many\" is no number"),
        ("mount -o ro at", "overfuse: nothing to mount: name an image, or give -o lowerdir=TOP:…:BOTTOM"),
        ("umount at", "overfuse: nothing is mounted at at"),
        ("umount nowhere", "overfuse: unmounting nowhere: No such file or directory (os error 2)"),
    ] {
        let place = Place::new();
        assert_eq!(place.overfuse(args), (1, expected.to_owned()), "{args}");
        assert!(!place.is_mounted(), "{args}");
        assert!(place.processes().is_empty(), "{args}");
    }
}

#[test]
fn a_work_directory_inside_of_the_upper_is_refused() {
    need!(root, fuse);
    let place = Place::new();
    std::fs::create_dir(place.path().join("upper/work")).unwrap();
    let (status, said) = place.overfuse("mount -o lowerdir=lower,upperdir=upper,workdir=upper/work at");
    assert_eq!(status, 1);
    assert!(said.ends_with("or is the same; choose one beside it") && said.lines().count() == 1, "{said}");
    assert!(!place.is_mounted());
}

#[test]
fn an_unknown_option_gives_a_warning_and_is_ignored() {
    need!(root, fuse);
    let place = Place::new();
    let (status, said) = place.overfuse("mount -o lowerdir=lower,frobnicate=1 at");
    assert_eq!((status, said.as_str()), (0, "overfuse: unknown mount option frobnicate, ignored"));
    assert!(place.path().join("at/file").exists());
    assert_eq!(place.overfuse("umount at").0, 0);
}

#[test]
fn a_command_line_that_cannot_be_parsed_is_answered_in_one_line_with_dockers_exit_code() {
    let place = Place::new();
    for (args, code, expected) in [
        ("mont -h", 1, "\"mont\" is not an overfuse command: did you mean mount? (see 'overfuse --help')"),
        (
            "container lss",
            1,
            "\"lss\" is not a command of overfuse container: did you mean ls? (see 'overfuse container --help')",
        ),
        ("ps --no-trnc", 125, "unknown flag --no-trnc: did you mean --no-trunc? (see 'overfuse ps --help')"),
        ("container ls --volume", 125, "unknown flag --volume (see 'overfuse container ls --help')"),
        ("image rm", 1, "\"overfuse image rm\" needs <IMAGE>... (see 'overfuse image rm --help')"),
        ("run --nmae x image", 125, "unknown flag --nmae: did you mean --name? (see 'overfuse run --help')"),
    ] {
        assert_eq!(place.overfuse(args), (code, format!("overfuse: {expected}")), "{args}");
    }
}

#[test]
fn a_failure_is_1_and_that_of_a_command_that_starts_a_container_125() {
    let place = Place::new();
    for (args, code) in
        [("rmi gone", 1), ("image rm gone", 1), ("history gone", 1), ("rm gone", 1), ("container rm gone", 1)]
    {
        assert_eq!(place.overfuse(&format!("--root store {args}")).0, code, "{args}");
    }
    for args in ["run gone", "container run gone", "trace gone"] {
        assert_eq!(
            place.overfuse(&format!("--root store {args}")),
            (125, "overfuse: there is no image \"gone\"".into()),
            "{args}"
        );
    }
}

#[test]
fn every_command_of_two_words_has_the_help_of_its_short_form() {
    let place = Place::new();
    for (short, long) in [("rm", "container rm"), ("ps", "container ls"), ("rmi", "image rm"), ("images", "image ls")] {
        let flags = |command: &str| {
            let help = place.printed(&format!("{command} --help"));
            help.split_once("Options:").unwrap().1.to_owned()
        };
        assert_eq!(flags(short), flags(long));
    }
    let help = place.printed("--help");
    for line in ["Containers:", "Images:", "Mounts:", "Management commands:", "  container ", "  run  ", "  images  "] {
        assert!(help.contains(line), "{line}: {help}");
    }
}

/// The completion script was written straight to the pipe, and its writer panics when the pipe is closed.
#[test]
fn completion_ends_quietly_where_nobody_reads_it() {
    let place = Place::new();
    let script = "set -o pipefail; overfuse=$0; \"$overfuse\" completion bash | true; echo ${PIPESTATUS[0]}; \"$overfuse\" completion bash";
    let run = std::process::Command::new("bash").args(["-c", script, env!("CARGO_BIN_EXE_overfuse")]).output().unwrap();
    let (printed, said) = (String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    assert!(printed.starts_with("0\n_overfuse()") && said.is_empty(), "{said}");
    assert!(
        printed.contains("overfuse__container__prune") || printed.contains("container__subcmd__prune"),
        "two words"
    );
    assert_eq!(place.overfuse("completion tcsh").0, 1);
}
