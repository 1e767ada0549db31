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
fn a_container_dies_with_its_monitor() {
    for host in all() {
        for runtime in RUNTIMES {
            // The monitor leads a session. The number of seconds is one that no other process sleeps.
            let text = format!(
                r#"o run -d --name gone --runtime {runtime} tiny -c "exec sleep 1$$" >/dev/null
                until pgrep -x -f "sleep 1$$" >/dev/null; do sleep 0.1; done
                kill -9 $(ps -eo pid=,sess=,args= | awk -v s="$STORE run -d" 'index($0, s) && $1 == $2 {{ print $1 }}')
                while pgrep -x -f "sleep 1$$" >/dev/null; do sleep 0.1; done
                o ps -a; o rm gone"#
            );
            let printed = prints(&host, script(&host, &text));
            assert!(printed.contains("Exited (137)"), "{host} {runtime}: {printed}");
        }
    }
}

#[test]
fn the_commands_of_the_life_cycle_work_with_a_runtime() {
    for host in all() {
        for runtime in RUNTIMES {
            let text = format!(
                "o run -d --name long --runtime {runtime} tiny -c 'trap \"exit 4\" TERM; echo up; while :; do sleep 0.1; done' >/dev/null
                until o logs long | grep -q up; do sleep 0.1; done
                pid=$(o inspect -f '{{{{.State.Pid}}}}' long); tr '\\0' ' ' < /proc/$pid/cmdline | cut -c 1-11; echo
                o exec long sh -c 'hostname; cat /etc/hostname' | uniq | wc -l; o stop long; o inspect -f '{{{{.State.ExitCode}}}}' long
                o start long >/dev/null; o kill long; o wait long; o rm long"
            );
            let printed = prints(&host, script(&host, &text));
            assert_eq!(printed, "/bin/sh -c \n\n1\nlong\n4\nlong\n137\nlong\n", "{host} {runtime}");
        }
    }
}
