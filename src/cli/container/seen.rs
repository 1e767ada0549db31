//! A container as lists and `inspect` see it: its record, settings, image and state together.

use std::collections::{BTreeMap, HashMap};

use anyhow::Result;

use crate::cli::image::labels;
use crate::cli::output;
use crate::container::{Settings, State, Status};
use crate::image::{Digest, Instant, Reference};
use crate::store::{Container, Image, Store};

/// A container, with everything that is known of it.
#[derive(Debug)]
pub(in crate::cli) struct Seen {
    pub(in crate::cli) container: Container,
    pub(in crate::cli) settings: Settings,
    pub(in crate::cli) life: Life,
    /// Its image's labels and its own.
    pub(in crate::cli) labels: BTreeMap<String, String>,
}

/// The state of a container in docker's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) struct Life {
    /// One of [`WORDS`].
    pub(in crate::cli) word: &'static str,
    /// Whether a process runs in it; it may be frozen.
    pub(in crate::cli) running: bool,
    pub(in crate::cli) paused: bool,
    /// Whether it runs or is mounted.
    pub(in crate::cli) in_use: bool,
    /// 0 unless it runs.
    pub(in crate::cli) pid: u32,
    /// Of the last run that ended.
    pub(in crate::cli) exit_code: Option<u8>,
    pub(in crate::cli) oom_killed: bool,
    pub(in crate::cli) error: String,
    pub(in crate::cli) started: Option<Instant>,
    pub(in crate::cli) finished: Option<Instant>,
    /// How often the restart policy has started it again.
    pub(in crate::cli) restarts: u32,
}

/// The words that [`Life::word`] can be.
pub(in crate::cli) const WORDS: &[&str] = &["created", "running", "paused", "restarting", "exited", "mounted"];

impl Life {
    /// The only place that reads a [`State`].
    fn of(state: State) -> Life {
        let State { status, process, started, finished, exit_code, oom_killed, error, restarts } = state;
        let (word, running) = match status {
            Status::Created => ("created", false),
            Status::Running => ("running", true),
            Status::Paused => ("paused", true),
            Status::Restarting => ("restarting", true),
            Status::Exited => ("exited", false),
            Status::Mounted => ("mounted", false),
        };
        Life {
            word,
            running,
            paused: status == Status::Paused,
            in_use: running || matches!(status, Status::Mounted | Status::Restarting),
            pid: process.map_or(0, |process| process.pid),
            exit_code,
            oom_killed,
            error: error.unwrap_or_default(),
            started,
            finished,
            restarts,
        }
    }

    /// `Up 3 minutes`, `Exited (137) 2 hours ago`, `Created`, …
    pub(in crate::cli) fn describe(&self, now: Instant) -> String {
        let age = |at: Option<Instant>| at.map(|at| output::age(now.seconds_since(at)));
        match self.word {
            "created" => "Created".into(),
            "mounted" => "Mounted".into(),
            word @ ("exited" | "restarting") => {
                let what = if word == "exited" { "Exited" } else { "Restarting" };
                let ago = age(self.finished).map(|age| format!(" {age} ago")).unwrap_or_default();
                format!("{what} ({}){ago}", self.exit_code.unwrap_or_default())
            }
            _ => {
                let since = age(self.started).map(|age| format!(" {age}")).unwrap_or_default();
                format!("Up{since}{}", if self.paused { " (Paused)" } else { "" })
            }
        }
    }
}

impl Seen {
    /// # Errors
    /// The container's documents cannot be read.
    pub(in crate::cli) fn new(container: Container, image: Option<&Image>) -> Result<Seen> {
        let settings = Settings::of(&container)?;
        let life = Life::of(State::of(&container)?);
        let mut labels = image.map(labels).unwrap_or_default();
        labels.extend(settings.labels.clone());
        Ok(Seen { container, settings, life, labels })
    }

    /// All containers of the store, newest first. One that is removed meanwhile or cannot be read is left out.
    ///
    /// # Errors
    /// The store cannot be read.
    pub(in crate::cli) fn all(store: &Store, images: &Images) -> Result<Vec<Seen>> {
        let seen = store.containers()?.into_iter().filter_map(|container| {
            let (dir, name) = (container.dir().to_owned(), container.name.clone());
            let image = images.get(&container.image);
            match Seen::new(container, image) {
                Ok(seen) => Some(seen),
                Err(error) => {
                    if dir.exists() {
                        tracing::warn!(container = name, error = format!("{error:#}"), "left out a container");
                    }
                    None
                }
            }
        });
        Ok(seen.collect())
    }

    /// The image as it was asked for; its ID if that name is now another image's or nobody's.
    pub(in crate::cli) fn image_name(&self, images: &Images) -> String {
        let (name, id) = (&self.container.image_name, &self.container.image);
        match images.is_named(name, id) {
            true => name.clone(),
            false => id.short(),
        }
    }
}

/// The images of the store, by ID.
#[derive(Debug)]
pub(in crate::cli) struct Images {
    of: HashMap<Digest, Image>,
}

impl Images {
    /// # Errors
    /// The store cannot be read.
    pub(in crate::cli) fn new(store: &Store) -> Result<Images> {
        Ok(Images { of: store.images()?.into_iter().map(|image| (image.id, image)).collect() })
    }

    pub(in crate::cli) fn len(&self) -> usize {
        self.of.len()
    }

    /// In no order.
    pub(in crate::cli) fn all(&self) -> impl Iterator<Item = &Image> {
        self.of.values()
    }

    pub(in crate::cli) fn get(&self, id: &Digest) -> Option<&Image> {
        self.of.get(id)
    }

    /// Whether `name`, or what begins with it where it is an ID, is the image `id`.
    fn is_named(&self, name: &str, id: &Digest) -> bool {
        let hex = name.strip_prefix("sha256:").unwrap_or(name);
        if !hex.is_empty() && id.hex().starts_with(hex) {
            return true;
        }
        let Some(image) = self.of.get(id) else { return false };
        let wanted = [name.to_owned(), format!("localhost/{name}")].map(|name| name.parse::<Reference>());
        let manifest = image.manifest.digest().to_string();
        wanted.iter().flatten().any(|wanted| {
            let by_digest = wanted.digest().is_some_and(|digest| digest.to_string() == manifest);
            by_digest || image.names.iter().any(|name| name == wanted)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_described_as_docker_does() {
        let at = |text: &str| Some(text.parse::<Instant>().unwrap());
        let now = at("2024-01-01T02:00:00Z").unwrap();
        let state = |status| State { status, started: at("2024-01-01T01:57:00Z"), ..State::default() };
        let exited = State { finished: at("2024-01-01T00:00:00Z"), exit_code: Some(137), ..state(Status::Exited) };
        let restarting = State { status: Status::Restarting, exit_code: Some(3), ..exited.clone() };
        let unknown = State { status: Status::Exited, exit_code: Some(1), ..State::default() };
        for (state, word, text) in [
            (state(Status::Created), "created", "Created"),
            (state(Status::Running), "running", "Up 3 minutes"),
            (state(Status::Paused), "paused", "Up 3 minutes (Paused)"),
            (exited, "exited", "Exited (137) 2 hours ago"),
            (unknown, "exited", "Exited (1)"),
            (restarting, "restarting", "Restarting (3) 2 hours ago"),
            (state(Status::Mounted), "mounted", "Mounted"),
        ] {
            let life = Life::of(state);
            assert_eq!((life.word, life.describe(now).as_str()), (word, text));
            assert!(WORDS.contains(&life.word));
        }
    }
}
