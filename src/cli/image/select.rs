//! Which images a command is about: the filters of `images` and `image prune`.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use regex_lite::Regex;

use crate::cli::filter::{Filter, Filters};
use crate::image::{Instant, Reference};
use crate::store::{Image, Store};

const KNOWN: &[&str] = &["dangling", "reference", "label", "label!", "before", "since", "until"];

/// Filters, with what they name looked up.
#[derive(Debug)]
pub(super) struct Selection {
    filters: Filters,
    /// Patterns for names; one of them must fit.
    names: Vec<Regex>,
    dangling: Option<bool>,
    before: Option<Instant>,
    since: Option<Instant>,
}

impl Selection {
    /// # Errors
    /// A filter is unknown or malformed, or names an image that does not exist.
    pub(super) fn new(store: &Store, filters: &[Filter], name: Option<&str>) -> Result<Selection> {
        let filters = Filters::new(filters, KNOWN)?;
        let patterns = filters.values("reference").iter().map(String::as_str).chain(name);
        let names = patterns.map(|pattern| glob(pattern).with_context(|| format!("pattern {pattern}")));
        let names = names.collect::<Result<_>>()?;
        let created = |image: &String| anyhow::Ok(store.image(image)?.created().unwrap_or(Instant::EPOCH));
        let times = |key: &str| filters.values(key).iter().map(created).collect::<Result<Vec<_>>>();
        let before = times("before")?.into_iter().chain(filters.until(Instant::now())?).min();
        let since = times("since")?.into_iter().max();
        let dangling = filters.truth("dangling")?;
        Ok(Selection { filters, names, dangling, before, since })
    }

    /// The names of the image that fit.
    pub(super) fn names<'a>(&self, image: &'a Image) -> Vec<&'a Reference> {
        let fits = |name: &&Reference| {
            let (whole, repository) = (name.to_string(), name.familiar_name());
            // As when an image is looked up: podman's own images are in `localhost`.
            let texts = [&whole, &repository]
                .into_iter()
                .flat_map(|text| [Some(text.as_str()), text.strip_prefix("localhost/")]);
            texts.flatten().any(|text| self.names.iter().any(|pattern| pattern.is_match(text)))
        };
        image.names.iter().filter(|name| self.names.is_empty() || fits(name)).collect()
    }

    /// Whether the image fits all filters but those about its names.
    pub(super) fn fits(&self, image: &Image) -> bool {
        let created = image.created().unwrap_or(Instant::EPOCH);
        let is_dangling = image.names.is_empty() && !image.is_intermediate();
        self.dangling.is_none_or(|wanted| wanted == is_dangling)
            && (self.names.is_empty() || !is_dangling)
            && self.before.is_none_or(|before| created < before)
            && self.since.is_none_or(|since| created > since)
            && self.filters.label(&labels(image))
    }

    /// For `prune`, which knows fewer filters.
    ///
    /// # Errors
    /// A filter is unknown or malformed.
    pub(super) fn for_prune(filters: &[Filter]) -> Result<Selection> {
        let filters = Filters::new(filters, &["until", "label", "label!", "dangling"])?;
        let dangling = filters.truth("dangling")?;
        let before = filters.until(Instant::now())?;
        Ok(Selection {
            filters,
            names: Vec::new(),
            dangling: dangling.filter(|dangling| *dangling),
            before,
            since: None,
        })
    }

    /// Whether `dangling=false` was given to `prune`.
    pub(super) fn means_named(&self) -> bool {
        self.dangling.is_none() && self.filters.has("dangling")
    }
}

/// The labels of an image's configuration.
pub(in crate::cli) fn labels(image: &Image) -> BTreeMap<String, String> {
    let labels = image.config.config().as_ref().and_then(|config| config.labels().clone());
    labels.unwrap_or_default().into_iter().collect()
}

/// A pattern in which `*` is any text without a slash, `?` any character but a slash, and `[…]` one of several.
fn glob(pattern: &str) -> Result<Regex, regex_lite::Error> {
    let mut regex = String::from("^");
    for c in pattern.chars() {
        match c {
            '*' => regex += "[^/]*",
            '?' => regex += "[^/]",
            '[' | ']' => regex.push(c),
            c if c.is_ascii_punctuation() && c != '-' => regex.extend(['\\', c]),
            c => regex.push(c),
        }
    }
    Regex::new(&(regex + "$"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_fits_whole_names() {
        for (pattern, name, fits) in [
            ("app", "app", true),
            ("app", "my-app", false),
            ("a*", "app:v1", true),
            ("*:v?", "app:v1", true),
            ("*", "team/app", false),
            ("*/app", "team/app", true),
            ("host.example/*", "hostxexample/app", false),
            ("app:v[12]", "app:v2", true),
            ("app:v[1-3]", "app:v2", true),
        ] {
            assert_eq!(glob(pattern).unwrap().is_match(name), fits, "{pattern} {name}");
        }
        assert!(glob("[").is_err());
    }
}
