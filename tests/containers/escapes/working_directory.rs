//! Working directories that lead out of the container.

use std::fs::{self, File};
use std::os::fd::AsRawFd;

use crate::exec;
use crate::host::{Host, hosts, hosts_with};
use crate::image::Twist;

/// Leaves a directory of the host open in the next process, as descriptor `number`.
struct Leak {
    dir: File,
    number: i32,
}

impl Leak {
    /// `number` must be so high that no other descriptor gets it meanwhile.
    fn of(host: &Host, number: i32) -> Leak {
        let dir = File::open(host.path("outside")).unwrap();
        Leak { dir, number }
    }

    fn leave_to(&self, command: &mut std::process::Command) {
        use std::os::unix::process::CommandExt;
        let (dir, number) = (self.dir.as_raw_fd(), self.number);
        // SAFETY: between fork and exec, dup2 is allowed.
        unsafe {
            command.pre_exec(move || match libc::dup2(dir, number) {
                -1 => Err(std::io::Error::last_os_error()),
                _ => Ok(()),
            });
        }
    }
}

fn secret(host: &Host) {
    fs::create_dir(host.path("outside")).unwrap();
    fs::write(host.path("outside/secret"), "of the host").unwrap();
}

#[test]
fn cve_2024_21626_a_descriptor_that_the_caller_leaks_is_no_working_directory() {
    for number in [7, 8, 9, 10, 23] {
        let path = format!("/proc/self/fd/{number}");
        for host in hosts_with(|_| Twist::says("WorkingDir", path.as_str())) {
            secret(&host);
            let leak = Leak::of(&host, number);
            for flags in [&[][..], &["-w", &path], &["-w", &format!("/proc/1/fd/{number}")], &["--init"]] {
                let mut command =
                    host.command(flags, &["-c", "cat secret ./../outside/secret; cat /proc/*/cwd/secret"]);
                leak.leave_to(&mut command);
                let output = command.output().unwrap();
                let said = String::from_utf8_lossy(&output.stderr);
                assert_eq!(output.stdout, b"", "{host}: {flags:?}");
                assert_eq!(output.status.code(), Some(125), "{host}: {flags:?}: {said}");
                assert!(said.starts_with("overfuse: cannot make the working directory /proc/"), "{host}: {said}");
                assert_eq!(said.lines().count(), 1, "{host}: {said}");
            }
        }
    }
}

#[test]
fn cve_2024_21626_a_descriptor_that_the_caller_of_exec_leaks_is_no_working_directory() {
    for host in hosts() {
        secret(&host);
        let running = exec::start(&host, &[]);
        for number in [3, 4, 5, 6, 7, 8, 9, 10, 23] {
            for path in [format!("/proc/self/fd/{number}"), format!("/proc/self/fd/{number}/../outside")] {
                let script = "cat secret ../outside/secret; cat /proc/*/cwd/secret";
                let mut command = exec::command(&host, &["-w", &path], &["sh", "-c", script]);
                Leak::of(&host, number).leave_to(&mut command);
                let output = command.output().unwrap();
                let said = String::from_utf8_lossy(&output.stderr);
                assert_eq!(output.stdout, b"", "{host}: {path}");
                assert_eq!(output.status.code(), Some(125), "{host}: {path}: {said}");
                assert!(said.starts_with("overfuse: cannot change to /proc/self/fd/"), "{host}: {said}");
                assert_eq!(said.lines().count(), 1, "{host}: {said}");
            }
        }
        let mut command =
            exec::command(&host, &[], &["sh", "-c", "cat /proc/*/fd/*/secret 2>/dev/null; ls /proc/self/fd/"]);
        Leak::of(&host, 77).leave_to(&mut command);
        let output = command.output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), "0\n1\n2\n3\n", "{host}");
        running.end();
    }
}

#[test]
fn cve_2024_21626_no_process_in_a_container_has_a_directory_of_the_host_open() {
    for host in hosts() {
        secret(&host);
        for flags in [&[][..], &["--init"], &["-w", "/tmp"]] {
            let mut command = host.command(flags, &["-c", "cat /proc/*/fd/*/secret 2>/dev/null; ls /proc/self/fd/"]);
            Leak::of(&host, 77).leave_to(&mut command);
            let output = command.output().unwrap();
            assert_eq!(String::from_utf8_lossy(&output.stdout), "0\n1\n2\n3\n", "{host}: {flags:?}");
        }
    }
}

#[test]
fn cve_2026_55686_a_working_directory_behind_a_link_is_made_inside() {
    for host in hosts_with(|dir| {
        let links = [("job", dir.join("outside/made").display().to_string()), ("up", "../../../..".into())];
        let links = links.into_iter().map(|(name, target)| (name.to_owned(), target)).collect();
        Twist { links, ..Twist::says("WorkingDir", "/job/deep") }
    }) {
        secret(&host);
        let inside = format!("{}/deep", host.path("outside/made").display());
        assert_eq!(host.prints(&[], "pwd"), inside, "{host}");
        let up = format!("/up{}", host.path("outside/made").display());
        assert_eq!(
            host.prints(&["-w", &up], "ls ../secret 2>/dev/null; pwd"),
            host.path("outside/made").display().to_string()
        );
        let names: Vec<_> = fs::read_dir(host.path("outside")).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(names, ["secret"], "{host}");
    }
}
