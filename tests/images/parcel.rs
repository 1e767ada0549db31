//! Archives of images, built file by file, so that a test can damage any file.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::Path;

use overfuse::image::{Compression, Digest};
use serde_json::{Value, json};
use tar::{Builder, EntryType, Header};

pub const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// An uncompressed layer of these files with their contents.
pub fn layer(files: &[(&str, &str)]) -> Vec<u8> {
    pack(files.iter().map(|&(name, content)| (name.to_owned(), content.as_bytes().to_vec())))
}

/// An archive of files.
pub fn pack(files: impl IntoIterator<Item = (String, Vec<u8>)>) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    for (name, content) in files {
        let mut header = header(content.len() as u64, EntryType::Regular);
        builder.append_data(&mut header, name, content.as_slice()).expect("append to memory");
    }
    builder.into_inner().expect("finish the archive")
}

/// An archive of one link, which may be invalid.
pub fn link(kind: EntryType, name: &str, target: &str) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    let mut header = header(0, kind);
    let old = header.as_old_mut();
    old.name[..name.len()].copy_from_slice(name.as_bytes());
    old.linkname[..target.len()].copy_from_slice(target.as_bytes());
    header.set_cksum();
    builder.append(&header, [].as_slice()).expect("append to memory");
    builder.into_inner().expect("finish the archive")
}

fn header(size: u64, kind: EntryType) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(1_000_000_000);
    header
}

pub fn compress(bytes: &[u8], compression: Compression) -> Vec<u8> {
    match compression {
        Compression::None => bytes.to_vec(),
        Compression::Gzip => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(bytes).expect("write to memory");
            encoder.finish().expect("write to memory")
        }
        Compression::Zstd => zstd::encode_all(bytes, 0).expect("write to memory"),
    }
}

/// An image for a parcel.
#[derive(Clone)]
pub struct Image {
    /// Uncompressed, bottom first.
    pub layers: Vec<Vec<u8>>,
    pub compression: Compression,
    pub architecture: String,
}

impl Image {
    pub fn of(layers: &[&[(&str, &str)]]) -> Image {
        let architecture = overfuse::image::Platform::host().architecture;
        Image {
            layers: layers.iter().map(|files| layer(files)).collect(),
            compression: Compression::Gzip,
            architecture,
        }
    }

    pub fn compressed(self, compression: Compression) -> Image {
        Image { compression, ..self }
    }

    pub fn for_architecture(self, architecture: &str) -> Image {
        Image { architecture: architecture.into(), ..self }
    }

    pub fn config(&self) -> Value {
        let diff_ids: Vec<_> = self.layers.iter().map(|layer| Digest::of(layer)).collect();
        let step = |n: usize| json!({"created": "2024-01-01T00:00:00Z", "created_by": format!("step {n}")});
        json!({
            "architecture": self.architecture,
            "os": "linux",
            "created": "2024-01-01T00:00:00Z",
            "config": {"Env": ["A=1"], "Cmd": ["sh"]},
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
            "history": (0..self.layers.len()).map(step).collect::<Vec<_>>(),
        })
    }

    /// The digest of the configuration.
    pub fn id(&self) -> Digest {
        Digest::of(self.config().to_string().as_bytes())
    }
}

/// The files of an archive or a directory.
#[derive(Clone, Default)]
pub struct Parcel {
    pub files: BTreeMap<String, Vec<u8>>,
}

/// The descriptor of `bytes` as `kind`.
pub fn descriptor(kind: &str, bytes: &[u8]) -> Value {
    json!({"mediaType": kind, "digest": Digest::of(bytes), "size": bytes.len()})
}

/// `descriptor` with a name in the annotation that layouts use.
pub fn named(mut descriptor: Value, name: &str) -> Value {
    descriptor["annotations"] = json!({"org.opencontainers.image.ref.name": name});
    descriptor
}

pub fn for_platform(mut descriptor: Value, os: &str, architecture: &str) -> Value {
    descriptor["platform"] = json!({"os": os, "architecture": architecture});
    descriptor
}

impl Parcel {
    /// A layout with one image.
    pub fn layout(name: &str, image: &Image) -> Parcel {
        let mut parcel = Parcel::default();
        let manifest = parcel.add(image);
        parcel.list(&[named(manifest, name)]);
        parcel
    }

    /// Adds a blob; returns its descriptor.
    pub fn blob(&mut self, kind: &str, bytes: &[u8]) -> Value {
        self.files.insert(path(&Digest::of(bytes)), bytes.to_vec());
        descriptor(kind, bytes)
    }

    /// Adds all blobs of an image; returns the descriptor of its manifest.
    pub fn add(&mut self, image: &Image) -> Value {
        let kind = image.compression.layer_type().to_string();
        let layers = image.layers.iter().map(|layer| self.blob(&kind, &compress(layer, image.compression)));
        let layers: Vec<_> = layers.collect();
        let config = self.blob(CONFIG, image.config().to_string().as_bytes());
        self.manifest(&config, &layers)
    }

    pub fn manifest(&mut self, config: &Value, layers: &[Value]) -> Value {
        let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers});
        self.blob(MANIFEST, manifest.to_string().as_bytes())
    }

    /// Adds a nested index as a blob; returns its descriptor.
    pub fn index(&mut self, manifests: &[Value]) -> Value {
        let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests});
        self.blob(INDEX, index.to_string().as_bytes())
    }

    /// Writes `index.json`, which makes the parcel a layout.
    pub fn list(&mut self, manifests: &[Value]) {
        let index = json!({"schemaVersion": 2, "manifests": manifests});
        self.files.insert("index.json".into(), index.to_string().into_bytes());
        self.files.insert("oci-layout".into(), br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec());
    }

    /// An archive as old versions of `docker save` write it.
    pub fn docker(names: &[&str], image: &Image) -> Parcel {
        let mut parcel = Parcel::default();
        let config = format!("{}.json", image.id().hex());
        parcel.files.insert(config.clone(), image.config().to_string().into_bytes());
        let mut layers = Vec::new();
        for (n, layer) in image.layers.iter().enumerate() {
            let path = format!("{n}/layer.tar");
            parcel.files.insert(path.clone(), compress(layer, image.compression));
            layers.push(path);
        }
        parcel.save(&json!([{"Config": config, "RepoTags": names, "Layers": layers}]));
        parcel
    }

    /// Writes `manifest.json`, the list of images of `docker save`.
    pub fn save(&mut self, images: &Value) {
        self.files.insert("manifest.json".into(), images.to_string().into_bytes());
    }

    pub fn tar(&self) -> Vec<u8> {
        pack(self.files.clone())
    }

    /// A tar with the last file first.
    pub fn reversed_tar(&self) -> Vec<u8> {
        pack(self.files.clone().into_iter().rev())
    }

    pub fn write(&self, dir: &Path) {
        for (name, content) in &self.files {
            let path = dir.join(name);
            fs::create_dir_all(path.parent().expect("a file has a parent")).expect("make a directory");
            fs::write(path, content).expect("write a file");
        }
    }
}

/// The path of a blob in a layout.
pub fn path(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}
