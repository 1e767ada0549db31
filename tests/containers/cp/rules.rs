//! docker's rules about which name a copy gets, in both directions.

use std::fs;

use crate::host::root;

use super::{both, tree};

/// The source, on either side.
const SOURCE: &str = "mkdir -p s/d/sub s/empty; echo -n F >s/f; echo -n X >s/d/x; echo -n Y >s/d/sub/y; \
    ln -s f s/link; ln -s d s/dlink; ln -s gone s/dangling";
/// The target, made anew for each case.
const TARGET: &str = "mkdir -p t/dir/d t/other; echo -n old >t/file; echo -n old >t/dir/d/old; ln -s dir t/todir; \
    ln -s file t/tofile; ln -s made t/tomade";
/// What is there before.
const BEFORE: &str = "dir/ dir/d/ dir/d/old=old file=old other/ todir->dir tofile->file tomade->made";

/// Source, target, options, and what is new or changed in the target: `Err` for a copy that is refused.
type Case = (&'static str, &'static str, &'static [&'static str], Result<&'static str, &'static str>);

const CASES: &[Case] = &[
    ("s/f", "t/new", &[], Ok("new=F")),
    ("s/f", "t/file", &[], Ok("file=F")),
    ("s/f", "t/dir", &[], Ok("dir/f=F")),
    ("s/f", "t/dir/", &[], Ok("dir/f=F")),
    ("s/f", "t/dir/.", &[], Ok("dir/f=F")),
    ("s/f", "t/todir", &[], Ok("dir/f=F")),
    ("s/f", "t/tofile", &[], Ok("file=F")),
    ("s/f", "t/tomade", &[], Ok("made=F")),
    ("s/f", "t/new/", &[], Err("the directory does not exist")),
    ("s/f", "t/gone/new", &[], Err("No such file or directory (os error 2)")),
    ("s/f/", "t/new", &[], Err("Not a directory (os error 20)")),
    ("s/f/.", "t/new", &[], Err("Not a directory (os error 20)")),
    ("s/f", "t/file/", &[], Err("Not a directory (os error 20)")),
    ("s/gone", "t/new", &[], Err("No such file or directory (os error 2)")),
    ("s/d", "t/new", &[], Ok("new/ new/sub/ new/sub/y=Y new/x=X")),
    ("s/d", "t/new/", &[], Ok("new/ new/sub/ new/sub/y=Y new/x=X")),
    ("s/d/", "t/new", &[], Ok("new/ new/sub/ new/sub/y=Y new/x=X")),
    ("s/d/.", "t/new", &[], Ok("new/ new/sub/ new/sub/y=Y new/x=X")),
    ("s/d", "t/dir", &[], Ok("dir/d/sub/ dir/d/sub/y=Y dir/d/x=X")),
    ("s/d/", "t/dir", &[], Ok("dir/d/sub/ dir/d/sub/y=Y dir/d/x=X")),
    ("s/d/.", "t/dir", &[], Ok("dir/sub/ dir/sub/y=Y dir/x=X")),
    ("s/d/.", "t/todir", &[], Ok("dir/sub/ dir/sub/y=Y dir/x=X")),
    ("s/d", "t/file", &[], Err("a directory cannot replace a file")),
    ("s/empty", "t/other", &[], Ok("other/empty/")),
    ("s/link", "t/new", &[], Ok("new->f")),
    ("s/link", "t/other", &[], Ok("other/link->f")),
    ("s/link", "t/new", &["-L"], Ok("new=F")),
    ("s/link", "t/other", &["-L"], Ok("other/link=F")),
    ("s/dlink", "t/other", &[], Ok("other/dlink->d")),
    ("s/dlink/", "t/other", &[], Ok("other/dlink/ other/dlink/sub/ other/dlink/sub/y=Y other/dlink/x=X")),
    ("s/dlink/.", "t/other", &[], Ok("other/sub/ other/sub/y=Y other/x=X")),
    ("s/dlink", "t/other", &["-L"], Ok("other/dlink/ other/dlink/sub/ other/dlink/sub/y=Y other/dlink/x=X")),
    ("s/dangling", "t/other", &[], Ok("other/dangling->gone")),
    ("s/dangling", "t/other", &["-L"], Err("No such file or directory (os error 2)")),
    ("s/dlink/sub", "t/other", &[], Ok("other/sub/ other/sub/y=Y")),
];

/// The entries of `after` that are not in `before`.
fn news(after: &str) -> String {
    let before: Vec<&str> = BEFORE.split(' ').collect();
    after.split(' ').filter(|entry| !before.contains(entry)).collect::<Vec<_>>().join(" ")
}

#[test]
fn a_copy_to_the_host_has_the_name_that_docker_gives_it() {
    if let Some(host) = root() {
        both(&host, &format!("cd /; {SOURCE}"), |target| {
            for &(from, to, options, ref expected) in CASES {
                host.shell(&format!("rm -rf t; {TARGET}"));
                assert_eq!(tree(&host.path("t")), BEFORE);
                let source = format!("box:/{from}");
                let output = target.cp(&[options, &[&source, to]].concat());
                let said = String::from_utf8_lossy(&output.stderr);
                match expected {
                    Ok(new) => {
                        assert!(output.status.success(), "{target}: {from} {to} {options:?}: {said}");
                        assert_eq!(news(&tree(&host.path("t"))), *new, "{target}: {from} {to} {options:?}");
                    }
                    Err(why) => {
                        assert!(said.trim_end().ends_with(why), "{target}: {from} {to} {options:?}: {said}");
                        assert_eq!(said.lines().count(), 1, "{target}: {said}");
                        assert_eq!(tree(&host.path("t")), BEFORE, "{target}: {from} {to}");
                    }
                }
            }
            fs::remove_dir_all(host.path("t")).unwrap();
        });
    }
}

#[test]
fn a_copy_to_a_container_has_the_name_that_docker_gives_it() {
    if let Some(host) = root() {
        host.shell(&SOURCE.replace("echo -n", "printf"));
        // One copy of the target for each case, because making one in a stopped container takes a run.
        let script: String = (0..CASES.len()).map(|case| format!("mkdir -p /{case}; cd /{case}; {TARGET}; ")).collect();
        both(&host, &script, |target| {
            assert_eq!(target.tree("/0/t"), BEFORE);
            for (case, &(from, to, options, ref expected)) in CASES.iter().enumerate() {
                let goal = format!("box:{case}/{to}");
                let output = target.cp(&[options, &[from, &goal]].concat());
                let said = String::from_utf8_lossy(&output.stderr);
                match expected {
                    Ok(new) => {
                        assert!(output.status.success(), "{target}: {from} {to} {options:?}: {said}");
                        assert_eq!(
                            news(&target.tree(&format!("/{case}/t"))),
                            *new,
                            "{target}: {from} {to} {options:?}"
                        );
                    }
                    Err(why) => {
                        assert!(said.trim_end().ends_with(why), "{target}: {from} {to} {options:?}: {said}");
                        assert_eq!(said.lines().count(), 1, "{target}: {said}");
                        assert_eq!(target.tree(&format!("/{case}/t")), BEFORE, "{target}: {from} {to}");
                    }
                }
            }
        });
    }
}
