//! The harness itself: it shows the trees that it built, and names differences.

use crate::need;
use crate::support::{Layers, Subject, build, scratch, show, snapshot};

#[test]
fn a_tree_reads_back_as_the_text_it_was_built_from() {
    need!(root);
    let text = "d a 755\n\
        b a/b 600 7:1\n\
        c a/c 600 1:3\n\
        f a/f 4755 hello\n\
        w a/gone\n\
        l a/link ../target\n\
        p a/pipe 640\n\
        s a/socket 700\n\
        f empty 644 \"\"\n\
        f large 644 65536*A\n\
        o opaque 1777\n\
        f owned 600 x @1000:1001 +user.k=v\n\
        f quoted 644 \"two words\\n\"";
    let dir = scratch();
    build(dir.path(), text);
    assert_eq!(show(dir.path()), text);
}

#[test]
fn a_difference_names_the_path_and_both_sides() {
    let dir = scratch();
    let [a, b] = ["a", "b"].map(|name| dir.path().join(name));
    build(&a, "f same 644 x\nf other 644 x\nf only 644 x");
    build(&b, "f same 644 x\nf other 600 x");
    let diff = snapshot(&a).diff(&snapshot(&b)).expect("they differ");
    let paths: Vec<&str> = diff.lines().filter_map(|line| line.split(':').next()).collect();
    assert_eq!(paths, ["- only", "+ only", "- other", "+ other"]);
    assert!(diff.contains("+ only: (absent)"), "{diff}");
}

#[test]
fn both_subjects_mount_and_unmount() {
    need!(fuse, overlay);
    for subject in Subject::BOTH {
        let dir = scratch();
        let layers = Layers::build(dir.path(), "upper:\nlower:\nf below 644 x");
        let at = dir.path().join("at");
        let mounted = subject.mount(&layers, &at);
        assert_eq!(show(&at), "f below 644 x");
        mounted.unmount();
        assert_eq!(show(&at), "");
    }
}
