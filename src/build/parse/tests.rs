//! The grammar by tables: what is accepted, and what each error says.

use super::*;

fn parse(text: &str) -> Result<Dockerfile, String> {
    Dockerfile::parse("Dockerfile", text.as_bytes()).map_err(|error| error.to_string())
}

/// The instructions after `FROM scratch`.
fn kinds(text: &str) -> Result<Vec<Kind>, String> {
    let file = parse(&format!("FROM scratch\n{text}"))?;
    Ok(file.stages[0].instructions.iter().map(|instruction| instruction.kind.clone()).collect())
}

fn kind(text: &str) -> Kind {
    let mut kinds = kinds(text).unwrap();
    assert_eq!(kinds.len(), 1, "{text}");
    kinds.remove(0)
}

fn shell(text: &str) -> Command {
    Command::Shell(text.into())
}

fn exec(words: &[&str]) -> Command {
    Command::Exec(words.iter().map(|&word| word.to_owned()).collect())
}

fn strings(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

#[test]
fn lines_are_continued_over_comments_and_empty_lines() {
    for (text, expected) in [
        ("RUN a \\\n  b", "a   b"),
        ("RUN a \\  \nb", "a b"),
        ("RUN a \\\n# a comment\n   # another\n\nb", "a b"),
        ("RUN a \\\r\nb\r\n", "a b"),
        ("run a # no comment", "a # no comment"),
        ("RUN echo \\\\\nCMD b", "echo \\\\"),
        ("   RUN   a  ", "a"),
        ("RUN a \\", "a"),
    ] {
        match &kinds(text).unwrap()[0] {
            Kind::Run(run) => assert_eq!(run.command, shell(expected), "{text:?}"),
            other => panic!("{text:?}: {other:?}"),
        }
    }
}

#[test]
fn directives_come_first() {
    let file = parse("# syntax=docker/dockerfile:1\n#escape=`\nFROM a\nRUN dir c:\\ `\n b").unwrap();
    assert_eq!((file.syntax.as_deref(), file.escape), (Some("docker/dockerfile:1"), '`'));
    assert_eq!(file.stages[0].instructions[0].text, "RUN dir c:\\  b");
    assert_eq!(parse("# a comment\n# escape=`\nFROM a").unwrap().escape, '\\');
    assert_eq!(parse("\n# escape=`\nFROM a").unwrap().escape, '\\');
    assert_eq!(parse("# unknown=x\n# escape=`\nFROM a").unwrap().escape, '\\');
    assert!(
        parse("# escape=`\n# escape=`\nFROM a")
            .unwrap_err()
            .contains("Dockerfile:2: expected the directive escape once")
    );
    assert!(parse("# escape=x\nFROM a").is_err());
}

#[test]
fn stages_are_named_and_numbered() {
    let file =
        parse("ARG V=1\nFROM --platform=linux/amd64 a:$V AS Build\nRUN x\nFROM scratch\nCOPY --from=build /a /b")
            .unwrap();
    assert_eq!(file.global.len(), 1);
    assert_eq!(file.stages[0].from.name.as_deref(), Some("build"));
    assert_eq!(file.stages[0].from.platform.as_deref(), Some("linux/amd64"));
    assert_eq!(file.stage("BUILD").unwrap().number, 0);
    assert_eq!(file.stage("1").unwrap().number, 1);
    assert_eq!(file.stage("2"), None);
    assert_eq!(file.stages[1].line, 4);
}

#[test]
fn commands_have_a_shell_form_and_an_exec_form() {
    for (text, expected) in [
        (r#"CMD ["a", "b c"]"#, Kind::Cmd(exec(&["a", "b c"]))),
        ("CMD a \"b c\" $X", Kind::Cmd(shell("a \"b c\" $X"))),
        ("CMD []", Kind::Cmd(exec(&[]))),
        // Nearly JSON is the shell form, as in docker.
        ("CMD ['a', 'b']", Kind::Cmd(shell("['a', 'b']"))),
        (r#"ENTRYPOINT ["a"]"#, Kind::Entrypoint(exec(&["a"]))),
        (r#"SHELL ["/bin/bash", "-c"]"#, Kind::Shell(strings(&["/bin/bash", "-c"]))),
        ("STOPSIGNAL SIGQUIT", Kind::StopSignal("SIGQUIT".into())),
        ("USER app:$GROUP", Kind::User("app:$GROUP".into())),
        ("WORKDIR /a b", Kind::Workdir("/a b".into())),
        ("MAINTAINER A B <a@b>", Kind::Maintainer("A B <a@b>".into())),
        ("EXPOSE 80 443/tcp $P", Kind::Expose(strings(&["80", "443/tcp", "$P"]))),
        (r#"VOLUME ["/a", "/b"]"#, Kind::Volume(strings(&["/a", "/b"]))),
        ("VOLUME /a /b", Kind::Volume(strings(&["/a", "/b"]))),
        ("HEALTHCHECK NONE", Kind::Healthcheck(Health::None)),
    ] {
        assert_eq!(kind(text), expected, "{text}");
    }
}

#[test]
fn variables_and_labels_have_two_forms() {
    let pairs = |pairs: &[(&str, &str)]| pairs.iter().map(|&(k, v)| (k.to_owned(), v.to_owned())).collect::<Vec<_>>();
    for (text, expected) in [
        ("A=1 B=\"x y\" C=x\\ y", pairs(&[("A", "1"), ("B", "\"x y\""), ("C", "x\\ y")])),
        ("A b = c", pairs(&[("A", "b = c")])),
        ("A=", pairs(&[("A", "")])),
        ("\"a.b\"=c", pairs(&[("\"a.b\"", "c")])),
    ] {
        assert_eq!(kind(&format!("ENV {text}")), Kind::Env(expected.clone()), "{text}");
        assert_eq!(kind(&format!("LABEL {text}")), Kind::Label(expected), "{text}");
    }
    let arg = |name: &str, default: Option<&str>| Arg { name: name.into(), default: default.map(str::to_owned) };
    assert_eq!(kind("ARG A B=c D="), Kind::Arg(vec![arg("A", None), arg("B", Some("c")), arg("D", Some(""))]));
}

#[test]
fn copy_and_add_have_flags_sources_and_a_target() {
    let Kind::Copy(copy) = kind("COPY --from=build --chown=1:2 --chmod=755 --link --exclude=*.md --exclude=x a b /c/")
    else {
        panic!("no COPY");
    };
    let flags = CopyFlags {
        from: Some("build".into()),
        chown: Some("1:2".into()),
        chmod: Some("755".into()),
        link: true,
        exclude: strings(&["*.md", "x"]),
        ..CopyFlags::default()
    };
    assert_eq!(copy.flags, flags);
    assert_eq!((copy.sources.paths, copy.sources.target), (strings(&["a", "b"]), "/c/".to_owned()));
    let Kind::Add(add) = kind(r#"ADD --unpack=false ["a b", "/c d"]"#) else { panic!("no ADD") };
    assert_eq!(add.flags.unpack, Some(false));
    assert_eq!((add.sources.paths, add.sources.target), (strings(&["a b"]), "/c d".to_owned()));
    let Kind::Run(run) = kind("RUN --network=none -- --x") else { panic!("no RUN") };
    assert_eq!((run.network.as_deref(), run.command), (Some("none"), shell("--x")));
}

#[test]
fn here_documents_follow_their_instruction() {
    let Kind::Run(run) = kind("RUN <<EOF\na $x\n  b\nEOF\n") else { panic!("no RUN") };
    let document = |name: &str, expands, strips_tabs, content: &str| HereDocument {
        name: name.into(),
        expands,
        strips_tabs,
        content: content.into(),
    };
    assert_eq!(run.documents, [document("EOF", true, false, "a $x\n  b\n")]);
    let Kind::Copy(copy) = kind("COPY <<-\"a.txt\" <<b /d/\n\tone\n\t\ta.txt\n# no comment \\\nb\n") else {
        panic!("no COPY");
    };
    let expected = [document("a.txt", false, true, "one\n"), document("b", true, false, "# no comment \\\n")];
    assert_eq!(copy.sources.documents, expected);
    assert!(copy.sources.paths.is_empty());
    let both = kinds("RUN python3 - <<'END' && echo \"<<NO\"\nprint(1)\nEND\nUSER x").unwrap();
    assert_eq!(both.len(), 2);
    assert!(kinds("CMD cat <<EOF\nUSER x").is_ok(), "CMD has none");
    assert!(kinds("RUN <<EOF\nx").unwrap_err().contains("a line \"EOF\" that ends the here-document"));
}

#[test]
fn a_run_mounts() {
    let mounts = |text: &str| match kind(&format!("RUN {text} x")) {
        Kind::Run(run) => run.mounts,
        other => panic!("{other:?}"),
    };
    let all = mounts(
        "--mount=type=cache,target=/c,sharing=locked,id=x,mode=0700 --mount=type=secret,id=s,env=S,required \
         --mount=type=tmpfs,dst=/t,size=64m --mount=target=/b,from=build,source=out,rw",
    );
    assert_eq!(
        all.iter().map(|mount| mount.kind).collect::<Vec<_>>(),
        [MountKind::Cache, MountKind::Secret, MountKind::Tmpfs, MountKind::Bind]
    );
    assert_eq!((all[0].sharing, all[0].mode, all[0].read_only), (Sharing::Locked, Some(0o700), false));
    assert_eq!((all[1].required, all[1].env.as_deref()), (true, Some("S")));
    assert_eq!(all[2].size, Some(64 << 20));
    assert_eq!((all[3].from.as_deref(), all[3].read_only), (Some("build"), false));
    for bad in [
        "type=x,target=/a",
        "type=cache",
        "target=/a,x=y",
        "target=",
        "type=secret",
        "target=/a,rw=maybe",
        "target=/a,,",
    ] {
        assert!(kinds(&format!("RUN --mount={bad} x")).is_err(), "{bad}");
    }
}

#[test]
fn a_health_check_has_times() {
    let text = "HEALTHCHECK --interval=1m30s --timeout=500ms --retries=3 CMD curl localhost";
    let Kind::Healthcheck(Health::Check { command, interval, timeout, retries, start_period, .. }) = kind(text) else {
        panic!("no check");
    };
    assert_eq!(command, shell("curl localhost"));
    assert_eq!(interval.map(|time| time.as_secs()), Some(90));
    assert_eq!((timeout.map(|time| time.as_millis()), retries, start_period), (Some(500), Some(3), None));
}

#[test]
fn errors_name_file_line_and_what_was_expected() {
    for (text, expected) in [
        ("", "Dockerfile:1: expected a FROM instruction: the file has none"),
        ("RUN a", "Dockerfile:1: expected FROM: only ARG can come before the first FROM: RUN a"),
        ("FROM a\n\n\nRUM b", "Dockerfile:4: expected RUN instead of \"RUM\": RUM b"),
        ("FROM a\nXYZZY b", "Dockerfile:2: expected an instruction instead of \"XYZZY\": XYZZY b"),
        ("FROM a b", "Dockerfile:1: expected FROM IMAGE, or FROM IMAGE AS NAME: FROM a b"),
        (
            "FROM a AS x\nFROM b AS X",
            "Dockerfile:2: expected another name: there is a stage \"x\" already: FROM b AS X",
        ),
        (
            "FROM a AS 1x",
            "Dockerfile:1: expected the name of a stage instead of \"1x\": a letter, then letters, digits, - _ and .: FROM a AS 1x",
        ),
        ("FROM a\nRUN", "Dockerfile:2: expected arguments after RUN: RUN"),
        ("FROM a\nCOPY x", "Dockerfile:2: expected SOURCE… TARGET: COPY x"),
        ("FROM a\nCOPY x y z", "Dockerfile:2: expected z/ with a slash: several sources need a directory: COPY x y z"),
        (
            "FROM a\nCOPY --form=b x y",
            "Dockerfile:2: expected --from, --chown, --chmod, --link, --exclude instead of --form: COPY --form=b x y",
        ),
        (
            "FROM a\nCOPY --parents x y",
            "Dockerfile:2: expected an instruction without --parents: it is not supported: COPY --parents x y",
        ),
        ("FROM a\nENV A", "Dockerfile:2: expected KEY=VALUE instead of \"A\": ENV A"),
        (
            "FROM a\nENV A=1 B",
            "Dockerfile:2: expected KEY=VALUE instead of \"B\"; quotes hold a value with spaces together: ENV A=1 B",
        ),
        ("FROM a\nENV A=\"1", "Dockerfile:2: expected a \" that ends the quoted text: ENV A=\"1"),
        ("FROM a\nENV =b", "Dockerfile:2: expected a name before the = of \"=b\": ENV =b"),
        (
            "FROM a\nSHELL bash -c",
            "Dockerfile:2: expected a list in JSON: SHELL [\"PROGRAM\", \"ARGUMENT\"]: SHELL bash -c",
        ),
        ("FROM a\nUSER a b", "Dockerfile:2: expected one USER[:GROUP]: USER a b"),
        (
            "FROM a\nONBUILD FROM b",
            "Dockerfile:2: expected another instruction than FROM after ONBUILD: ONBUILD FROM b",
        ),
        (
            "FROM a\nHEALTHCHECK --interval=5 CMD x",
            "Dockerfile:2: expected a time such as 30s or 1m30s after --interval=: HEALTHCHECK --interval=5 CMD x",
        ),
        (
            "FROM a\nHEALTHCHECK x",
            "Dockerfile:2: expected HEALTHCHECK [FLAGS] CMD COMMAND, or HEALTHCHECK NONE: HEALTHCHECK x",
        ),
    ] {
        assert_eq!(parse(text).unwrap_err(), expected, "{text:?}");
    }
    let error = Dockerfile::parse("D", b"FROM a\nRUN \xff").unwrap_err();
    assert_eq!(error.to_string(), "D:2: expected text in UTF-8");
}

fn value(name: &str) -> Option<String> {
    match name {
        "x" => Some("foo.tar.gz".into()),
        "empty" => Some(String::new()),
        "two" => Some("a b".into()),
        _ => None,
    }
}

#[test]
fn words_are_expanded() {
    for (word, expected) in [
        ("a$x", "afoo.tar.gz"),
        ("a${x}b", "afoo.tar.gzb"),
        ("\"$x\" ", "foo.tar.gz "),
        ("'$x'", "$x"),
        ("\\$x", "$x"),
        ("\"\\$x\\a\"", "$x\\a"),
        ("\\a", "a"),
        ("$", "$"),
        ("$1a", "a"),
        ("${none:-d}", "d"),
        ("${none:-$x}", "foo.tar.gz"),
        ("${none:-${also:-e}}", "e"),
        ("${none:-\"}\"}", "}"),
        ("${empty:-d}", "d"),
        ("${empty-d}", ""),
        ("${x:+y}", "y"),
        ("${none:+y}", ""),
        ("${empty+y}", "y"),
        ("${x#*.}", "tar.gz"),
        ("${x##*.}", "gz"),
        ("${x%.*}", "foo.tar"),
        ("${x%%.*}", "foo"),
        ("${x%?z}", "foo.tar."),
        ("${x/./-}", "foo-tar.gz"),
        ("${x//./-}", "foo-tar-gz"),
        ("${x/o*r/}", "f.gz"),
        ("${x:?}", "foo.tar.gz"),
    ] {
        assert_eq!(expand(word, '\\', &value).as_deref(), Ok(expected), "{word}");
    }
    assert_eq!(expand("a`$x`b", '`', &value).as_deref(), Ok("a$xb"));
    for (word, error) in [
        ("${x", "expected '}' to end it"),
        ("'x", "expected '\\'' to end it"),
        ("${}", "expected a variable in ${…} instead of \"\""),
        ("${x^}", "expected a variable in ${…} instead of \"x^\""),
        ("${none:?say it}", "none: say it"),
        ("${none?}", "none: not set"),
    ] {
        assert_eq!(expand(word, '\\', &value).map_err(|e| e.to_string()), Err(error.to_owned()), "{word}");
    }
}

#[test]
fn variables_bring_words_where_words_are_listed() {
    let words = |word: &str| expand_words(word, '\\', &value).unwrap();
    assert_eq!(words("$two"), ["a", "b"]);
    assert_eq!(words("\"$two\""), ["a b"]);
    assert_eq!(words("x${two}y"), ["xa", "by"]);
    assert!(words("$none").is_empty());
    assert_eq!(expand_text("a \"$x\" '$x' \\$x \\n", '\\', &value).unwrap(), "a \"foo.tar.gz\" 'foo.tar.gz' $x \\n");
}

#[test]
fn no_text_makes_the_parser_panic() {
    // Every prefix of a file that uses everything, and the same with each byte replaced.
    let whole = "# escape=\\\nARG a=${b:-\"c\"}\nFROM $a AS x\nRUN --mount=type=cache,target=/a <<EOF\n${x\nEOF\n\
                 COPY --from=x [\"a\", \"b/\"]\nENV a=\"b\\\"c\" d='e'\nONBUILD RUN \\\n# c\n d\nHEALTHCHECK --retries=1 CMD x\n";
    for end in 0..=whole.len() {
        drop(parse(&whole[..end]));
        for replacement in ["\\", "\"", "'", "$", "{", "}", "\n", "<", "=", "[", "é"] {
            let text = format!("{}{replacement}{}", &whole[..end], whole.get(end + 1..).unwrap_or_default());
            if let Ok(file) = parse(&text) {
                for instruction in file.stages.iter().flat_map(|stage| &stage.instructions) {
                    drop(expand(&instruction.text, file.escape, &value));
                    drop(expand_text(&instruction.text, file.escape, &value));
                }
            }
        }
    }
}
