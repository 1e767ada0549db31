//! What a build refuses, and what is left after it.

use std::process::Stdio;

use crate::site::{root, sites};

#[test]
fn a_bad_line_is_named() {
    let Some(site) = root() else { return };
    for (file, expected) in [
        ("FROM tiny\n\nRUM x\n", "context/Dockerfile:3: expected RUN instead of \"RUM\": RUM x"),
        ("FROM tiny\nRUN false\n", "context/Dockerfile:2: RUN false: the command ended with status 1"),
        ("FROM tiny\nRUN exit 7\n", "context/Dockerfile:2: RUN exit 7: the command ended with status 7"),
        (
            "FROM tiny\nADD https://example.com/x /x\n",
            "expected a file of the build context instead of https://example.com/x: ADD downloads nothing",
        ),
        ("FROM nowhere\n", "context/Dockerfile:1: FROM nowhere: there is no image \"nowhere\""),
        ("FROM $X\n", "context/Dockerfile:1: FROM $X: expected the name of an image after FROM: it is empty"),
        (
            "FROM tiny\nCOPY gone /\n",
            "context/Dockerfile:2: COPY gone /: \"gone\" is not in the build context, or .dockerignore excludes it",
        ),
        (
            "FROM tiny\nCOPY *.none /\n",
            "context/Dockerfile:2: COPY *.none /: no file fits \"*.none\" in the build context",
        ),
        (
            "FROM tiny\nCOPY --chown=nobody Dockerfile /\n",
            "context/Dockerfile:2: COPY --chown=nobody Dockerfile /: there is no user or group \"nobody\" in the image",
        ),
        (
            "FROM tiny\nCOPY --chmod=rw Dockerfile /\n",
            "context/Dockerfile:2: COPY --chmod=rw Dockerfile /: expected a mode in octal, such as 755, instead of \"rw\"",
        ),
        ("FROM tiny\nENV A=\"${B:?set B}\"\n", "context/Dockerfile:2: ENV A=\"${B:?set B}\": B: set B"),
        (
            "FROM tiny\nRUN --mount=type=secret,id=s,required x\n",
            "there is no secret \"s\": give it with --secret id=s,src=FILE",
        ),
    ] {
        let said = site.refuses(file, &[]);
        assert!(said.ends_with(expected), "{said}\n{expected}");
    }
}

/// A link that leads out of the context or the image reaches nothing of the host.
#[test]
fn no_path_leaves_the_context_or_the_image() {
    for site in sites() {
        site.host.shell(
            "echo outside > secret; ln -s ../secret context/up; ln -s \"$PWD/secret\" context/absolute; mkdir victim",
        );
        for source in ["../secret", "up", "absolute", "./../../../../etc/passwd"] {
            let said = site.refuses(&format!("FROM tiny\nCOPY {source} /x\n"), &[]);
            assert!(said.contains("is not in the build context"), "{}: {source}: {said}", site.host);
        }
        let victim = site.host.path("victim");
        site.write("f", "f");
        site.build(&format!("FROM tiny\nRUN ln -s {} /out\nCOPY f /out/\n", victim.display()), &[]);
        assert!(std::fs::read_dir(&victim).unwrap().next().is_none(), "{}", site.host);
        assert_eq!(site.prints(&format!("cat {}/f", victim.display())), "f", "{}", site.host);
    }
}

#[test]
fn what_dockerignore_excludes_is_not_there() {
    let Some(site) = root() else { return };
    for name in ["a.txt", "b.md", "dir/c.md", "dir/keep.md", "secret/key"] {
        site.write(name, name);
    }
    site.write(".dockerignore", "# a comment\n*.md\n**/*.md\n!dir/keep.md\nsecret\nDockerfile\n");
    site.build("FROM tiny\nCOPY . /all/\n", &[]);
    assert_eq!(site.prints("cd /all; ls -A . dir"), ".:\n.dockerignore\na.txt\ndir\n\ndir:\nkeep.md");
    assert!(site.refuses("FROM tiny\nCOPY secret /s\n", &[]).contains("is not in the build context"));
}

#[test]
fn an_archive_or_a_dockerfile_can_come_by_standard_input() {
    let Some(site) = root() else { return };
    site.write("sub/f", "f");
    site.write("Dockerfile", "FROM tiny\nCOPY sub/f /f\n");
    let program = env!("CARGO_BIN_EXE_overfuse");
    site.host.shell(&format!("tar cz -C context . | {program} --root store build -q -t made - "));
    assert_eq!(site.prints("cat /f"), "f");
    site.host.shell(&format!("printf 'FROM tiny\\nRUN echo x > /x\\n' | {program} --root store build -q -t made -"));
    assert_eq!(site.prints("cat /x"), "x");
    site.host.shell(&format!(
        "printf 'FROM tiny\\nCOPY sub/f /g\\n' | {program} --root store build -q -t made -f - context"
    ));
    assert_eq!(site.prints("cat /g"), "f");
}

#[test]
fn a_build_that_is_interrupted_leaves_nothing() {
    for site in sites() {
        site.write("Dockerfile", "FROM tiny\nRUN echo begun && sleep 10000\n");
        let mut command = site.host.overfuse();
        let mut child =
            command.args(["build", "context"]).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stderr.take().unwrap()));
        assert!(lines.any(|line| line.unwrap() == "begun"));
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
        assert!(!child.wait().unwrap().success());
        let left: Vec<_> = std::fs::read_dir(site.host.path("store/containers")).unwrap().collect();
        assert!(left.is_empty(), "{}: {left:?}", site.host);
    }
}
