//! Containers that try to redirect a copy to the host's files, or to have their code run by it.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use crate::exec;
use crate::host::{Host, hosts, hosts_with};
use crate::image::Twist;
use crate::need;

/// A directory of the host with a secret in it that everybody may read and change.
fn outside(host: &Host) -> String {
    host.shell("mkdir -m 777 outside; echo of the host >outside/secret; chmod 666 outside/secret; echo given >given");
    host.path("outside").display().to_string()
}

fn assert_untouched(host: &Host) {
    let names: Vec<_> = fs::read_dir(host.path("outside")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["secret"], "{host}");
    assert_eq!(fs::read_to_string(host.path("outside/secret")).unwrap(), "of the host\n", "{host}");
}

fn cp(host: &Host, from: &str, to: &str) -> Output {
    host.overfuse().args(["cp", from, to]).output().unwrap()
}

#[test]
fn cve_2026_17106_no_link_of_a_container_leads_a_copy_to_the_host() {
    for host in hosts() {
        let outside = outside(&host);
        let links = format!(
            "ln -s {outside} /out; ln -s ../../../../..{outside} /up; ln -s {outside}/secret /file; \
             ln -s /proc/1/root{outside} /magic; ln -s /proc/self/cwd /cwd; ln -s {outside}/made /made"
        );
        crate::cp::both(&host, &links, |target| {
            for source in ["/out/secret", "/up/secret", "/out/.", "/out/", "/file/.", "/magic/secret", "/cwd/given"] {
                let output = target.cp(&[&format!("box:{source}"), "-"]);
                let seen = String::from_utf8_lossy(&output.stdout);
                assert!(!output.status.success() && !seen.contains("of the host"), "{target}: {source}: {output:?}");
            }
            let output = target.cp(&["-L", "box:/file", "-"]);
            assert!(!output.status.success(), "{target}: {output:?}");
            for goal in ["/out/made", "/up/made", "/out", "/file", "/made", "/magic/made", "/cwd/made"] {
                // Some of these make a file inside the container, others are refused.
                target.cp(&["given", &format!("box:{goal}")]);
                assert_untouched(&host);
                assert!(!host.path("made").exists(), "{target}: {goal}");
            }
        });
    }
}

#[test]
fn cve_2018_15664_a_link_that_changes_during_a_copy_leads_nowhere_else() {
    for host in hosts() {
        let outside = outside(&host);
        let script = format!(
            "mkdir -p {outside}; trap 'exit 0' TERM; echo ready; \
             while :; do mkdir /x; echo inside >/x/secret; rm -r /x; ln -s {outside} /x; rm /x; done 2>/dev/null"
        );
        let running = host.start(&["--name", "box"], &script);
        for round in 0..15 {
            let out = cp(&host, "box:/x/secret", "-");
            assert!(!String::from_utf8_lossy(&out.stdout).contains("of the host"), "{host}");
            cp(&host, "given", "box:/x/secret");
            cp(&host, "given", &format!("box:/x/made{round}"));
            let out = cp(&host, "box:/x/.", "-");
            assert!(!String::from_utf8_lossy(&out.stdout).contains("of the host"), "{host}");
            assert_untouched(&host);
        }
        running.end();
    }
}

#[test]
fn a_link_that_came_out_before_is_not_followed_on_the_host() {
    for host in hosts() {
        let outside = outside(&host);
        let running = exec::start(&host, &[]);
        exec::prints(&host, &[], &format!("mkdir -p /d/real; ln -s {outside} /d/link"));
        assert!(cp(&host, "box:/d", "out").status.success(), "{host}");
        exec::prints(&host, &[], "rm /d/link; mkdir /d/link; echo changed >/d/link/secret; echo x >/d/link/new");
        let output = cp(&host, "box:/d/.", "out");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(said, "overfuse: \"link/\": a directory cannot replace a file\n", "{host}");
        assert_untouched(&host);
        running.end();
    }
}

/// A library that leaves a mark when a program loads it.
fn payload(dir: &Path) -> Vec<u8> {
    let mark = dir.join("outside/ran");
    let code = format!(
        "#include <fcntl.h>\n__attribute__((constructor)) static void run(void) {{ \
         open(\"{}\", O_CREAT | O_WRONLY, 0666); open(\"/ran\", O_CREAT | O_WRONLY, 0666); }}\n",
        mark.display()
    );
    fs::write(dir.join("payload.c"), code).unwrap();
    let mut cc = Command::new("cc");
    let output = cc.args(["-shared", "-fPIC", "-o", "payload.so", "payload.c"]).current_dir(dir).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    fs::read(dir.join("payload.so")).unwrap()
}

#[test]
fn cve_2019_14271_a_copy_loads_no_library_of_the_container() {
    need!(cc);
    let with_libraries = |dir: &Path| {
        let payload = payload(dir);
        let dirs = ["lib", "lib64", "usr/lib", "lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu"];
        let names = ["libnss_files.so.2", "libnss_compat.so.2", "libnss_dns.so.2", "libc.so.6", "libgcc_s.so.1"];
        let files = dirs.iter().flat_map(|dir| names.iter().map(move |name| format!("{dir}/{name}")));
        let mut files: Vec<_> = files.map(|name| (name, payload.clone())).collect();
        files.push(("etc/nsswitch.conf".into(), b"passwd: files compat\ngroup: files compat\n".to_vec()));
        files.push(("etc/ld.so.preload".into(), b"/lib/libc.so.6\n".to_vec()));
        Twist { files, ..Twist::default() }
    };
    for host in hosts_with(with_libraries) {
        outside(&host);
        crate::cp::both(&host, "true", |target| {
            for args in [&["box:/etc", "etc"][..], &["given", "box:/given"], &["box:/etc/passwd", "passwd"]] {
                assert!(target.cp(args).status.success(), "{target}: {args:?}");
            }
            assert!(!target.cp(&["box:/ran", "-"]).status.success(), "{target}");
            assert_untouched(&host);
        });
    }
}
