//! Users and owners in containers of a user without subordinate ids: what a process becomes, what is recorded of files,
//! and what a commit keeps.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::host::{Host, hosts, ordinary};
use crate::support::need::PLAIN_USER;

const RECORD: &str = "user.containers.override_stat";

fn plain() -> Option<Host> {
    ordinary(PLAIN_USER)
}

/// Runs a script in a container that stays, called `name`; it must succeed.
fn keep(host: &Host, name: &str, flags: &[&str], script: &str) -> String {
    let mut run = host.overfuse();
    run.args(["run", "--name", name]).args(flags).args([crate::image::NAME, "-c", script]);
    let output = run.output().unwrap();
    assert!(output.status.success(), "{script:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

/// What the only container's upper layer records of the file at `path`.
fn record(host: &Host, path: &str) -> String {
    let containers: Vec<PathBuf> =
        fs::read_dir(host.path("store/containers")).unwrap().map(|entry| entry.unwrap().path()).collect();
    let [container] = &containers[..] else { panic!("{containers:?}") };
    let mut value = [0; 256];
    let file = container.join("upper").join(path);
    match rustix::fs::lgetxattr(&file, RECORD, &mut value[..]) {
        Ok(len) => String::from_utf8_lossy(&value[..len]).into_owned(),
        Err(error) => panic!("{}: {error}", file.display()),
    }
}

#[test]
fn owners_are_recorded_whatever_call_gives_them() {
    let Some(host) = plain() else { return };
    keep(
        &host,
        "box",
        &[],
        "cd /srv
         echo x > a && chown 104:105 a
         echo x > b && chown 7:7 ./b && busybox chown 7:8 ../srv/b
         mkdir d && chown -R 9:9 d
         echo x > e && busybox ln -s e l && chown -h 3:3 l && chown 5:5 l
         echo x > f && chown 4:4 f && chown 0:0 f
         busybox chgrp video /bin/busybox
         busybox chown 11:11 /srv/",
    );
    for (path, expected) in [
        ("srv/a", "104:105:0644:file"),
        ("srv/b", "7:8:0644:file"),
        ("srv/d", "9:9:0755:dir"),
        ("srv/e", "5:5:0644:file"),
        ("srv/f", "0:0:0644:file"),
        ("srv", "11:11:0755:dir"),
        ("bin/busybox", "0:44:0755:file"),
    ] {
        assert_eq!(record(&host, path), expected, "{path}");
    }
}

#[test]
fn a_device_is_recorded_and_is_none_on_this_host() {
    let Some(host) = plain() else { return };
    // The kernel knows that the name is missing, and what the directory holds.
    let script = "cd /srv; ls; test ! -e null; mknod -m 640 null c 1 3; chown 0:6 null; mknod disk b 259 7;
        stat -c '%n %F %t %T' null disk; ls; cat null 2>/dev/null; echo $?
        mknod null c 1 3 2>/dev/null; echo $?; rm disk; ls";
    let printed = keep(&host, "box", &[], script);
    assert_eq!(printed, "null character special file 1 3\ndisk block special file 103 7\ndisk\nnull\n1\n1\nnull");
    assert_eq!(record(&host, "srv/null"), "0:6:0640:char-1-3");
    for (flags, script) in [
        (&["--read-only"][..], "mknod /x c 1 3 2>&1; chown 5 /etc/passwd 2>&1"),
        (&[], "mknod /gone/x c 1 3; chown 5 /gone; chown 5 /etc/passwd/x; mknod /dev/x c 1 3"),
    ] {
        let output = host.run(flags, &["-c", &format!("exec 2>&1; {script}; true")]);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let expected = match flags.is_empty() {
            false => "mknod: /x: Read-only file system\nchown: /etc/passwd: Read-only file system\n",
            true => {
                "mknod: /gone/x: No such file or directory\nchown: /gone: No such file or directory\n\
                 chown: /etc/passwd/x: Not a directory\nmknod: /dev/x: Operation not permitted\n"
            }
        };
        assert_eq!(said, expected);
    }
}

#[test]
fn a_commit_keeps_owners_and_devices() {
    let Some(host) = plain() else { return };
    keep(
        &host,
        "box",
        &[],
        "cd /srv; echo x > a; chown 104:105 a; chmod 4750 a; mkdir d; chown 9:9 d; mknod null c 1 3; chown 1:2 null",
    );
    let blobs = || -> Vec<PathBuf> {
        let mut all: Vec<_> =
            fs::read_dir(host.path("store/blobs/sha256")).unwrap().map(|entry| entry.unwrap().path()).collect();
        all.sort();
        all
    };
    let before = blobs();
    let committed = host.overfuse().args(["commit", "box", "kept"]).output().unwrap();
    assert!(committed.status.success(), "{}", String::from_utf8_lossy(&committed.stderr));
    let list = |blob: &Path| {
        let output = Command::new("tar").args(["--numeric-owner", "-tvzf"]).arg(blob).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let columns = |line: &str| -> String {
            // Mode, owner, then size or device number, date, time, name.
            let fields: Vec<&str> = line.split_whitespace().collect();
            [0, 1, 2, 5].map(|index| *fields.get(index).unwrap_or(&"")).join(" ")
        };
        text.lines().map(columns).filter(|line| line.contains(" srv/")).collect::<Vec<_>>()
    };
    let new: Vec<String> = blobs().iter().filter(|blob| !before.contains(blob)).flat_map(|blob| list(blob)).collect();
    assert_eq!(
        new,
        [
            "drwxr-xr-x 0/0 0 srv/",
            "-rwsr-x--- 104/105 2 srv/a",
            "drwxr-xr-x 9/9 0 srv/d/",
            "crw-r--r-- 1/2 1,3 srv/null"
        ]
    );
    let mut run = host.overfuse();
    run.args(["run", "--rm", "kept", "-c", "cat /srv/a; stat -c '%a %F %t %T' /srv/a /srv/null"]);
    let output = run.output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "x\n4750 regular file 0 0\n644 character special file 1 3\n");
}

#[test]
fn a_change_of_owner_takes_set_id_bits_and_one_by_a_user_is_refused() {
    let Some(host) = plain() else { return };
    let script = "cd /srv; echo x > a; chmod 6755 a; chown 5:5 a; stat -c %a a; chmod 4755 a; stat -c %a a
        echo x > mine; chown 1000:1001 mine
        busybox su app -c 'chown 5 /srv/mine; chown :5 /srv/mine; chown 1000:video /srv/mine; chown 1000 /srv/a' 2>&1; true";
    assert_eq!(
        keep(&host, "box", &[], script),
        "755\n4755\nchown: /srv/mine: Operation not permitted\nchown: /srv/mine: Operation not permitted\n\
         chown: /srv/a: Operation not permitted"
    );
    assert_eq!(record(&host, "srv/mine"), "1000:44:0644:file");
    assert_eq!(record(&host, "srv/a"), "5:5:04755:file");
}

#[test]
fn a_process_stays_what_it_became_and_so_do_its_children() {
    let Some(host) = plain() else { return };
    let app = "uid=1000(app) gid=1001(app) groups=1001(app),44(video)";
    for (script, expected) in [
        ("busybox su app -c id", app),
        ("busybox su app -c 'exec busybox env busybox id'", app),
        ("busybox su app -c \"sh -c 'id; true'; true\"", app),
        // The child outlives its parent, which never read its own ids.
        (
            "busybox su app -c '(sleep 0.3; id >/tmp/out; echo >/tmp/done) &'; until test -e /tmp/done; do sleep 0.1; done; cat /tmp/out",
            app,
        ),
        ("busybox su app -c true; id -u", "0"),
        ("busybox su app -c 'busybox su -c id' 2>/dev/null; echo $?", "1"),
        ("busybox su app -c 'busybox setpriv --no-new-privs id -u'", "1000"),
        ("busybox chroot / id -u", "0"),
    ] {
        assert_eq!(host.prints(&[], script), expected, "{script}");
    }
}

#[test]
fn a_container_starts_as_a_virtual_user_without_capabilities() {
    let Some(host) = plain() else { return };
    for (flags, expected) in [
        (&["-u", "app"][..], "1000 1001\n/home/app\nCapEff:\t0000000000000000"),
        (&["-u", "app", "--init"], "1000 1001\n/home/app\nCapEff:\t0000000000000000"),
        (&["-u", "77:88", "--security-opt", "no-new-privileges"], "77 88\n/\nCapEff:\t0000000000000000"),
        (&["-u", "77:88", "--security-opt", "seccomp=unconfined"], "77 88\n/\nCapEff:\t0000000000000000"),
    ] {
        let printed = host.prints(flags, "echo $(id -u) $(id -g); echo $HOME; grep CapEff /proc/self/status");
        assert_eq!(printed, expected, "{flags:?}");
    }
    assert_eq!(host.prints(&["-u", "app"], "echo x > /home/app/x && cat /home/app/x"), "x");
}

#[test]
fn paths_are_those_of_the_caller() {
    let Some(host) = plain() else { return };
    fs::write(host.path("outside"), "x").unwrap();
    let outside = host.path("outside");
    let script = format!(
        "mkdir -p /jail/bin /jail/etc && busybox cp /bin/busybox /jail/bin/ && echo x >/jail/etc/passwd
         busybox ln -s /etc/passwd /jail/l && busybox ln -s ../../../../../../etc/passwd /jail/up
         busybox chroot /jail /bin/busybox chown 5:5 /l
         busybox chroot /jail /bin/busybox chown 6:6 /etc/../../etc/passwd
         busybox chroot /jail /bin/busybox chown 7:7 up; busybox chown 8:8 {} 2>&1
         chown 9 /dev/stdout; chown 9 /proc/self/fd/2; true",
        outside.display()
    );
    let said = keep(&host, "box", &[], &script);
    assert_eq!(said, format!("chown: {}: No such file or directory", outside.display()));
    assert_eq!(record(&host, "jail/etc/passwd"), "7:7:0644:file");
    let owner = |path: &Path| std::os::unix::fs::MetadataExt::uid(&fs::metadata(path).unwrap());
    assert_eq!(owner(&outside), 0);
}

#[test]
fn files_outside_the_container_keep_their_owners() {
    let Some(host) = plain() else { return };
    host.shell("mkdir shared; echo x >shared/f; chmod 4755 shared/f");
    let owner = || std::os::unix::fs::MetadataExt::uid(&fs::metadata(host.path("shared/f")).unwrap());
    let before = owner();
    let volume = format!("{}:/shared", host.path("shared").display());
    assert_eq!(host.prints(&["-v", &volume], "chown 5:5 /shared/f && stat -c '%u %a' /shared/f"), "0 755");
    assert_eq!(owner(), before);
    let keys: Vec<u8> = {
        let mut list = vec![0; 1024];
        let len = rustix::fs::listxattr(host.path("shared/f"), &mut list[..]).unwrap();
        list[..len].to_vec()
    };
    assert!(!keys.windows(RECORD.len()).any(|key| key == RECORD.as_bytes()), "no record is left there");
}

#[test]
fn many_processes_at_once_get_each_their_own_answer() {
    let Some(host) = plain() else { return };
    let script = "cd /srv
        for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
            (echo x > f$i; chown $i:$i f$i; busybox setpriv --version >/dev/null 2>&1; id -u >/dev/null) &
        done; wait; ls | wc -l";
    assert_eq!(keep(&host, "box", &[], script), "20");
    for i in 1..=20 {
        assert_eq!(record(&host, &format!("srv/f{i}")), format!("{i}:{i}:0644:file"));
    }
}

#[test]
fn no_other_container_has_a_filter_more() {
    let filters = |host: &Host, flags: &[&str]| host.prints(flags, "grep Seccomp_filters /proc/self/status");
    let hosts = hosts();
    for host in &hosts {
        let (usual, off) = (filters(host, &[]), filters(host, &["--no-virtual-ids"]));
        assert_eq!(usual != off, !host.has_users(), "{host}: {usual:?} {off:?}");
        assert_eq!(off, filters(&hosts[0], &[]), "{host}");
    }
}
