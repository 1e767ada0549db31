//! What `volume inspect` shows of a volume.

use std::collections::BTreeMap;

use serde::Serialize;

use super::labels;
use crate::image::Instant;
use crate::store::Volume;

/// Docker's fields, in docker's order.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(in crate::cli) struct Facts {
    created_at: Instant,
    driver: &'static str,
    labels: BTreeMap<String, String>,
    mountpoint: String,
    name: String,
    options: BTreeMap<String, String>,
    scope: &'static str,
}

pub(in crate::cli) fn facts(volume: &Volume) -> Facts {
    Facts {
        created_at: volume.created,
        driver: "local",
        labels: labels(volume),
        mountpoint: volume.data().display().to_string(),
        name: volume.name.clone(),
        options: BTreeMap::new(),
        scope: "local",
    }
}
