//! The history of an image: which build step made which layer.

use oci_spec::image as oci;

/// One build step, and the layer that it made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step<'a> {
    /// `None` for a layer that the history does not mention.
    pub entry: Option<&'a oci::History>,
    /// The layer's number, counted from 0 at the bottom; `None` for a step that changed no file.
    pub layer: Option<usize>,
}

/// The steps of `config`, which has `layers` layers, newest first.
///
/// When the history has too few entries, the topmost layers have none; when it has too many, its last steps have no
/// layer.
pub fn steps(config: &oci::ImageConfiguration, layers: usize) -> Vec<Step<'_>> {
    let mut next = 0..layers;
    let told = config.history().iter().flatten();
    let mut steps: Vec<_> = told
        .map(|entry| {
            let layer = if entry.empty_layer() == Some(true) { None } else { next.next() };
            Step { entry: Some(entry), layer }
        })
        .collect();
    steps.extend(next.map(|layer| Step { entry: None, layer: Some(layer) }));
    steps.reverse();
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_take_layers_from_the_bottom() {
        let config: oci::ImageConfiguration = serde_json::from_str(
            r#"{"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": []},
                "history": [{"created_by": "ADD"}, {"created_by": "ENV", "empty_layer": true}, {"created_by": "RUN"}]}"#,
        )
        .unwrap();
        let told = |layers| -> Vec<_> {
            let by = |entry: &oci::History| entry.created_by().clone().unwrap_or_default();
            steps(&config, layers).into_iter().map(|s| (s.entry.map(by).unwrap_or_default(), s.layer)).collect()
        };
        let row = |by: &str, layer| (by.to_owned(), layer);
        assert_eq!(told(2), [row("RUN", Some(1)), row("ENV", None), row("ADD", Some(0))]);
        assert_eq!(told(1), [row("RUN", None), row("ENV", None), row("ADD", Some(0))]);
        assert_eq!(told(3), [row("", Some(2)), row("RUN", Some(1)), row("ENV", None), row("ADD", Some(0))]);
    }
}
