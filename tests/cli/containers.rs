//! `ps`, `inspect` of containers, and `container prune`.

use serde_json::{Value, json};

use crate::desk::Desk;

/// Writes what a run of the container recorded.
fn ran(container: &overfuse::store::Container, state: &Value) {
    container.write_document("state.json", state).unwrap();
}

/// Four containers: created, exited with 0, exited with 137, mounted.
fn desk() -> (Desk, overfuse::store::InUse) {
    let desk = Desk::new();
    desk.container("app:v2", "created", &["-l", "team=core", "-l", "tier=back"]);
    let exited = desk.container("app:v1", "exited", &["-l", "team=web", "--network", "none"]);
    ran(&exited, &json!({"status": "exited", "exit_code": 0, "finished": "2024-01-01T00:00:00Z"}));
    let killed = desk.container("other:v1", "killed", &["-v", "/srv:/data:ro"]);
    ran(&killed, &json!({"status": "running", "started": "2024-01-01T00:00:00Z"}));
    let mounted = desk.container("app:v1", "mounted", &[]);
    let in_use = mounted.lock().unwrap();
    (desk, in_use)
}

#[test]
fn ps_takes_dockers_filters() {
    let (desk, _in_use) = desk();
    let store = desk.store();
    let id = store.container("killed").unwrap().id;
    for (filters, expected) in [
        (&[][..], "created exited killed mounted"),
        (&["name=ed$"], "created exited killed mounted"),
        (&["name=^e"], "exited"),
        (&["name=^e", "name=kill"], "exited killed"),
        (&["label=team"], "created exited"),
        (&["label=team=core"], "created"),
        (&["label=team", "label=tier"], "created"),
        (&["status=created"], "created"),
        (&["status=exited"], "exited killed"),
        (&["status=exited", "status=created"], "created exited killed"),
        (&["exited=137"], "killed"),
        (&["exited=0"], "exited"),
        (&["ancestor=other:v1"], "killed"),
        (&["ancestor=app:v1"], "created exited killed mounted"),
        (&["ancestor=nothing"], ""),
        (&["before=exited"], "created"),
        (&["since=exited"], "killed mounted"),
        (&["until=2000-01-01"], ""),
        (&["volume=/data"], "killed"),
        (&["volume=/srv"], "killed"),
        (&["network=none"], "exited"),
        (&["network=host", "name=d$"], "created killed mounted"),
        (&["health=none", "name=^c"], "created"),
        (&[&format!("id={}", &id[..12])], "killed"),
    ] {
        let mut args = vec!["ps", "-a", "--format", "{{.Names}}"];
        filters.iter().for_each(|filter| args.extend(["--filter", filter]));
        assert_eq!(desk.names(&args), expected.split_whitespace().collect::<Vec<_>>(), "{filters:?}");
    }
    for (filter, code, said) in [
        ("name", 125, "--filter cannot be \"name\": a filter is KEY=VALUE (see 'overfuse ps --help')"),
        ("nmae=x", 1, "there is no filter \"nmae\" here: there are id, name, "),
        ("status=up", 1, "filter status=up: expected created, running, paused, restarting, exited, mounted"),
        ("exited=x", 1, "filter exited=x: expected an exit code"),
        ("before=nobody", 1, "there is no container \"nobody\""),
        ("name=(", 1, "filter name=(: "),
        ("until=soon", 1, "filter until: \"soon\" is not a time: expected "),
    ] {
        let refused = desk.refuses(&["ps", "--filter", filter]);
        assert!(refused.0 == code && refused.1.starts_with(said), "{filter}: {refused:?}");
    }
}

#[test]
fn ps_shows_what_is_in_use_and_with_flags_more() {
    let (desk, _in_use) = desk();
    for (args, expected) in [
        ("ps", "mounted"),
        ("container ls", "mounted"),
        ("ps -a", "mounted killed exited created"),
        ("ps -l", "mounted"),
        ("ps -n 2", "mounted killed"),
        ("ps -n 0", ""),
        ("ps -f status=exited", "killed exited"),
        ("ps -f exited=137", "killed"),
    ] {
        let shown = desk.prints(&format!("{args} --format {{{{.Names}}}}"));
        assert_eq!(
            shown.split_whitespace().collect::<Vec<_>>(),
            expected.split_whitespace().collect::<Vec<_>>(),
            "{args}"
        );
    }
    let table = desk.prints("ps -a");
    let rows: Vec<&str> = table.lines().collect();
    for (at, title) in [(0, "CONTAINER ID"), (15, "IMAGE")] {
        assert!(rows[0][at..].starts_with(title), "{table}");
    }
    assert!(rows[0].contains("COMMAND") && rows[0].contains("PORTS") && rows[0].ends_with("NAMES"), "{table}");
    assert!(rows[2].contains("\"sleep 9\"") && rows[2].contains("Exited (137)"), "{table}");
    assert!(rows[3].contains("Exited (0) ") && rows[3].contains(" years ago"), "{table}");
    assert_eq!(desk.prints("ps -aq").lines().map(str::len).collect::<Vec<_>>(), [12; 4]);
    assert_eq!(desk.prints("ps -aq --no-trunc").lines().map(str::len).collect::<Vec<_>>(), [64; 4]);
    let row: Value = serde_json::from_str(desk.prints("ps -l --format json").trim()).unwrap();
    for field in [
        "Command",
        "CreatedAt",
        "ID",
        "Image",
        "Labels",
        "LocalVolumes",
        "Mounts",
        "Names",
        "Networks",
        "Ports",
        "RunningFor",
        "Size",
        "State",
        "Status",
    ] {
        assert!(row[field].is_string(), "{field}: {row}");
    }
    let args =
        ["ps", "-a", "--filter", "label=team", "--format", "table {{.Names}}\\t{{.Label \"team\"}}\\t{{.Labels}}"];
    assert_eq!(
        desk.prints_args(&args),
        "NAMES     TEAM   LABELS\nexited    web    team=web\ncreated   core   team=core,tier=back\n"
    );
    let args = ["ps", "--format", "{{.Name}}"];
    assert_eq!(desk.refuses(&args), (1, "template, column 3: . has no field Name: did you mean .Names?".into()));
}

/// The image of two names was shown by the alphabetically first one.
#[test]
fn a_container_names_its_image_as_it_was_asked_for() {
    let (desk, _in_use) = desk();
    let image =
        |name: &str| desk.prints(&format!("ps -a --filter name=^{name} --format {{{{.Image}}}}")).trim().to_owned();
    assert_eq!(
        (image("created"), image("exited"), image("mounted")),
        ("app:v2".into(), "app:v1".into(), "app:v1".into())
    );
    let facts = desk.json("inspect created");
    assert_eq!((&facts[0]["Config"]["Image"], &facts[0]["Name"]), (&json!("app:v2"), &json!("/created")));
    // The name moves to another image.
    let id = desk.prints("image inspect -f {{.Id}} app:v1");
    desk.prints("rmi app:v2");
    assert_eq!(image("created"), id.trim()[7..19]);
    assert_eq!(desk.json("inspect created")[0]["Config"]["Image"], "app:v2");
}

#[test]
fn ps_measures_files_as_docker_does() {
    let desk = Desk::new();
    let container = desk.container("app:v1", "web", &[]);
    let size = || desk.prints("ps -a -s --format {{.Size}}");
    assert_eq!(size(), "0B (virtual 6B)\n");
    let upper = container.upper();
    std::fs::create_dir(upper.join("dir")).unwrap();
    std::fs::write(upper.join("dir/file"), "hello").unwrap();
    std::fs::hard_link(upper.join("dir/file"), upper.join("same")).unwrap();
    // A copy of attributes alone is as long as the whole file, and has no data.
    std::fs::File::create(upper.join("sparse")).unwrap().set_len(1 << 30).unwrap();
    assert_eq!(size(), "5B (virtual 11B)\n");
    let facts = desk.json("inspect -s web");
    assert_eq!((&facts[0]["SizeRw"], &facts[0]["SizeRootFs"]), (&json!(5), &json!(11)));
    assert!(desk.json("inspect web")[0].get("SizeRw").is_none());
}

#[test]
fn inspect_has_dockers_fields_of_a_container() {
    let (desk, _in_use) = desk();
    let all = desk.json("container inspect killed exited created mounted");
    let killed = &all[0];
    for (field, expected) in [
        ("/Path", json!("sleep")),
        ("/Args", json!(["9"])),
        ("/State/Status", json!("exited")),
        ("/State/Running", json!(false)),
        ("/State/Paused", json!(false)),
        ("/State/Restarting", json!(false)),
        ("/State/OOMKilled", json!(false)),
        ("/State/Dead", json!(false)),
        ("/State/Pid", json!(0)),
        ("/State/ExitCode", json!(137)),
        ("/State/Error", json!("")),
        ("/State/StartedAt", json!("2024-01-01T00:00:00Z")),
        ("/State/FinishedAt", json!("0001-01-01T00:00:00Z")),
        ("/Config/Env", json!(["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "A=1"])),
        ("/Config/Cmd", json!(["sleep", "9"])),
        ("/Config/Tty", json!(false)),
        ("/Config/Labels", json!({})),
        ("/HostConfig/Binds", json!(["/srv:/data:ro"])),
        ("/HostConfig/NetworkMode", json!("host")),
        ("/HostConfig/AutoRemove", json!(false)),
        ("/HostConfig/RestartPolicy", json!({"Name": "no", "MaximumRetryCount": 0})),
        ("/HostConfig/LogConfig", json!({"Type": "json-file", "Config": {}})),
        ("/Mounts/0/Type", json!("bind")),
        ("/Mounts/0/Source", json!("/srv")),
        ("/Mounts/0/Destination", json!("/data")),
        ("/Mounts/0/RW", json!(false)),
        ("/RestartCount", json!(0)),
        ("/GraphDriver/Name", json!("overfuse")),
    ] {
        assert_eq!(killed.pointer(field), Some(&expected), "{field}: {killed:#}");
    }
    assert_eq!(all[2]["Config"]["Labels"], json!({"team": "core", "tier": "back"}));
    assert_eq!(all[1]["State"]["FinishedAt"], "2024-01-01T00:00:00Z");
    assert_eq!(all[3]["State"]["Status"], "mounted");
    let printed = desk.prints("inspect killed");
    assert!(printed.starts_with("[\n    {\n        \"Id\": \"") && printed.ends_with("\n    }\n]\n"), "{printed}");
}

#[test]
fn inspect_takes_templates_and_types() {
    let (desk, _in_use) = desk();
    for (args, expected) in [
        (&["inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", "killed", "exited"][..], "exited 137\nexited 0\n"),
        (&["inspect", "--format", "{{json .State.ExitCode}}", "killed"], "137\n"),
        (&["inspect", "-f", "{{range .Mounts}}{{.Source}} -> {{.Destination}}{{end}}", "killed"], "/srv -> /data\n"),
        (&["inspect", "-f", "{{index .Config.Labels \"tier\"}}", "created"], "back\n"),
        (&["inspect", "-f", "{{join .Config.Cmd \" \"}}", "app:v1"], "sh\n"),
        (&["inspect", "-f", "{{len .RootFS.Layers}}", "--type", "image", "other:v1"], "3\n"),
    ] {
        assert_eq!(desk.prints_args(args), expected);
    }
    assert!(desk.prints("inspect -f json exited").starts_with("[{\"Args\":"));
    for (args, said) in [
        (&["inspect", "--type", "image", "killed"][..], "there is no image \"killed\""),
        (&["inspect", "--type", "container", "app:v1"], "there is no container \"app:v1\""),
        (&["container", "inspect", "app:v1"], "there is no container \"app:v1\""),
        (&["image", "inspect", "killed"], "there is no image \"killed\""),
        (
            &["inspect", "-f", "{{.State.Pidd}}", "killed"],
            "template, column 3: .State has no field Pidd: did you mean .Pid?",
        ),
        (&["inspect", "-f", "{{", "killed"], "template, column 1: this {{ has no }}"),
    ] {
        assert_eq!(desk.refuses(args), (1, said.into()));
    }
    let output = desk.run("inspect nobody");
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(1), &b"[]\n"[..]));
}

#[test]
fn prune_removes_stopped_containers_that_fit() {
    let (desk, _in_use) = desk();
    let left = || desk.names(&["ps", "-a", "--format", "{{.Names}}"]);
    // The answer is no: standard input is empty.
    assert!(desk.prints("container prune").contains("WARNING! This will remove all stopped containers."));
    assert_eq!(left().len(), 4);
    assert_eq!(desk.prints("container prune -f --filter until=24h"), "Total reclaimed space: 0B\n");
    let id = desk.store().container("created").unwrap().id;
    assert_eq!(
        desk.prints("container prune --force --filter label=tier"),
        format!("Deleted Containers:\n{id}\n\nTotal reclaimed space: 0B\n")
    );
    desk.prints("container prune -f --filter label!=team=web");
    assert_eq!(left(), ["exited", "mounted"]);
    desk.prints("container prune -f");
    assert_eq!(left(), ["mounted"], "one that is in use stays");
    assert_eq!(desk.refuses(&["container", "prune", "-f", "--filter", "name=x"]).0, 1);
}
