//! `--filter KEY=VALUE` of lists and of `prune`.

use std::collections::BTreeMap;
use std::str::FromStr;

use anyhow::{Context, Result, bail};
use regex_lite::Regex;

use crate::container::log::{MomentError, moment};
use crate::image::Instant;

/// One `--filter`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Filter {
    key: String,
    value: String,
}

/// The text has no `=`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a filter is KEY=VALUE")]
pub(super) struct NoFilter;

impl FromStr for Filter {
    type Err = NoFilter;

    fn from_str(text: &str) -> Result<Filter, NoFilter> {
        let (key, value) = text.split_once('=').ok_or(NoFilter)?;
        Ok(Filter { key: key.trim().to_lowercase(), value: value.trim().into() })
    }
}

/// All filters of a command line.
#[derive(Clone, Debug, Default)]
pub(super) struct Filters {
    values: BTreeMap<String, Vec<String>>,
}

impl Filters {
    /// # Errors
    /// A filter is not one of `known`.
    pub(super) fn new(filters: &[Filter], known: &[&str]) -> Result<Filters> {
        let mut values: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for Filter { key, value } in filters {
            if !known.contains(&key.as_str()) {
                bail!("there is no filter {key:?} here: there are {}", known.join(", "));
            }
            values.entry(key.clone()).or_default().push(value.clone());
        }
        Ok(Filters { values })
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.values.contains_key(key)
    }

    pub(super) fn values(&self, key: &str) -> &[String] {
        self.values.get(key).map_or(&[], Vec::as_slice)
    }

    /// Whether one of the values for `key` fits, or none was given.
    pub(super) fn any(&self, key: &str, fits: impl FnMut(&String) -> bool) -> bool {
        let values = self.values(key);
        values.is_empty() || values.iter().any(fits)
    }

    /// Whether `text` matches one of the regular expressions for `key`.
    ///
    /// # Errors
    /// One of them is malformed.
    pub(super) fn matches(&self, key: &str, text: &str) -> Result<bool> {
        let values = self.values(key);
        let mut fits = values.is_empty();
        for value in values {
            fits |= Regex::new(value).with_context(|| format!("filter {key}={value}"))?.is_match(text);
        }
        Ok(fits)
    }

    /// Whether `labels` has every `label=NAME` and `label=NAME=VALUE`, and no `label!=…`.
    pub(super) fn label(&self, labels: &BTreeMap<String, String>) -> bool {
        let has = |wanted: &String| match wanted.split_once('=') {
            Some((name, value)) => labels.get(name).is_some_and(|found| found == value),
            None => labels.contains_key(wanted),
        };
        self.values("label").iter().all(has) && !self.values("label!").iter().any(has)
    }

    /// The earliest time that `until=` names.
    ///
    /// # Errors
    /// It is no time.
    pub(super) fn until(&self, now: Instant) -> Result<Option<Instant>> {
        let times = self.values("until").iter().map(|text| time(text, now).context("filter until"));
        Ok(times.collect::<Result<Vec<_>>>()?.into_iter().min())
    }

    /// Whether `key=` is true or not given.
    ///
    /// # Errors
    /// Its value is no truth value.
    pub(super) fn truth(&self, key: &str) -> Result<Option<bool>> {
        let Some(value) = self.values(key).last() else { return Ok(None) };
        match value.as_str() {
            "true" | "1" | "t" | "T" | "TRUE" | "True" => Ok(Some(true)),
            "false" | "0" | "f" | "F" | "FALSE" | "False" => Ok(Some(false)),
            _ => bail!("filter {key}={value}: expected true or false"),
        }
    }
}

/// A time as `logs` takes it, or a date with parts of a time.
fn time(text: &str, now: Instant) -> Result<Instant, MomentError> {
    let zone = if text.ends_with(['Z', 'z']) { "" } else { "Z" };
    let ends = [zone, &format!(":00{zone}"), &format!(":00:00{zone}"), &format!("T00:00:00{zone}")];
    let completed = || ends.into_iter().find_map(|end| format!("{text}{end}").parse().ok());
    moment(text, now).or_else(|error| completed().ok_or(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filters(texts: &[&str]) -> Filters {
        let filters: Vec<Filter> = texts.iter().map(|text| text.parse().unwrap()).collect();
        Filters::new(&filters, &["label", "label!", "name", "until", "dangling"]).unwrap()
    }

    #[test]
    fn a_filter_needs_a_known_key_and_a_value() {
        assert_eq!("name".parse::<Filter>(), Err(NoFilter));
        let unknown = Filters::new(&["nmae=x".parse().unwrap()], &["id", "name"]).unwrap_err();
        assert_eq!(unknown.to_string(), "there is no filter \"nmae\" here: there are id, name");
    }

    #[test]
    fn one_value_of_a_key_is_enough_but_all_labels_are_needed() {
        let names = filters(&["name=^web$", "name=db"]);
        for (name, fits) in [("web", true), ("web2", false), ("mydb", true), ("x", false)] {
            assert_eq!(names.matches("name", name).unwrap(), fits, "{name}");
        }
        assert!(filters(&["name=("]).matches("name", "x").is_err());
        let labels = [("a".to_owned(), "1".to_owned()), ("b".to_owned(), "x=y".to_owned())].into();
        for (given, fits) in [
            (&["label=a"][..], true),
            (&["label=a=1", "label=b=x=y"], true),
            (&["label=a=2"], false),
            (&["label=a", "label=c"], false),
            (&["label!=a"], false),
            (&["label!=c"], true),
        ] {
            assert_eq!(filters(given).label(&labels), fits, "{given:?}");
        }
    }

    #[test]
    fn a_time_is_a_duration_or_a_date() {
        let now: Instant = "2024-01-02T00:00:00Z".parse().unwrap();
        for (text, expected) in [
            ("24h", Some("2024-01-01T00:00:00Z")),
            ("1h30m", Some("2024-01-01T22:30:00Z")),
            ("0s", Some("2024-01-02T00:00:00Z")),
            ("1704067200", Some("2024-01-01T00:00:00Z")),
            ("2024-01-01", Some("2024-01-01T00:00:00Z")),
            ("2024-01-01T10:20", Some("2024-01-01T10:20:00Z")),
            ("2024-01-01T10:20:30", Some("2024-01-01T10:20:30Z")),
            ("2024-01-01T10:20:30+01:00", Some("2024-01-01T09:20:30Z")),
            ("", None),
            ("h", None),
            ("10x", None),
            ("tomorrow", None),
            ("99999999999999h", None),
        ] {
            assert_eq!(time(text, now).ok(), expected.map(|text| text.parse().unwrap()), "{text}");
        }
    }
}
