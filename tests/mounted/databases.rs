//! Programs that rely on consistency between several files: SQLite, git and dpkg, on data in a lower layer.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::need;
use crate::support::{Layers, Subject, scratch};

/// Runs `script` in the shell, in `dir`, and returns what it printed.
#[track_caller]
fn shell(dir: &Path, script: &str) -> String {
    let output = command(dir, script).output().expect("start sh");
    let said = String::from_utf8_lossy(&output.stdout).trim().to_string();
    assert!(
        output.status.success(),
        "{script}: {}\n{said}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    said
}

fn command(dir: &Path, script: &str) -> Command {
    let mut sh = Command::new("sh");
    sh.args(["-ec", script]).current_dir(dir).stdin(Stdio::null()).env("HOME", dir).env("TZ", "UTC");
    for (key, value) in [
        ("GIT_AUTHOR_DATE", "2001-01-01T00:00:00Z"),
        ("GIT_COMMITTER_DATE", "2001-01-01T00:00:00Z"),
        ("GIT_CONFIG_NOSYSTEM", "1"),
        ("GIT_AUTHOR_NAME", "A"),
        ("GIT_AUTHOR_EMAIL", "a@example.org"),
        ("GIT_COMMITTER_NAME", "A"),
        ("GIT_COMMITTER_EMAIL", "a@example.org"),
    ] {
        sh.env(key, value);
    }
    sh
}

#[track_caller]
fn all_succeed(children: Vec<Child>) {
    for child in children {
        let output = child.wait_with_output().expect("it ends");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

/// Mounts a lower layer that `script` fills, runs `work` there, and then `after` on a new mount.
fn on_lower(script: &str, work: impl Fn(&Path), after: impl Fn(&Path)) {
    for subject in Subject::BOTH {
        let dir = scratch();
        let layers = Layers::build(dir.path(), "upper:\n lower:\n");
        shell(&layers.lowers[0], script);
        for act in [&work as &dyn Fn(&Path), &after] {
            let mounted = subject.mount(&layers, &dir.path().join("at"));
            act(mounted.at());
            mounted.unmount();
        }
    }
}

/// Several processes insert into a database in a lower layer, while others read it.
fn sqlite_keeps_its_word(journal: &str) {
    const WRITERS: usize = 4;
    const ROWS: usize = 25;
    let make = format!(
        "sqlite3 db 'PRAGMA page_size=4096; PRAGMA journal_mode={journal}; CREATE TABLE t (who INTEGER, n INTEGER, pad TEXT);
         CREATE INDEX i ON t (who, n); WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c WHERE x < 1000)
         INSERT INTO t SELECT 0, x, printf(\"%0100d\", x) FROM c;' >/dev/null"
    );
    let checked = |at: &Path| {
        assert_eq!(shell(at, "sqlite3 db 'PRAGMA integrity_check'"), "ok");
        assert_eq!(
            shell(at, "sqlite3 db 'SELECT count(*), count(DISTINCT who) FROM t'"),
            format!("{}|{}", 1000 + WRITERS * ROWS, WRITERS + 1)
        );
    };
    let work = |at: &Path| {
        let write = |who: usize| {
            let script = format!(
                "i=0; while [ $i -lt {ROWS} ]; do
                 echo \"BEGIN IMMEDIATE; INSERT INTO t VALUES ({who}, $i, printf('%0200d', $i)); UPDATE t SET n = n + 1 WHERE who = 0 AND n = $i; COMMIT;\"
                 i=$((i+1)); done | sqlite3 -bail -cmd '.timeout 60000' -cmd 'PRAGMA journal_mode={journal}' db >/dev/null"
            );
            command(at, &script).stderr(Stdio::piped()).spawn().expect("start a writer")
        };
        let read = || {
            let script = "i=0; while [ $i -lt 10 ]; do
                 [ \"$(sqlite3 -cmd '.timeout 60000' db 'PRAGMA integrity_check')\" = ok ] || exit 1; i=$((i+1)); done";
            command(at, script).stderr(Stdio::piped()).spawn().expect("start a reader")
        };
        all_succeed((1..=WRITERS).map(write).chain([read()]).collect());
        checked(at);
    };
    on_lower(&make, work, checked);
}

#[test]
fn sqlite_in_wal_mode_loses_nothing_of_several_processes() {
    need!(fuse, overlay, sqlite);
    sqlite_keeps_its_word("wal");
}

#[test]
fn sqlite_with_a_journal_loses_nothing_of_several_processes() {
    need!(fuse, overlay, sqlite);
    sqlite_keeps_its_word("delete");
}

#[test]
fn sqlite_with_a_truncated_journal_loses_nothing_of_several_processes() {
    need!(fuse, overlay, sqlite);
    sqlite_keeps_its_word("truncate");
}

#[test]
fn sqlite_reads_its_database_through_a_map() {
    need!(fuse, overlay, sqlite);
    on_lower(
        "sqlite3 db 'CREATE TABLE t (n); INSERT INTO t VALUES (1)'",
        |at| {
            let script = "sqlite3 -cmd 'PRAGMA mmap_size=1000000' db \
                          'SELECT n FROM t; INSERT INTO t VALUES (2); SELECT sum(n) FROM t; PRAGMA integrity_check'";
            assert_eq!(shell(at, script), "1000000\n1\n3\nok");
        },
        |at| assert_eq!(shell(at, "sqlite3 db 'SELECT sum(n) FROM t'"), "3"),
    );
}

#[test]
fn a_repository_in_a_lower_layer_takes_commits_and_is_packed() {
    need!(fuse, overlay, git);
    let make = "git init -q -b main repo; cd repo; i=0; while [ $i -lt 20 ]; do
                mkdir -p d$((i % 4)); seq $i 500 > d$((i % 4))/f$i; git add .; git commit -qm \"c $i\"; i=$((i+1)); done";
    let work = |at: &Path| {
        let repo = at.join("repo");
        assert_eq!(shell(&repo, "git status --porcelain"), "");
        shell(&repo, "git fsck --strict 2>&1");
        shell(&repo, "echo changed > d0/f0; rm d1/f1; mv d2 moved; git add -A; git commit -qm changed");
        shell(&repo, "git checkout -q -b side HEAD~3; git merge -q -m merged main 2>&1; git checkout -q main 2>&1");
        shell(&repo, "git gc -q --prune=now --aggressive; git fsck --strict --full 2>&1");
        shell(&repo, "git stash list; git clone -q . ../clone; cd ../clone; git log --oneline | wc -l");
        assert_eq!(shell(&repo, "git status --porcelain"), "");
    };
    on_lower(make, work, |at| {
        assert_eq!(
            shell(&at.join("repo"), "git fsck --strict --full 2>&1; git status --porcelain; git log --oneline | wc -l"),
            "21"
        );
        assert_eq!(
            shell(&at.join("clone"), "git fsck --strict --full 2>&1; git status --porcelain; cat d0/f0"),
            "changed"
        );
    });
}

#[test]
fn packages_are_installed_replaced_and_removed_over_a_lower_root() {
    need!(fuse, overlay, dpkg);
    let dir = scratch();
    let package = |version: &str, extra: &str| {
        let script = format!(
            "mkdir -p p/DEBIAN p/etc p/usr/share/tiny/sub; rm -f p/usr/share/tiny/*.txt
             printf 'Package: tiny\\nVersion: {version}\\nArchitecture: all\\nMaintainer: a <a@example.org>\\nDescription: tiny\\n' > p/DEBIAN/control
             echo /etc/tiny.conf > p/DEBIAN/conffiles; echo conf > p/etc/tiny.conf
             echo {version} > p/usr/share/tiny/version; echo {extra} > p/usr/share/tiny/{extra}.txt
             ln -sf ../version p/usr/share/tiny/sub/link; ln -f p/usr/share/tiny/version p/usr/share/tiny/again
             dpkg-deb --root-owner-group -b p {version}.deb >/dev/null"
        );
        shell(dir.path(), &script);
        dir.path().join(format!("{version}.deb")).display().to_string()
    };
    let (one, two) = (package("1", "old"), package("2", "new"));
    let dpkg = |root: &Path, what: &str| {
        let root_options = "--force-not-root --force-script-chrootless --force-bad-path --log=/dev/null";
        shell(root, &format!("dpkg --root=\"$PWD\" {root_options} {what} 2>&1"))
    };
    // dpkg installs the base on a plain directory, as in a base image.
    let base = dir.path().join("base");
    shell(
        dir.path(),
        "mkdir -p base/var/lib/dpkg/updates base/var/lib/dpkg/info; : > base/var/lib/dpkg/status; : > base/var/lib/dpkg/available",
    );
    dpkg(&base, &format!("-i {one}"));
    for subject in Subject::BOTH {
        let upper = Layers::build_for(dir.path(), "upper:\n", &format!("{subject:?}")).upper;
        let layers = Layers { lowers: vec![base.clone()], upper };
        let at = dir.path().join("at");
        let mounted = subject.mount(&layers, &at);
        dpkg(&at, &format!("-i {two}"));
        dpkg(&at, "-V tiny");
        assert!(!at.join("usr/share/tiny/old.txt").exists() && at.join("usr/share/tiny/new.txt").exists());
        assert_eq!(fs::read_to_string(at.join("usr/share/tiny/sub/link")).expect("read"), "2\n");
        mounted.unmount();
        let mounted = subject.mount(&layers, &at);
        dpkg(&at, "-V tiny");
        dpkg(&at, "--purge tiny");
        assert!(!at.join("usr/share/tiny").exists() && !at.join("etc/tiny.conf").exists());
        assert!(dpkg(&at, "--audit").is_empty());
        mounted.unmount();
        let mounted = Subject::Kernel.mount(&layers, &at);
        assert!(!at.join("usr/share/tiny").exists() && !at.join("etc/tiny.conf").exists());
        mounted.unmount();
    }
}
