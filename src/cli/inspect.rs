//! `overfuse inspect`: prints all facts about images and containers, with docker's field names.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Result, anyhow};
use clap::Args;
use serde_json::{Value, json};

use super::{Exit, Global, output, root};
use crate::container::{State, Status};
use crate::image::Reference;
use crate::store::{Container, Image, Store, StoreError};

/// Show images and containers as JSON.
#[derive(Debug, Args)]
pub(super) struct InspectArgs {
    /// Names or IDs; a container is preferred to an image of the same name
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
}

pub(super) fn run(global: &Global, args: &InspectArgs) -> Result<Exit> {
    let store = root::open_to_read(global)?;
    let mut found = Vec::new();
    let mut exit = Exit::Success;
    for name in &args.names {
        match inspect(&store, name) {
            Ok(value) => found.push(value),
            Err(error) => {
                eprintln!("overfuse: {error:#}");
                exit = Exit::Failure;
            }
        }
    }
    output::print(&format!("{:#}\n", Value::Array(found)))?;
    Ok(exit)
}

fn inspect(store: &Store, name: &str) -> Result<Value> {
    let of_container = match store.container(name) {
        Ok(found) => return container(store, &found),
        Err(StoreError::UnknownContainer { nearest, .. }) => nearest,
        Err(error) => return Err(error.into()),
    };
    match store.image(name) {
        Ok(found) => Ok(image(store, &found)),
        Err(StoreError::UnknownImage { nearest, .. }) => Err(match of_container.or(nearest) {
            Some(nearest) => anyhow!("there is no container and no image {name:?}: did you mean {nearest:?}?"),
            None => anyhow!("there is no container and no image {name:?}"),
        }),
        Err(error) => Err(error.into()),
    }
}

fn image(store: &Store, image: &Image) -> Value {
    let config = &image.config;
    let names: Vec<_> = image.names.iter().filter(|name| name.digest().is_none()).map(ToString::to_string).collect();
    let by_digest = |name: &Reference| match name.digest() {
        Some(digest) => format!("{}@{digest}", name.familiar_name()),
        None => format!("{}@{}", name.familiar_name(), image.manifest.digest()),
    };
    let digests: BTreeSet<_> = image.names.iter().map(by_digest).collect();
    let last = config.history().iter().flatten().last();
    json!({
        "Id": image.id,
        "RepoTags": names,
        "RepoDigests": digests,
        "Comment": last.and_then(|entry| entry.comment().clone()).unwrap_or_default(),
        "Created": config.created(),
        "Author": config.author().clone().unwrap_or_default(),
        "Architecture": config.architecture(),
        "Variant": config.variant(),
        "Os": config.os(),
        "Size": store.image_bytes(image),
        "Config": config.config(),
        "GraphDriver": { "Name": "overfuse", "Data": directories(store, image, None) },
        "RootFS": { "Type": "layers", "Layers": image.layers },
        "Descriptor": image.manifest,
    })
}

fn container(store: &Store, container: &Container) -> Result<Value> {
    let image = store.image(&container.image.to_string()).ok();
    let mut config = json!(image.as_ref().and_then(|image| image.config.config().clone()).unwrap_or_default());
    config["Image"] = json!(container.image_name);
    let state = State::of(container)?;
    let (path, arguments) = match container.command.split_first() {
        Some((path, arguments)) => (path.as_str(), arguments),
        None => ("", &[][..]),
    };
    Ok(json!({
        "Id": container.id,
        "Name": format!("/{}", container.name),
        "Created": container.created,
        "Path": path,
        "Args": arguments,
        "State": {
            "Status": state.status,
            "Running": state.status == Status::Running,
            "Paused": state.status == Status::Paused,
            "OOMKilled": state.oom_killed,
            "ExitCode": state.exit_code.unwrap_or(0),
            "StartedAt": state.started,
            "FinishedAt": state.finished,
        },
        "Image": container.image,
        "Config": config,
        "GraphDriver": {
            "Name": "overfuse",
            "Data": image.as_ref().map(|image| directories(store, image, Some(container))),
        },
    }))
}

/// The directories of the union. Bytes of a path that are not UTF-8 are replaced.
fn directories(store: &Store, image: &Image, container: Option<&Container>) -> Value {
    let shown = |path: &Path| path.display().to_string();
    let lower = store.lower_dirs(image).iter().map(|dir| shown(dir)).collect::<Vec<_>>().join(":");
    match container {
        None => json!({ "LowerDir": lower }),
        Some(container) => json!({
            "LowerDir": lower,
            "UpperDir": shown(&container.upper()),
            "WorkDir": shown(&container.work()),
            "MergedDir": shown(&container.merged()),
        }),
    }
}
