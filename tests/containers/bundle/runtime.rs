//! `overfuse run --runtime`: exit codes, signals, terminals, and the end of all.

use std::io::{BufRead, BufReader, Read};

use super::{RUNTIMES, all, prints, script, stderr, stdout};

#[test]
fn exit_codes_are_those_of_our_launcher() {
    for host in all() {
        for (args, code, said) in [
            ("tiny -c 'exit 42'", 42, ""),
            ("--entrypoint gone tiny", 127, "overfuse: exec: \"gone\": executable file not found in $PATH\n"),
            ("--entrypoint /gone tiny", 127, "overfuse: exec: \"/gone\": no such file or directory\n"),
            (
                "--entrypoint /etc/passwd tiny",
                126,
                "overfuse: exec: \"/etc/passwd\": Permission denied (os error 13)\n",
            ),
            ("-u nobody tiny", 125, "overfuse: the image's /etc/passwd has no user \"nobody\"\n"),
        ] {
            for by in [String::new(), format!("--runtime {}", RUNTIMES[0]), format!("--runtime {}", RUNTIMES[1])] {
                let output = script(&host, &format!("o run --rm {by} {args}")).output().unwrap();
                assert_eq!(output.status.code(), Some(code), "{host} {by} {args}: {}", stderr(&output));
                assert!(stderr(&output).ends_with(said), "{host} {by} {args}: {}", stderr(&output));
            }
        }
        assert_eq!(host.containers(), 0, "{host}");
    }
}

#[test]
fn a_runtime_that_is_missing_is_named() {
    for host in all() {
        for name in ["nope", "./nope", "/nope", "/"] {
            let output = script(&host, &format!("o run --runtime {name} tiny")).output().unwrap();
            assert_eq!(stderr(&output), format!("overfuse: there is no runtime {name:?}\n"), "{host}");
            assert_eq!(output.status.code(), Some(125), "{host}");
        }
        assert_eq!(host.containers(), 0, "{host}");
    }
}

#[test]
fn a_runtime_that_fails_is_quoted() {
    for host in all() {
        let text = "printf '#!/bin/sh\\nexit 3\\n' > mine; chmod 755 mine; o run --rm --runtime ./mine tiny";
        let output = script(&host, text).output().unwrap();
        assert_eq!(output.status.code(), Some(125), "{host}");
        let said = stderr(&output);
        assert!(said.ends_with("/mine: `create` ended with 3\n"), "{host}: {said}");
        assert_eq!(host.containers(), 0, "{host}");
    }
}

#[test]
fn input_and_signals_reach_the_command() {
    for host in all() {
        for runtime in RUNTIMES {
            let text = format!(
                "echo hello | o run --rm -i --runtime {runtime} tiny -c 'cat; echo to error >&2'; \
                o run --rm --runtime {runtime} tiny -c 'wc -c'"
            );
            let output = script(&host, &text).output().unwrap();
            assert_eq!(
                (stdout(&output).as_str(), stderr(&output).as_str()),
                ("hello\n0\n", "to error\n"),
                "{host} {runtime}"
            );

            let loops = "trap 'echo told; exit 3' TERM; echo ready; while :; do sleep 0.1; done";
            let text = format!("exec \"$OVERFUSE\" --root \"$STORE\" run --rm --runtime {runtime} tiny -c \"{loops}\"");
            let mut run = script(&host, &text).spawn().unwrap();
            let mut output = BufReader::new(run.stdout.take().unwrap());
            let mut line = String::new();
            output.read_line(&mut line).unwrap();
            assert_eq!(line, "ready\n", "{host} {runtime}");
            let pid = rustix::process::Pid::from_child(&run);
            rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
            let mut rest = String::new();
            output.read_to_string(&mut rest).unwrap();
            assert_eq!((rest.as_str(), run.wait().unwrap().code()), ("told\n", Some(3)), "{host} {runtime}");
        }
        assert_eq!(host.containers(), 0, "{host}");
    }
}

#[test]
fn a_terminal_is_the_commands_own() {
    for host in all() {
        for runtime in RUNTIMES {
            let look = "tty; stty size; stat -c %F /dev/console; exit 5";
            let text = format!(
                "cat > look <<'EOF'\nstty rows 33 cols 99\n\"$OVERFUSE\" --root \"$STORE\" run --rm -it --runtime {runtime} tiny -c '{look}'\nEOF
                script -qec 'sh look' /dev/null; echo $?"
            );
            let printed = prints(&host, script(&host, &text)).replace('\r', "").replace("^@", "");
            assert_eq!(printed, "/dev/pts/0\n33 99\ncharacter special file\n5\n", "{host} {runtime}");
        }
    }
}

#[test]
fn a_container_dies_with_its_launcher() {
    for host in all() {
        for runtime in RUNTIMES {
            let text = format!(
                "exec \"$OVERFUSE\" --root \"$STORE\" run --name gone --runtime {runtime} tiny \
                    -c 'echo ready; exec sleep 1000'"
            );
            let mut run = script(&host, &text).spawn().unwrap();
            let mut output = BufReader::new(run.stdout.take().unwrap());
            let mut line = String::new();
            output.read_line(&mut line).unwrap();
            assert_eq!(line, "ready\n", "{host} {runtime}");
            run.kill().unwrap();
            run.wait().unwrap();
            // The pipe ends when the last process that has it does.
            output.read_to_string(&mut line).unwrap();
            let listed = prints(&host, script(&host, "o ps -a; o rm gone"));
            assert!(listed.contains("Exited (137)"), "{host} {runtime}: {listed}");
        }
    }
}
