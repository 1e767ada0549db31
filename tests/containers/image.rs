//! An image for the tests: the host's static busybox and a few files, as an archive in OCI's format.

use std::fs;
use std::io::Write;
use std::path::Path;

use serde_json::json;
use sha2::{Digest, Sha256};

/// The image's name in the store.
pub(crate) const NAME: &str = "tiny";

const APPLETS: &[&str] = &[
    "cat", "chown", "echo", "env", "false", "grep", "head", "hostname", "id", "ifconfig", "kill", "ls", "mkdir",
    "mknod", "mount", "pwd", "readlink", "rm", "sh", "sleep", "stat", "stty", "sync", "touch", "true", "tty", "umask",
    "wc",
];

const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1001::/home/app:/bin/sh\n";
pub(crate) const GROUP: &str = "root:x:0:\napp:x:1001:\nvideo:x:44:app\n";

/// The differences of an image from the usual one.
#[derive(Debug, Default)]
pub(crate) struct Twist {
    /// Symbolic links: name and target. A link with the name of a directory of the image replaces it.
    pub(crate) links: Vec<(String, String)>,
    /// More directories: name, mode, owner and group. They come before files and devices.
    pub(crate) directories: Vec<(String, u32, u64, u64)>,
    /// Character devices that all users may read and write: name, major and minor number.
    pub(crate) devices: Vec<(String, u32, u32)>,
    /// More files: name and content.
    pub(crate) files: Vec<(String, Vec<u8>)>,
    /// Keys of the configuration that replace the usual ones.
    pub(crate) config: serde_json::Map<String, serde_json::Value>,
}

impl Twist {
    /// A configuration with `value` for `key`.
    pub(crate) fn says(key: &str, value: impl Into<serde_json::Value>) -> Twist {
        Twist { config: [(key.to_owned(), value.into())].into_iter().collect(), ..Twist::default() }
    }

    /// An image with symbolic links.
    pub(crate) fn links(links: &[(&str, &str)]) -> Twist {
        let links = links.iter().map(|(name, target)| ((*name).into(), (*target).into())).collect();
        Twist { links, ..Twist::default() }
    }
}

/// Writes the archive to `path`.
pub(crate) fn write(path: &Path, twist: &Twist) {
    let layer = layer(twist);
    let mut inner = json!({
        "Env": ["PATH=/bin", "COLOR=green"],
        "WorkingDir": "/srv",
        "Entrypoint": ["/bin/sh"],
        "Cmd": ["-c", "echo the image speaks"],
    });
    for (key, value) in &twist.config {
        inner[key] = value.clone();
    }
    let config = json!({
        "architecture": if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" },
        "os": "linux",
        "config": inner,
        "rootfs": { "type": "layers", "diff_ids": [digest(&layer)] },
    });
    let config = config.to_string().into_bytes();
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": descriptor("application/vnd.oci.image.config.v1+json", &config),
        "layers": [descriptor("application/vnd.oci.image.layer.v1.tar", &layer)],
    });
    let manifest = manifest.to_string().into_bytes();
    let mut top = descriptor("application/vnd.oci.image.manifest.v1+json", &manifest);
    top["annotations"] = json!({ "org.opencontainers.image.ref.name": format!("{NAME}:latest") });
    let index = json!({ "schemaVersion": 2, "manifests": [top] });

    let mut archive = tar::Builder::new(fs::File::create(path).unwrap());
    file(&mut archive, "oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#, 0o644);
    file(&mut archive, "index.json", index.to_string().as_bytes(), 0o644);
    for blob in [&layer, &config, &manifest] {
        file(&mut archive, &format!("blobs/sha256/{}", hex(blob)), blob, 0o644);
    }
    archive.finish().unwrap();
}

fn layer(twist: &Twist) -> Vec<u8> {
    let mut layer = tar::Builder::new(Vec::new());
    for (name, mode) in
        [("bin", 0o755), ("etc", 0o755), ("home", 0o755), ("home/app", 0o777), ("root", 0o700), ("tmp", 0o1777)]
    {
        directory(&mut layer, name, mode);
    }
    file(&mut layer, "bin/busybox", &fs::read("/bin/busybox").unwrap(), 0o755);
    file(&mut layer, "bin/no-interpreter", b"#!/gone\n", 0o755);
    file(&mut layer, "etc/passwd", PASSWD.as_bytes(), 0o644);
    file(&mut layer, "etc/group", GROUP.as_bytes(), 0o644);
    for applet in APPLETS {
        link(&mut layer, &format!("bin/{applet}"), "busybox");
    }
    for (name, target) in &twist.links {
        link(&mut layer, name, target);
    }
    for (name, mode, uid, gid) in &twist.directories {
        let mut header = header(tar::EntryType::Directory, *mode, 0);
        header.set_uid(*uid);
        header.set_gid(*gid);
        layer.append_data(&mut header, format!("{name}/"), &[][..]).unwrap();
    }
    for (name, content) in &twist.files {
        file(&mut layer, name, content, 0o755);
    }
    for (name, major, minor) in &twist.devices {
        let mut header = header(tar::EntryType::Char, 0o666, 0);
        header.set_device_major(*major).unwrap();
        header.set_device_minor(*minor).unwrap();
        layer.append_data(&mut header, name, &[][..]).unwrap();
    }
    layer.into_inner().unwrap()
}

fn header(kind: tar::EntryType, mode: u32, size: usize) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size as u64);
    header
}

fn file(to: &mut tar::Builder<impl Write>, name: &str, content: &[u8], mode: u32) {
    to.append_data(&mut header(tar::EntryType::Regular, mode, content.len()), name, content).unwrap();
}

fn directory(to: &mut tar::Builder<impl Write>, name: &str, mode: u32) {
    to.append_data(&mut header(tar::EntryType::Directory, mode, 0), format!("{name}/"), &[][..]).unwrap();
}

fn link(to: &mut tar::Builder<impl Write>, name: &str, target: &str) {
    to.append_link(&mut header(tar::EntryType::Symlink, 0o777, 0), name, target).unwrap();
}

fn descriptor(kind: &str, blob: &[u8]) -> serde_json::Value {
    json!({ "mediaType": kind, "digest": digest(blob), "size": blob.len() })
}

fn digest(blob: &[u8]) -> String {
    format!("sha256:{}", hex(blob))
}

fn hex(blob: &[u8]) -> String {
    Sha256::digest(blob).iter().map(|byte| format!("{byte:02x}")).collect()
}
