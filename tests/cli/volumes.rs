//! `overfuse volume`: making, listing, inspecting and removing volumes.

use std::fs;

use overfuse::store::{NewContainer, NewVolume, Store};
use serde_json::json;

use crate::desk::Desk;

/// A desk with a container `web` that uses `data` and the anonymous volume `hidden`; `free` and an anonymous one are
/// dangling. Returns the name of the last.
fn desk() -> (Desk, String) {
    let desk = Desk::new();
    let store = Store::open(&desk.root()).unwrap();
    let named = |name: &str| NewVolume { name: Some(name.into()), ..NewVolume::default() };
    let volumes = [named("data"), NewVolume { anonymous: true, ..named("hidden") }];
    let new = NewContainer { name: Some("web"), volumes: &volumes, ..NewContainer::default() };
    store.create_container_with(&store.image("app:v1").unwrap(), new).unwrap();
    assert_eq!(desk.prints("volume create --label tier=db --label kept free"), "free\n");
    let anonymous = desk.prints("volume create").trim_end().to_owned();
    assert_eq!(anonymous.len(), 64);
    (desk, anonymous)
}

#[test]
fn volumes_are_listed_as_docker_lists_them() {
    let (desk, anonymous) = desk();
    let table = desk.prints("volume ls");
    let words: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(words[0], ["DRIVER", "VOLUME", "NAME"]);
    assert_eq!(words.iter().filter(|line| line == &&["local", "free"]).count(), 1);
    for (filter, names) in [
        ("dangling=true", &[anonymous.as_str(), "free"][..]),
        ("dangling=0", &["data", "hidden"]),
        ("name=^fr", &["free"]),
        ("name=d", &["data", "hidden"]),
        ("label=tier", &["free"]),
        ("label=tier=web", &[]),
        ("label=com.docker.volume.anonymous", &[anonymous.as_str(), "hidden"]),
        ("driver=local", &[anonymous.as_str(), "data", "free", "hidden"]),
        ("driver=nfs", &[]),
    ] {
        let mut expected: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        expected.sort();
        let mut found = desk.names(&["volume", "ls", "-q", "--filter", filter]);
        // A generated name may have a `d` in it.
        found.retain(|name| filter != "name=d" || *name != anonymous);
        assert_eq!(found, expected, "{filter}");
    }
    let mountpoint = desk.root().canonicalize().unwrap().join("volumes/free/data").display().to_string();
    let lines = desk.prints_args(&[
        "volume",
        "list",
        "--filter",
        "name=free",
        "--format",
        "{{.Name}} {{.Mountpoint}} {{.Labels}}",
    ]);
    assert_eq!(lines, format!("free {mountpoint} kept=,tier=db\n"));
    let row = desk.json("volume ls --filter name=free --format json");
    assert_eq!((&row["Name"], &row["Driver"], &row["Scope"]), (&json!("free"), &json!("local"), &json!("local")));
}

#[test]
fn a_volume_is_inspected_alone_and_among_the_rest() {
    let (desk, anonymous) = desk();
    let mountpoint = desk.root().canonicalize().unwrap().join("volumes/free/data").display().to_string();
    for args in ["volume inspect free", "inspect free", "inspect --type volume free"] {
        let facts = desk.json(args);
        let created = facts[0]["CreatedAt"].clone();
        let expected = json!([{
            "CreatedAt": created, "Driver": "local", "Labels": { "kept": "", "tier": "db" }, "Mountpoint": mountpoint,
            "Name": "free", "Options": {}, "Scope": "local",
        }]);
        assert_eq!(facts, expected, "{args}");
    }
    let format = "{{.Name}} {{json .Labels}}";
    let printed = desk.prints_args(&["volume", "inspect", "-f", format, "data", &anonymous]);
    assert_eq!(printed, format!("data {{}}\n{anonymous} {{\"com.docker.volume.anonymous\":\"\"}}\n"));
    assert_eq!(
        desk.refuses(&["volume", "inspect", "-f", "x", "fre"]),
        (1, r#"there is no volume "fre": did you mean "free"?"#.into())
    );
}

#[test]
fn a_volume_is_removed_by_its_whole_name_unless_it_is_used() {
    let (desk, _) = desk();
    for (args, said) in [
        (&["volume", "rm", "data"][..], "volume data is in use by container web"),
        (&["volume", "rm", "-f", "data"], "volume data is in use by container web"),
        (&["volume", "rm", "fre"], r#"there is no volume "fre": did you mean "free"?"#),
        (&["volume", "rm", "../../x"], r#"there is no volume "../../x""#),
        (&["volume", "create", "-x"], "unknown flag -x (see 'overfuse volume create --help')"),
        (&["volume", "create", "--driver", "nfs"], r#"there is no volume driver "nfs": the only one is local"#),
        (&["volume", "create", "--label", "=x"], r#"label "=x" has no name"#),
    ] {
        assert_eq!(desk.refuses(args).1, said, "{args:?}");
    }
    let named = desk.refuses(&["volume", "create", "a/b"]).1;
    assert!(named.starts_with(r#""a/b" is no name for a volume: "#), "{named}");
    assert_eq!(desk.prints("volume rm -f gone free"), "free\n");
    assert!(!desk.root().join("volumes/free").exists());
    desk.prints("rm web");
    assert_eq!(desk.prints("volume remove data hidden"), "data\nhidden\n");
}

#[test]
fn prune_removes_anonymous_volumes_and_with_all_the_named_ones() {
    let (desk, anonymous) = desk();
    fs::write(desk.root().join("volumes").join(&anonymous).join("data/file"), "12345").unwrap();
    let asked = desk.run_args(&["volume", "prune"]);
    let question = String::from_utf8(asked.stdout).unwrap();
    assert!(
        question.starts_with("WARNING! This will remove anonymous volumes") && question.ends_with("[y/N] "),
        "{question}"
    );
    let pruned = desk.prints("volume prune -f");
    assert_eq!(pruned, format!("Deleted Volumes:\n{anonymous}\n\nTotal reclaimed space: 5B\n"));
    assert_eq!(desk.prints("volume prune -a -f --filter label!=kept"), "Total reclaimed space: 0B\n");
    assert_eq!(
        desk.prints("volume prune --force --filter all=true"),
        "Deleted Volumes:\nfree\n\nTotal reclaimed space: 0B\n"
    );
    assert_eq!(desk.names(&["volume", "ls", "-q"]), ["data", "hidden"]);
}

#[test]
fn df_counts_volumes() {
    let (desk, anonymous) = desk();
    fs::write(desk.root().join("volumes").join(&anonymous).join("data/file"), "12345").unwrap();
    fs::write(desk.root().join("volumes/data/data/file"), "12345").unwrap();
    let format = "{{.Type}}: {{.TotalCount}} {{.Active}} {{.Size}} {{.Reclaimable}}";
    let lines = desk.prints_args(&["system", "df", "--format", format]);
    assert!(lines.contains("Local Volumes: 4 2 10B 5B (50%)\n"), "{lines}");
    let verbose = desk.prints("system df -v");
    assert!(verbose.contains("Local Volumes space usage:\n\nVOLUME NAME"), "{verbose}");
}
