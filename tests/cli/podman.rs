//! What `images`, `history`, `inspect` and `ps` show, field by field against podman's of the same archive.

use std::process::Command;

use overfuse::image::{Compression, Digest};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::need;
use crate::parcel::{CONFIG, Parcel, compress, layer, named};
use crate::support::{scratch, subject};

const NAME: &str = "docker.io/library/app:v1";

/// An image that uses every field of a configuration.
fn archive() -> Vec<u8> {
    let layers = [layer(&[("a", "12345"), ("dir/b", "1234567")]), layer(&[("c", "123")])];
    let config = json!({
        "architecture": overfuse::image::Platform::host().architecture,
        "os": "linux",
        "author": "somebody",
        "created": "2024-01-01T10:20:30.5Z",
        "config": {
            "User": "1000:1000",
            "ExposedPorts": {"80/tcp": {}, "53/udp": {}},
            "Env": ["PATH=/bin", "A=1 2"],
            "Entrypoint": ["/bin/sh"],
            "Cmd": ["-c", "true"],
            "Volumes": {"/data": {}},
            "WorkingDir": "/srv",
            "Labels": {"team": "core", "com.example.tier": "back"},
            "StopSignal": "SIGINT",
        },
        "rootfs": {"type": "layers", "diff_ids": layers.iter().map(|layer| Digest::of(layer)).collect::<Vec<_>>()},
        "history": [
            {"created": "2024-01-01T10:20:28Z", "created_by": "ADD file:1 in /", "comment": "base"},
            {"created": "2024-01-01T10:20:29Z", "created_by": "ENV A=1 2", "empty_layer": true},
            {"created": "2024-01-01T10:20:30.5Z", "created_by": "COPY c /", "comment": "by hand"},
        ],
    });
    let mut parcel = Parcel::default();
    let kind = Compression::Gzip.layer_type().to_string();
    let layers: Vec<_> = layers.iter().map(|layer| parcel.blob(&kind, &compress(layer, Compression::Gzip))).collect();
    let config = parcel.blob(CONFIG, config.to_string().as_bytes());
    let manifest = parcel.manifest(&config, &layers);
    parcel.list(&[named(manifest, NAME)]);
    parcel.tar()
}

/// Both programs, with the archive loaded.
struct Both {
    dir: TempDir,
}

impl Both {
    fn new() -> Both {
        let both = Both { dir: scratch() };
        let path = both.dir.path().join("image.tar");
        std::fs::write(&path, archive()).unwrap();
        let path = path.to_str().unwrap();
        both.podman(&["load", "-i", path]);
        both.overfuse(&["load", path]);
        both
    }

    #[track_caller]
    fn run(command: &mut Command, args: &[&str]) -> String {
        let output = command.args(args).output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    #[track_caller]
    fn podman(&self, args: &[&str]) -> String {
        let dir = |name: &str| self.dir.path().join(name);
        let mut command = Command::new("podman");
        command.arg("--root").arg(dir("podman")).arg("--runroot").arg(dir("run")).args(["--storage-driver", "vfs"]);
        Self::run(&mut command, args)
    }

    #[track_caller]
    fn overfuse(&self, args: &[&str]) -> String {
        Self::run(subject::overfuse().arg("--root").arg(self.dir.path().join("store")), args)
    }

    /// The first object that `inspect` of each shows.
    fn inspected(&self, name: &str) -> [Value; 2] {
        [self.podman(&["inspect", name]), self.overfuse(&["inspect", name])]
            .map(|text| serde_json::from_str::<Value>(&text).unwrap()[0].clone())
    }
}

/// `value` with podman's way to write IDs and names replaced by docker's.
fn as_docker(value: &Value) -> Value {
    match value {
        Value::String(text) => {
            let is_id = text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit());
            let familiar = text.replace("docker.io/library/", "");
            if is_id { format!("sha256:{text}").into() } else { familiar.into() }
        }
        Value::Array(list) => list.iter().map(as_docker).collect(),
        Value::Object(map) => map.iter().map(|(key, value)| (key.clone(), as_docker(value))).collect(),
        other => other.clone(),
    }
}

/// Compares each field of theirs with ours, but not those in `other`, which podman has for itself or means otherwise.
#[track_caller]
fn compare(theirs: &Value, ours: &Value, other: &[&str]) {
    let mut compared = 0;
    for (field, value) in theirs.as_object().unwrap() {
        if other.contains(&field.as_str()) {
            continue;
        }
        // An absent field, null and an empty value mean the same.
        let empty =
            |value: &Value| value.is_null() || *value == json!([]) || *value == json!({}) || *value == json!("");
        let (theirs, ours) = (as_docker(value), ours.get(field).cloned().unwrap_or_default());
        assert!(theirs == ours || (empty(&theirs) && empty(&ours)), "{field}: podman has {theirs}, we have {ours}");
        compared += 1;
    }
    assert!(compared > 3, "too little was compared: {theirs}");
}

#[test]
fn an_image_is_shown_as_podman_shows_it() {
    need!(root, podman);
    let both = Both::new();
    let [theirs, ours] = both.inspected("app:v1");
    // Its size counts tar headers; its comment is the oldest step's, docker's the newest.
    let other = [
        "Annotations",
        "Comment",
        "Config",
        "Digest",
        "GraphDriver",
        "HealthCheck",
        "Healthcheck",
        "History",
        "Labels",
        "ManifestType",
        "NamesHistory",
        "Size",
        "User",
        "Version",
        "VirtualSize",
    ];
    compare(&theirs, &ours, &other);
    compare(&theirs["Config"], &ours["Config"], &[]);
    assert_eq!((&ours["Comment"], &ours["Descriptor"]["digest"]), (&json!("by hand"), &theirs["Digest"]));

    let columns = "{{.Repository}}|{{.Tag}}|{{.ID}}|{{.Digest}}|{{.CreatedSince}}";
    let args = ["images", "--format", columns];
    assert_eq!(both.podman(&args).replace("docker.io/library/", ""), both.overfuse(&args));
    let args = ["history", "--format", "{{.ID}}|{{.CreatedBy}}|{{.Comment}}|{{.CreatedSince}}", "app:v1"];
    assert_eq!(both.podman(&args), both.overfuse(&args));
}

#[test]
fn a_container_is_shown_as_podman_shows_it() {
    need!(root, podman);
    let both = Both::new();
    let options =
        ["--name", "web", "--label", "x=y", "--network", "host", "-e", "B=2", "-w", "/tmp", "-v", "/srv:/mnt:ro"];
    let args = [&["create"], &options[..], &["app:v1", "-c", "sleep 1"]].concat();
    both.podman(&args);
    both.overfuse(&args);

    let [theirs, ours] = both.inspected("web");
    for field in ["Path", "Args", "Image", "RestartCount"] {
        assert_eq!(as_docker(&theirs[field]), ours[field], "{field}");
    }
    assert_eq!(ours["Name"], "/web");
    compare(&theirs["State"], &ours["State"], &["OciVersion", "Health", "CheckpointedAt", "RestoredAt"]);
    // Podman sets variables of its own, gives the entrypoint as a text and the signal as a number, and attaches nothing.
    let other = [
        "Annotations",
        "AttachStderr",
        "AttachStdout",
        "CreateCommand",
        "Entrypoint",
        "Env",
        "HealthcheckOnFailureAction",
        "Passwd",
        "StopSignal",
        "StopTimeout",
        "Timeout",
        "Umask",
        "Volumes",
        "sdNotifyMode",
    ];
    compare(&theirs["Config"], &ours["Config"], &other);
    let env = |facts: &Value| {
        let all = facts["Config"]["Env"].as_array().unwrap().iter().map(|entry| entry.as_str().unwrap().to_owned());
        let mut env: Vec<_> =
            all.filter(|entry| !["container=podman", "TERM=xterm"].contains(&entry.as_str())).collect();
        env.sort();
        env
    };
    assert_eq!(env(&theirs), env(&ours));
    for field in ["NetworkMode", "AutoRemove", "Privileged", "ReadonlyRootfs", "Devices"] {
        assert_eq!(theirs["HostConfig"][field], ours["HostConfig"][field], "{field}");
    }
    let bind = |facts: &Value| {
        let mounts = facts["Mounts"].as_array().unwrap();
        let mount = mounts.iter().find(|mount| mount["Type"] == "bind").unwrap().clone();
        ["Source", "Destination", "RW", "Propagation"].map(|field| mount[field].clone())
    };
    assert_eq!(bind(&theirs), bind(&ours));

    let row = "{{.Image}}|{{.Status}}|{{.Names}}|{{.Size}}|{{.Ports}}|{{.State}}";
    let args = ["ps", "-a", "-s", "--no-trunc", "--format", row];
    let theirs = both.podman(&args).replace("docker.io/library/", "").replace("|Created\n", "|created\n");
    assert_eq!(theirs, both.overfuse(&args));
}
