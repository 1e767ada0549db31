//! `overfuse inspect`, and `inspect` of containers, images and volumes: print all facts, with docker's field names.

use anyhow::{Result, anyhow};
use clap::{Args, ValueEnum};
use serde::Serialize;
use serde_json::Value;
use serde_json::ser::{PrettyFormatter, Serializer};

use super::{Exit, Global, container, format, image, output, root, volume};
use crate::store::{Store, StoreError};

/// Show all facts about containers, images and volumes as JSON
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  overfuse inspect -f '{{.State.Status}} {{.State.ExitCode}}' web
  overfuse inspect -f '{{range .Config.Env}}{{println .}}{{end}}' debian")]
pub(super) struct InspectArgs {
    /// Only objects of this type [default: a container, or else an image, or else a volume]
    #[arg(long = "type", value_enum, value_name = "TYPE")]
    kind: Option<Kind>,
    #[command(flatten)]
    container: ContainerInspectArgs,
}

/// Show all facts about containers as JSON
#[derive(Debug, Args)]
pub(super) struct ContainerInspectArgs {
    /// Add SizeRw, the size of a container's changes, and SizeRootFs, the size with its image
    #[arg(long, short)]
    size: bool,
    #[command(flatten)]
    image: ImageInspectArgs,
}

/// Show all facts about images as JSON
#[derive(Debug, Args)]
pub(super) struct ImageInspectArgs {
    /// `json`, or a Go template for each object: '{{.Id}} {{json .Config}}'
    #[arg(long, short, value_name = "FORMAT")]
    format: Option<String>,
    /// Names or IDs
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
}

/// Show all facts about volumes as JSON
#[derive(Debug, Args)]
pub(super) struct VolumeInspectArgs {
    /// `json`, or a Go template for each volume: '{{.Mountpoint}}'
    #[arg(long, short, value_name = "FORMAT")]
    format: Option<String>,
    /// Names of volumes
    #[arg(required = true, value_name = "VOLUME")]
    names: Vec<String>,
}

/// What kind of object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    Container,
    Image,
    Volume,
}

/// What is printed: the fields in docker's order.
enum Facts {
    Container(Box<container::inspect::Facts>),
    Image(Box<image::inspect::Facts>),
    Volume(Box<volume::inspect::Facts>),
}

impl Facts {
    fn value(&self) -> Result<Value> {
        Ok(match self {
            Facts::Container(facts) => serde_json::to_value(facts)?,
            Facts::Image(facts) => serde_json::to_value(facts)?,
            Facts::Volume(facts) => serde_json::to_value(facts)?,
        })
    }

    fn pretty(&self) -> Result<String> {
        match self {
            Facts::Container(facts) => pretty(facts),
            Facts::Image(facts) => pretty(facts),
            Facts::Volume(facts) => pretty(facts),
        }
    }
}

pub(super) fn run(global: &Global, args: &InspectArgs) -> Result<Exit> {
    let ContainerInspectArgs { size, image } = &args.container;
    inspect(global, args.kind, *size, image.format.as_deref(), &image.names)
}

pub(super) fn containers(global: &Global, args: &ContainerInspectArgs) -> Result<Exit> {
    inspect(global, Some(Kind::Container), args.size, args.image.format.as_deref(), &args.image.names)
}

pub(super) fn images(global: &Global, args: &ImageInspectArgs) -> Result<Exit> {
    inspect(global, Some(Kind::Image), false, args.format.as_deref(), &args.names)
}

pub(super) fn volumes(global: &Global, args: &VolumeInspectArgs) -> Result<Exit> {
    inspect(global, Some(Kind::Volume), false, args.format.as_deref(), &args.names)
}

/// Prints every object that is found, and why another one is not.
fn inspect(global: &Global, kind: Option<Kind>, size: bool, format: Option<&str>, names: &[String]) -> Result<Exit> {
    // Measuring must read directories that belong to subordinate ids.
    let store = if size { root::open(global)? } else { root::open_to_read(global)? };
    let mut found = Vec::new();
    let mut exit = Exit::Success;
    let mut failed = |error: anyhow::Error| {
        super::exit::report(&error);
        exit = Exit::Failure;
    };
    for name in names {
        match facts(&store, kind, size, name) {
            Ok(facts) => found.push(facts),
            Err(error) => failed(error),
        }
    }
    let printed = match format {
        None => {
            let facts = found.iter().map(Facts::pretty).collect::<Result<Vec<_>>>()?;
            let indented = facts.iter().map(|text| format!("    {}", text.replace('\n', "\n    ")));
            match facts.is_empty() {
                true => "[]\n".into(),
                false => format!("[\n{}\n]\n", indented.collect::<Vec<_>>().join(",\n")),
            }
        }
        Some("json") => {
            format!("{}\n", Value::Array(found.iter().map(Facts::value).collect::<Result<_>>()?))
        }
        Some(template) => {
            let mut text = String::new();
            for facts in &found {
                match format::one(template, &facts.value()?) {
                    Ok(line) => text += &line,
                    Err(error) => {
                        failed(error.into());
                        break;
                    }
                }
            }
            text
        }
    };
    output::print(&printed)?;
    Ok(exit)
}

fn facts(store: &Store, kind: Option<Kind>, size: bool, name: &str) -> Result<Facts> {
    let container =
        || anyhow::Ok(Facts::Container(container::inspect::facts(store, store.container(name)?, size)?.into()));
    let image = || anyhow::Ok(Facts::Image(image::inspect::facts(store, &store.image(name)?)?.into()));
    let volume = || anyhow::Ok(Facts::Volume(volume::inspect::facts(&store.volume(name)?).into()));
    match kind {
        Some(Kind::Container) => return container(),
        Some(Kind::Image) => return image(),
        Some(Kind::Volume) => return volume(),
        None => {}
    }
    let near_container = match container() {
        Err(error) => match error.downcast_ref() {
            Some(StoreError::UnknownContainer { nearest, .. }) => nearest.clone(),
            _ => return Err(error),
        },
        found => return found,
    };
    let near_image = match image() {
        Err(error) => match error.downcast_ref() {
            Some(StoreError::UnknownImage { nearest, .. }) => nearest.clone(),
            _ => return Err(error),
        },
        found => return found,
    };
    let near_volume = match volume() {
        Err(error) => match error.downcast_ref() {
            Some(StoreError::UnknownVolume { nearest, .. }) => nearest.clone(),
            _ => return Err(error),
        },
        found => return found,
    };
    Err(match near_container.or(near_image).or(near_volume) {
        Some(nearest) => anyhow!("there is no container, image or volume {name:?}: did you mean {nearest:?}?"),
        None => anyhow!("there is no container, image or volume {name:?}"),
    })
}

/// JSON with docker's indentation.
fn pretty(value: &impl Serialize) -> Result<String> {
    let mut text = Vec::new();
    value.serialize(&mut Serializer::with_formatter(&mut text, PrettyFormatter::with_indent(b"    ")))?;
    Ok(String::from_utf8(text)?)
}
