//! Which containers a command is about: the filters of `ps` and `container prune`.

use anyhow::{Result, bail};

use super::seen::{Images, Seen, WORDS};
use crate::cli::filter::{Filter, Filters};
use crate::container::Mount;
use crate::image::{Digest, Instant};
use crate::store::Store;

const KNOWN: &[&str] = &[
    "id", "name", "label", "label!", "exited", "status", "ancestor", "before", "since", "until", "volume", "network",
    "health",
];

/// Filters, with what they name looked up.
#[derive(Debug)]
pub(super) struct Selection {
    filters: Filters,
    /// The layers of the images that `ancestor` names.
    ancestors: Vec<Vec<Digest>>,
    before: Option<Instant>,
    since: Option<Instant>,
}

impl Selection {
    /// # Errors
    /// A filter is unknown or malformed, or names what does not exist.
    pub(super) fn new(store: &Store, filters: &[Filter]) -> Result<Selection> {
        let filters = Filters::new(filters, KNOWN)?;
        for status in filters.values("status") {
            // Docker has these two too; no container is ever in them here.
            if !WORDS.contains(&status.as_str()) && !["removing", "dead"].contains(&status.as_str()) {
                bail!("filter status={status}: expected {}", WORDS.join(", "));
            }
        }
        for code in filters.values("exited") {
            if code.parse::<i32>().is_err() {
                bail!("filter exited={code}: expected an exit code");
            }
        }
        for health in filters.values("health") {
            if !["starting", "healthy", "unhealthy", "none"].contains(&health.as_str()) {
                bail!("filter health={health}: expected starting, healthy, unhealthy or none");
            }
        }
        // An unknown image is no error, as in docker: nothing descends from it.
        let ancestors = filters.values("ancestor").iter().filter_map(|name| store.image(name).ok());
        let ancestors = ancestors.map(|image| image.layers).collect();
        let created = |name: &String| anyhow::Ok(store.container(name)?.created);
        let times = |key: &str| filters.values(key).iter().map(created).collect::<Result<Vec<_>>>();
        let before = times("before")?.into_iter().chain(filters.until(Instant::now())?).min();
        let since = times("since")?.into_iter().max();
        Ok(Selection { filters, ancestors, before, since })
    }

    /// For `prune`, which knows fewer filters.
    ///
    /// # Errors
    /// A filter is unknown or malformed.
    pub(super) fn for_prune(filters: &[Filter]) -> Result<Selection> {
        let filters = Filters::new(filters, &["until", "label", "label!"])?;
        let before = filters.until(Instant::now())?;
        Ok(Selection { filters, ancestors: Vec::new(), before, since: None })
    }

    /// Whether a filter asks for containers that do not run, so that `ps` shows them without `--all`.
    pub(super) fn means_all(&self) -> bool {
        self.filters.has("status") || self.filters.has("exited")
    }

    /// # Errors
    /// A filter is a malformed regular expression.
    pub(super) fn fits(&self, seen: &Seen, images: &Images) -> Result<bool> {
        let Seen { container, settings, life, labels } = seen;
        let filters = &self.filters;
        let layers = images.get(&container.image).map_or(&[][..], |image| &image.layers);
        let descends = |ancestor: &Vec<Digest>| layers.starts_with(ancestor);
        let mounts = |wanted: &String| {
            let is = |mount: &Mount| {
                mount.source_name().as_ref() == Some(wanted) || mount.target.as_os_str() == wanted.as_str()
            };
            settings.mounts.list.iter().any(is)
        };
        let exit_code = life.exit_code.filter(|_| !life.in_use).map(|code| code.to_string());
        Ok(filters.matches("name", &container.name)?
            && filters.any("id", |id| container.id.starts_with(id.as_str()))
            && filters.label(labels)
            && filters.any("status", |status| status == life.word)
            && filters.any("exited", |code| exit_code.as_ref() == Some(code))
            && (!filters.has("ancestor") || self.ancestors.iter().any(descends))
            && self.before.is_none_or(|before| container.created < before)
            && self.since.is_none_or(|since| container.created > since)
            && filters.any("volume", mounts)
            && filters.any("network", |network| *network == super::inspect::network_mode(settings))
            && filters.any("health", |health| health == "none"))
    }
}
