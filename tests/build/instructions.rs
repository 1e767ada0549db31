//! What each instruction does.

use serde_json::{Value, json};

use crate::site::{root, sites};

#[test]
fn the_configuration_is_what_the_instructions_say() {
    let Some(site) = root() else { return };
    site.build(
        "ARG TAG=latest\nFROM tiny:$TAG\nLABEL a=b \"c d\"='e f'\nENV X=1 Y=\"$COLOR x\"\nENV Z=${X:-2}\nEXPOSE 80 90-91/udp\n\
         VOLUME /data\nUSER app\nWORKDIR /srv/sub\nSTOPSIGNAL SIGINT\nSHELL [\"/bin/sh\", \"-ec\"]\n\
         ENTRYPOINT [\"/bin/echo\"]\nCMD [\"a\", \"b\"]\nHEALTHCHECK --interval=5s --retries=2 CMD test -e /x\n\
         ONBUILD RUN echo later\nMAINTAINER me\n",
        &["--label", "from=outside"],
    );
    let facts = site.inspect();
    let config = &facts["Config"];
    for (key, expected) in [
        ("Labels", json!({ "a": "b", "c d": "e f", "from": "outside" })),
        ("Env", json!(["PATH=/bin", "COLOR=green", "X=1", "Y=green x", "Z=1"])),
        ("ExposedPorts", json!({ "80/tcp": {}, "90/udp": {}, "91/udp": {} })),
        ("Volumes", json!({ "/data": {} })),
        ("User", json!("app")),
        ("WorkingDir", json!("/srv/sub")),
        ("StopSignal", json!("SIGINT")),
        ("Entrypoint", json!(["/bin/echo"])),
        ("Cmd", json!(["a", "b"])),
    ] {
        assert_eq!(config[key], expected, "{key}");
    }
    // What the image keeps, also where `inspect` has no field for it.
    let id = site.id();
    let blob = site.host.path("store/blobs/sha256").join(id.strip_prefix("sha256:").unwrap());
    let document: Value = serde_json::from_slice(&std::fs::read(blob).unwrap()).unwrap();
    let health = json!({ "Test": ["CMD-SHELL", "test -e /x"], "Interval": 5_000_000_000_u64, "Retries": 2 });
    assert_eq!(document["config"]["Healthcheck"], health);
    assert_eq!(document["config"]["OnBuild"], json!(["RUN echo later"]));
    assert_eq!(document["config"]["Shell"], json!(["/bin/sh", "-ec"]));
    assert_eq!(document["author"], json!("me"));
    let history = document["history"].as_array().unwrap();
    let with_layer = history.iter().filter(|entry| entry["empty_layer"] != json!(true)).count();
    // The base image has one layer and no history.
    assert_eq!(with_layer + 1, facts["RootFS"]["Layers"].as_array().unwrap().len());
}

#[test]
fn an_entrypoint_drops_the_base_images_command_unless_one_is_set() {
    let Some(site) = root() else { return };
    for (text, entrypoint, cmd) in [
        ("", json!(["/bin/sh"]), json!(["-c", "echo the image speaks"])),
        ("ENTRYPOINT [\"/bin/cat\"]", json!(["/bin/cat"]), Value::Null),
        ("CMD x\nENTRYPOINT [\"/bin/cat\"]", json!(["/bin/cat"]), json!(["/bin/sh", "-c", "x"])),
        ("ENTRYPOINT []\nCMD [\"y\"]", Value::Null, json!(["y"])),
    ] {
        site.build(&format!("FROM tiny\n{text}\n"), &[]);
        let config = &site.inspect()["Config"];
        assert_eq!((&config["Entrypoint"], &config["Cmd"]), (&entrypoint, &cmd), "{text}");
    }
}

#[test]
fn commands_run_in_the_image_so_far_and_their_changes_are_the_layer() {
    for site in sites() {
        let file = "FROM tiny\nARG WORD\nENV A=1\nWORKDIR /job\nRUN echo \"$WORD $A $PWD\" > out && mkdir d && echo x > d/f\n\
                    RUN rm d/f\nRUN [\"/bin/sh\", \"-c\", \"echo exec >> out\"]\n\
                    RUN <<EOF\nset -e\necho script >> out\nEOF\nRUN cat >> out <<END\ntext \\$A\nEND\n";
        site.build(file, &["--build-arg", "WORD=hello"]);
        assert_eq!(
            site.prints("cat /job/out; ls /job"),
            "hello 1 /job\nexec\nscript\ntext $A\nd\nout",
            "{}",
            site.host
        );
        assert_eq!(site.prints("echo $WORD."), ".", "{}: an ARG is no variable of the image", site.host);
    }
}

#[test]
fn files_are_copied_as_docker_copies_them() {
    for site in sites() {
        for (name, content) in
            [("a.txt", "a"), ("b.txt", "b"), ("dir/x", "x"), ("dir/sub/y", "y"), ("dir/skip.md", "m")]
        {
            site.write(name, content);
        }
        site.host.shell("chmod 750 context/a.txt; ln -s a.txt context/link; ln -s x context/dir/inner");
        site.build(
            "FROM tiny\nWORKDIR /w\nCOPY a.txt one\nCOPY a.txt b.txt many/\nCOPY *.txt globbed/\nCOPY --exclude=*.md dir tree\n\
             COPY dir/ merged/\nCOPY b.txt merged/sub/\nCOPY --chmod=600 a.txt mode\nCOPY link followed\n\
             COPY <<one.conf <<two.conf here/\n1 $COLOR\none.conf\n2\ntwo.conf\nCOPY <<\"EOF\" here/three\n$COLOR\nEOF\n",
            &[],
        );
        for (script, expected) in [
            ("cat one many/a.txt many/b.txt", "aab"),
            ("ls globbed", "a.txt\nb.txt"),
            ("cd tree && ls; readlink inner; cat sub/y", "inner\nsub\nx\nx\ny"),
            ("ls merged merged/sub", "merged:\ninner\nskip.md\nsub\nx\n\nmerged/sub:\nb.txt\ny"),
            ("stat -c %a one mode followed; readlink followed; cat followed", "750\n600\n750\na"),
            ("cat here/one.conf here/two.conf here/three", "1 green\n2\n$COLOR"),
            ("stat -c %u:%g one tree/x", "0:0\n0:0"),
        ] {
            assert_eq!(site.prints(&format!("cd /w; {script} || true")), expected, "{}: {script}", site.host);
        }
    }
}

#[test]
fn owners_come_from_the_image() {
    for site in sites().into_iter().filter(|site| site.host.has_users()) {
        site.write("f", "f");
        site.build("FROM tiny\nCOPY --chown=app f /1\nCOPY --chown=app:video f /2\nCOPY --chown=7:8 f /3\nCOPY --chown=7 f /d/4\n", &[]);
        assert_eq!(site.prints("stat -c %u:%g /1 /2 /3 /d /d/4"), "1000:1000\n1000:44\n7:8\n7:7\n7:7", "{}", site.host);
    }
}

#[test]
fn archives_of_the_context_are_unpacked_by_add_alone() {
    for site in sites() {
        site.host.shell("mkdir -p t/d; echo in > t/d/f; tar czf context/a.tar.gz -C t d; tar cf context/a.tar -C t d");
        site.build("FROM tiny\nADD a.tar.gz /z/\nADD a.tar /p\nCOPY a.tar /c/\nADD --unpack=false a.tar /u/\n", &[]);
        assert_eq!(site.prints("cat /z/d/f /p/d/f; ls /c /u"), "in\nin\n/c:\na.tar\n\n/u:\na.tar", "{}", site.host);
    }
}

#[test]
fn what_a_step_mounts_is_in_no_layer() {
    for site in sites() {
        site.write("f", "from the context");
        site.write("secret.txt", "xyzzyq");
        let file = "FROM tiny\nRUN --mount=type=bind,target=/ctx,rw --mount=type=secret,id=s --mount=type=tmpfs,target=/tmp/t,size=64k \
                    --mount=type=cache,target=/cache \
                    cat /ctx/f && echo changed > /ctx/f && cat /run/secrets/s && echo t > /tmp/t/x && echo c >> /cache/count\n\
                    RUN --mount=type=cache,target=/cache cat /cache/count > /count\n\
                    RUN --mount=type=secret,id=s,env=S echo ${#S} > /length\n";
        let said = site.build(file, &["--secret", "id=s,src=context/secret.txt", "--no-cache"]);
        assert!(said.contains("from the context") && said.contains("xyzzyq"), "{said}");
        assert_eq!(
            site.prints("ls -d /ctx /cache /run/secrets /tmp/t 2>&1 | grep -c 'No such'; cat /count /length"),
            "4\nc\n6",
            "{}",
            site.host
        );
        assert_eq!(std::fs::read_to_string(site.context().join("f")).unwrap(), "from the context");
        let found = site.host.shell("grep -rlF xyzzyq store/blobs store/layers || true");
        assert_eq!(found, "", "{}", site.host);
    }
}

#[test]
fn a_trigger_runs_in_the_next_build() {
    let Some(site) = root() else { return };
    site.write("f", "f");
    site.build("FROM tiny\nONBUILD COPY f /from-trigger\nONBUILD ENV T=1\n", &[]);
    let output = site.host.overfuse().args(["build", "-t", "base", "context"]).output().unwrap();
    assert!(output.status.success());
    site.build("FROM base\nRUN test $T = 1\n", &[]);
    assert_eq!(site.prints("cat /from-trigger"), "f");
    site.build("FROM made\n", &[]);
    assert_eq!(site.prints("echo $T"), "1", "a trigger runs once");
}
