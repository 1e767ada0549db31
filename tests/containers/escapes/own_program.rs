//! An image that executes Overfuse's own program inside a container, to change it.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;
use std::process::Command;

use crate::exec;
use crate::host::hosts_with;
use crate::image::Twist;
use crate::need;

/// A library that runs before the main function of the program that loads it, and tries to change the program's file.
const PAYLOAD: &str = r#"
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>
__attribute__((constructor)) static void payload(void) {
    const char *own = "/proc/self/exe";
    if (chmod(own, 04755)) printf("chmod: %s\n", strerror(errno));
    if (setxattr(own, "trusted.mark", "x", 1, 0)) printf("setxattr: %s\n", strerror(errno));
    if (open(own, O_WRONLY | O_APPEND) < 0) printf("open: %s\n", strerror(errno));
    if (truncate(own, 0)) printf("truncate: %s\n", strerror(errno));
    fflush(stdout);
    _exit(0);
}
"#;

fn payload(dir: &Path) -> Vec<u8> {
    fs::write(dir.join("payload.c"), PAYLOAD).unwrap();
    let mut cc = Command::new("cc");
    let output = cc.args(["-shared", "-fPIC", "-o", "payload.so", "payload.c"]).current_dir(dir).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    fs::read(dir.join("payload.so")).unwrap()
}

/// The libraries that the dynamically linked program needs, and the payload.
fn libraries(program: &Path) -> Vec<(String, Vec<u8>)> {
    let output = Command::new("ldd").arg(program).output().unwrap();
    let listed = String::from_utf8(output.stdout).unwrap();
    let paths = listed.split_whitespace().filter(|word| word.starts_with('/'));
    let files = paths.map(|path| (path.trim_start_matches('/').to_owned(), fs::read(path).unwrap()));
    files.chain([("payload.so".to_owned(), payload(program.parent().unwrap()))]).collect()
}

#[test]
fn cve_2019_5736_an_image_changes_nothing_of_the_program_that_starts_it() {
    need!(cc);
    for host in hosts_with(|dir| Twist { files: libraries(&dir.join("overfuse")), ..Twist::default() }) {
        // The user's own copy, as many users have in their home directory.
        let program = host.path("overfuse");
        fs::copy(&program, host.path("copy")).unwrap();
        fs::rename(host.path("copy"), &program).unwrap();
        let owner = fs::metadata(host.path("store")).unwrap();
        chown(&program, Some(owner.uid()), Some(owner.gid())).unwrap();
        fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
        let before = fs::read(&program).unwrap();
        for flags in [&[][..], &["--init"], &["--privileged"]] {
            let flags = [flags, &["-e", "LD_PRELOAD=/payload.so", "--entrypoint", "/proc/self/exe"]].concat();
            let output = host.run(&flags, &[]);
            let printed = String::from_utf8_lossy(&output.stdout);
            assert!(printed.contains("truncate: Read-only file system\n"), "{host}: {flags:?}: {printed} {output:?}");
            assert!(printed.contains("chmod: Read-only file system\n"), "{host}: {flags:?}: {printed}");
            let after = fs::metadata(&program).unwrap();
            assert_eq!(after.mode() & 0o7777, 0o755, "{host}: {flags:?}");
            assert!(fs::read(&program).unwrap() == before, "{host}: {flags:?}");
        }
        for flags in [&[][..], &["--privileged"]] {
            let running = exec::start(&host, flags);
            let output =
                exec::command(&host, &[flags, &["-e", "LD_PRELOAD=/payload.so"]].concat(), &["/proc/self/exe"])
                    .output();
            let printed = String::from_utf8(output.unwrap().stdout).unwrap();
            assert!(printed.contains("truncate: Read-only file system\n"), "{host}: {flags:?}: {printed}");
            assert!(printed.contains("chmod: Read-only file system\n"), "{host}: {flags:?}: {printed}");
            assert!(fs::read(&program).unwrap() == before, "{host}: {flags:?}");
            running.end();
        }
    }
}

#[test]
fn cve_2019_5736_a_process_of_ours_inside_is_out_of_reach() {
    for host in hosts_with(|_| Twist::default()) {
        let printed = host.prints(&["--init"], "readlink /proc/1/exe; cat /proc/1/exe 2>/dev/null | wc -c; true");
        assert_eq!(printed, "0", "{host}");
    }
}

#[test]
fn a_supervisor_is_found_by_its_name() {
    for host in hosts_with(|_| Twist::default()) {
        let running = host.start(&[], "echo ready; read x");
        let name = fs::read_to_string(format!("/proc/{}/comm", running.child.id())).unwrap();
        assert_eq!(name, "overfuse\n", "{host}");
        running.signal(rustix::process::Signal::KILL);
        let mut running = running;
        running.child.wait().unwrap();
    }
}
