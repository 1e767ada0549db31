//! The exit status of `overfuse run`, and its one-line error when the command does not start.

use crate::host::{hosts, root};

#[test]
fn the_status_of_the_command_is_passed_on() {
    for host in hosts() {
        for (flags, script, code) in [
            (&[][..], "exit 0", 0),
            (&[], "exit 7", 7),
            (&[], "exit 255", 255),
            (&[], "sh -c 'kill -TERM $$'; exit $?", 143),
            (&["--init"], "exit 7", 7),
            (&["--init"], "kill -KILL $$", 137),
        ] {
            let output = host.run(flags, &["-c", script]);
            assert_eq!(output.status.code(), Some(code), "{host}: {flags:?} {script:?}");
        }
    }
}

#[test]
fn a_command_that_does_not_start_is_told_from_one_that_fails() {
    for host in hosts() {
        for (entrypoint, code, said) in [
            ("gone", 127, "overfuse: exec: \"gone\": executable file not found in $PATH\n"),
            ("/gone", 127, "overfuse: exec: \"/gone\": no such file or directory\n"),
            (
                "no-interpreter",
                127,
                "overfuse: exec: \"no-interpreter\": the file exists, but its interpreter or loader does not\n",
            ),
            ("/etc/passwd", 126, "overfuse: exec: \"/etc/passwd\": Permission denied (os error 13)\n"),
            ("/etc", 126, "overfuse: exec: \"/etc\": Permission denied (os error 13)\n"),
        ] {
            for init in [&[][..], &["--init"]] {
                let output = host.run(&[&["--entrypoint", entrypoint], init].concat(), &[]);
                assert_eq!(output.status.code(), Some(code), "{host}: {entrypoint}");
                assert_eq!(String::from_utf8_lossy(&output.stderr), said, "{host}: {entrypoint}");
            }
        }
    }
}

#[test]
fn a_failure_of_our_own_is_125_and_leaves_no_container() {
    let Some(host) = root() else { return };
    for (flags, said) in [
        (&["--user", "nobody-here"][..], "the image's /etc/passwd has no user \"nobody-here\""),
        (&["--user", "app:nothing-here"], "the image's /etc/group has no group \"nothing-here\""),
        (&["--workdir", "relative"], "the working directory \"relative\" is not an absolute path"),
        (&["--entrypoint", ""], "the image names no command: give one after the image's name"),
        (&["--volume", "/gone/away:/x"], "volume source /gone/away: No such file or directory (os error 2)"),
        (&["-i", "-t"], "standard input is not a terminal: leave out -t, or -i"),
    ] {
        let output = host.command(flags, &[]).output().unwrap();
        assert_eq!(output.status.code(), Some(125), "{flags:?}");
        assert_eq!(String::from_utf8_lossy(&output.stderr), format!("overfuse: {said}\n"), "{flags:?}");
    }
    assert_eq!(host.containers(), 0);
    let output = host.overfuse().args(["run", "tinny"]).output().unwrap();
    assert_eq!(output.status.code(), Some(125));
    assert!(String::from_utf8_lossy(&output.stderr).contains("tiny"), "{output:?}");
}

#[test]
fn flags_end_at_the_image() {
    let Some(host) = root() else { return };
    let output = host.run(&["--entrypoint", "echo"], &["--rm", "-t", "--", "--name", "x"]);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "--rm -t -- --name x\n");
}
