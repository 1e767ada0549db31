//! What `inspect` shows of an image.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Result;
use oci_spec::image::Descriptor;
use serde::Serialize;
use serde_json::{Value, json};

use crate::image::{Digest, Reference};
use crate::store::{Image, Store};

/// Docker's fields, in docker's order.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(in crate::cli) struct Facts {
    id: Digest,
    repo_tags: Vec<String>,
    repo_digests: BTreeSet<String>,
    /// The store keeps no images that others were made of, so there is never one.
    parent: &'static str,
    comment: String,
    created: Option<String>,
    author: String,
    config: Config,
    architecture: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    variant: Option<String>,
    os: String,
    size: u64,
    graph_driver: Value,
    #[serde(rename = "RootFS")]
    root_fs: Value,
    descriptor: Descriptor,
}

/// How an image is to be run. Lists that an image lacks are `null`, as in docker; labels are there for `index`.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(in crate::cli) struct Config {
    pub(in crate::cli) user: Value,
    #[serde(skip_serializing_if = "Value::is_null")]
    pub(in crate::cli) exposed_ports: Value,
    pub(in crate::cli) env: Value,
    pub(in crate::cli) cmd: Value,
    #[serde(skip_serializing_if = "Value::is_null")]
    pub(in crate::cli) healthcheck: Value,
    pub(in crate::cli) volumes: Value,
    pub(in crate::cli) working_dir: Value,
    pub(in crate::cli) entrypoint: Value,
    pub(in crate::cli) on_build: Value,
    pub(in crate::cli) labels: Value,
    #[serde(skip_serializing_if = "Value::is_null")]
    pub(in crate::cli) stop_signal: Value,
    #[serde(skip_serializing_if = "Value::is_null")]
    pub(in crate::cli) shell: Value,
}

impl Config {
    /// # Errors
    /// The image's configuration cannot be read.
    pub(in crate::cli) fn of(store: &Store, image: &Image) -> Result<Config> {
        let document: Value = serde_json::from_slice(&store.configuration(image)?)?;
        let config = document.get("config").unwrap_or(&Value::Null);
        let field = |name: &str| config.get(name).cloned().unwrap_or_default();
        let or = |name: &str, default: Value| Some(field(name)).filter(|value| !value.is_null()).unwrap_or(default);
        Ok(Config {
            user: or("User", "".into()),
            exposed_ports: field("ExposedPorts"),
            env: or("Env", json!([])),
            cmd: field("Cmd"),
            healthcheck: field("Healthcheck"),
            volumes: field("Volumes"),
            working_dir: or("WorkingDir", "".into()),
            entrypoint: field("Entrypoint"),
            on_build: field("OnBuild"),
            labels: or("Labels", json!({})),
            stop_signal: field("StopSignal"),
            shell: field("Shell"),
        })
    }
}

/// # Errors
/// The image's configuration cannot be read.
pub(in crate::cli) fn facts(store: &Store, image: &Image) -> Result<Facts> {
    let config = &image.config;
    let names = image.names.iter().filter(|name| name.digest().is_none()).map(ToString::to_string);
    let by_digest = |name: &Reference| match name.digest() {
        Some(digest) => format!("{}@{digest}", name.familiar_name()),
        None => format!("{}@{}", name.familiar_name(), image.manifest.digest()),
    };
    let last = config.history().iter().flatten().last();
    Ok(Facts {
        id: image.id,
        repo_tags: names.collect(),
        repo_digests: image.names.iter().map(by_digest).collect(),
        parent: "",
        comment: last.and_then(|entry| entry.comment().clone()).unwrap_or_default(),
        created: config.created().clone(),
        author: config.author().clone().unwrap_or_default(),
        config: Config::of(store, image)?,
        architecture: config.architecture().to_string(),
        variant: config.variant().clone(),
        os: config.os().to_string(),
        size: store.image_bytes(image),
        graph_driver: json!({ "Name": "overfuse", "Data": { "LowerDir": lower_dirs(store, image) } }),
        root_fs: json!({ "Type": "layers", "Layers": image.layers }),
        descriptor: image.manifest.clone(),
    })
}

/// The directories of the image's layers, topmost first. Bytes of a path that are not UTF-8 are replaced.
pub(in crate::cli) fn lower_dirs(store: &Store, image: &Image) -> String {
    let shown = |path: &Path| path.display().to_string();
    store.lower_dirs(image).iter().map(|dir| shown(dir)).collect::<Vec<_>>().join(":")
}
