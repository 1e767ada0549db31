//! The demo's image: five layers of this host's files, written as an OCI image layout.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use serde_json::json;

use super::elf::Linker;
use crate::image::{self, Blob, Change, Compression, Digest, ImageConfig, Instant, Manifest, NewLayer, Platform};
use crate::layer::{Policy, whiteout};
use crate::sys::{Dir, Name};
use crate::tar;

/// The script that the demo's container runs. It prints what it does.
const SCRIPT: &str = "\
set -e
echo \"   I am process $$ of a container, and the mount is my root.\"
echo '   edit    /etc/app.conf'
echo 'colour = green' >> /etc/app.conf
echo '   delete  /app/notes.txt'
rm /app/notes.txt
echo '   add     /app/out/report.txt'
mkdir /app/out
cat /etc/motd /etc/app.conf > /app/out/report.txt
";
/// The path of the script in the image.
pub(super) const SCRIPT_PATH: &str = "/app/run.sh";
const TOOLS: [&str; 5] = ["cat", "ls", "mkdir", "rm", "sleep"];

/// The content of a layer to build.
#[derive(Debug)]
pub(super) struct Layer {
    pub name: &'static str,
    /// Its content, in a few words.
    pub holds: String,
    entries: Vec<Entry>,
}

#[derive(Debug)]
enum Entry {
    Dir(&'static str),
    /// A path in the image, and the file of this host that it copies.
    Copy(PathBuf, PathBuf),
    Text(&'static str, &'static str),
    /// Hides this path of the layers below.
    Whiteout(&'static str),
}

/// The five layers, bottom first.
///
/// # Errors
/// This host lacks a tool, or a library that a tool needs.
pub(super) fn layers() -> Result<Vec<Layer>> {
    let linker = Linker::of_this_host();
    let mut present = BTreeSet::new();
    let mut shell = vec![Entry::Dir("/dev"), Entry::Dir("/proc"), Entry::Dir("/sys"), Entry::Dir("/tmp")];
    program("sh", &linker, &mut present, &mut shell)?;
    let mut tools = Vec::new();
    for tool in TOOLS {
        program(tool, &linker, &mut present, &mut tools)?;
    }
    let layer = |name, holds: &str, entries| Layer { name, holds: holds.into(), entries };
    Ok(vec![
        layer("shell", "/bin/sh and the libraries that it loads", shell),
        layer("tools", &format!("/bin/{{{}}} and their libraries", TOOLS.join(",")), tools),
        layer(
            "settings",
            "/etc/app.conf, /etc/motd",
            vec![
                Entry::Text("/etc/app.conf", "colour = blue\n"),
                Entry::Text("/etc/motd", "Welcome to the first edition.\n"),
            ],
        ),
        layer(
            "app",
            "/app/run.sh, notes.txt, draft.txt",
            vec![
                Entry::Text(SCRIPT_PATH, SCRIPT),
                Entry::Text("/app/notes.txt", "To be deleted by the process.\n"),
                Entry::Text("/app/draft.txt", "To be deleted by the next layer.\n"),
            ],
        ),
        layer(
            "release",
            "a new /etc/motd, a whiteout of draft.txt",
            vec![Entry::Text("/etc/motd", "Welcome to the second edition.\n"), Entry::Whiteout("/app/draft.txt")],
        ),
    ])
}

/// Adds a program of this host as `/bin/NAME`, and the files that it loads and that are not `present` yet.
fn program(name: &str, linker: &Linker, present: &mut BTreeSet<PathBuf>, to: &mut Vec<Entry>) -> Result<()> {
    let path = find(name).with_context(|| format!("this host has no program `{name}`"))?;
    let needs = linker.needs(&path)?;
    // Leaves out the interpreter, which programs also list as a library: it is already loaded when they start.
    let interpreter_name = needs.interpreter.as_deref().and_then(Path::file_name);
    let libraries = needs.libraries.iter().filter_map(|(name, path)| {
        let name = Path::new(name).file_name().filter(|name| Some(*name) != interpreter_name)?;
        Some((Path::new("/lib").join(name), path.clone()))
    });
    let interpreter = needs.interpreter.iter().map(|path| (path.clone(), path.clone()));
    let program = (Path::new("/bin").join(name), path);
    for (to_path, from) in [program].into_iter().chain(interpreter).chain(libraries) {
        if present.insert(to_path.clone()) {
            to.push(Entry::Copy(to_path, from));
        }
    }
    Ok(())
}

/// Finds a program on `PATH`, or else in `/bin` or `/usr/bin`.
fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let dirs = std::env::split_paths(&path).filter(|dir| dir.is_absolute());
    let usual = ["/bin", "/usr/bin"].map(PathBuf::from);
    dirs.chain(usual).map(|dir| dir.join(name)).find(|path| path.is_file())
}

/// Writes `layers` as an image called `name` to the directory `layout`, which it creates. Builds the layers in
/// `scratch`, in the format that `policy` gives an upper directory.
///
/// # Errors
/// A file cannot be read or written.
pub(super) fn write(layers: &[Layer], name: &str, layout: &Path, scratch: &Path, policy: Policy) -> Result<()> {
    let blobs = layout.join("blobs/sha256");
    fs::create_dir_all(&blobs).context("making the image layout")?;
    let blob = |bytes: &[u8]| -> Result<Blob> {
        let blob = Blob::of(bytes);
        fs::write(blobs.join(blob.digest.hex()), bytes).context("writing a blob of the image")?;
        Ok(blob)
    };
    let mut config = empty_config();
    let mut packed = Vec::new();
    for (index, layer) in layers.iter().enumerate() {
        let dir = scratch.join(layer.name);
        layer.build(&dir).with_context(|| format!("building layer {}", layer.name))?;
        let archive = tar::pack(tar::Over::nothing(&Dir::open_host(&dir)?), policy, Vec::new())?;
        let layer_blob = blob(&archive)?;
        let created_by = format!("overfuse demo: {}", layer.name);
        let of_layer = NewLayer {
            diff_id: layer_blob.digest,
            created: Instant::now(),
            created_by: &created_by,
            comment: Some(&layer.holds),
        };
        let changes = if index == 0 { changes() } else { Vec::new() };
        config = ImageConfig::extend(&config, &of_layer, &changes)?;
        packed.push(image::Layer { blob: layer_blob, compression: Compression::None });
    }
    let manifest = blob(&Manifest::new(blob(&config)?, &packed)?.to_json())?;
    let mut index = image::Index::new(Vec::new())?;
    index.add(&manifest.descriptor(oci_spec::image::MediaType::ImageManifest)?, &[name.parse()?]);
    fs::write(layout.join("index.json"), index.to_json()).context("writing index.json")?;
    fs::write(layout.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).context("writing oci-layout")
}

/// How to run the image. All libraries are in `/lib`, so `LD_LIBRARY_PATH` names it.
fn changes() -> Vec<Change> {
    let variable = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    vec![
        Change::Env(vec![variable("PATH", "/bin"), variable("LD_LIBRARY_PATH", "/lib")]),
        Change::Cmd(vec!["/bin/sh".into(), SCRIPT_PATH.into()]),
    ]
}

fn empty_config() -> Vec<u8> {
    let Platform { os, architecture, variant } = Platform::host();
    let rootfs = json!({"type": "layers", "diff_ids": []});
    json!({"os": os, "architecture": architecture, "variant": variant, "rootfs": rootfs}).to_string().into_bytes()
}

impl Layer {
    /// Makes the layer's tree in `dir`, in the format of an upper directory.
    fn build(&self, dir: &Path) -> Result<()> {
        fs::create_dir_all(dir)?;
        let at = |path: &Path| -> Result<PathBuf> {
            let path = dir.join(path.strip_prefix("/")?);
            fs::create_dir_all(path.parent().ok_or_else(|| anyhow!("a layer has a root"))?)?;
            Ok(path)
        };
        for entry in &self.entries {
            match entry {
                Entry::Dir(path) => fs::create_dir_all(at(Path::new(path))?)?,
                Entry::Text(path, text) => fs::write(at(Path::new(path))?, text)?,
                Entry::Whiteout(path) => {
                    let path = at(Path::new(path))?;
                    let parent = Dir::open_host(path.parent().unwrap_or(dir))?;
                    whiteout::create(&parent, Name::new(path.file_name().unwrap_or_default())?)?;
                }
                Entry::Copy(path, from) => {
                    let path = at(path)?;
                    fs::copy(from, &path).with_context(|| format!("copying {}", from.display()))?;
                    fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
                }
            }
        }
        Ok(())
    }

    /// The number of its files, without whiteouts.
    pub(super) fn files(&self) -> usize {
        self.entries.iter().filter(|entry| matches!(entry, Entry::Copy(..) | Entry::Text(..))).count()
    }
}

/// Identifies a tree by the digest of its archive.
///
/// # Errors
/// The tree cannot be read.
pub(super) fn digest(tree: &Path, policy: Policy) -> Result<Digest> {
    Ok(tar::pack(tar::Over::nothing(&Dir::open_host(tree)?), policy, image::Hasher::default())?.finish())
}
