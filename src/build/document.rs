//! The configuration of an image in the making, as a JSON document: fields that this crate does not know are kept.

use serde_json::{Map, Value, json};

use crate::image::{Digest, Instant, Platform};

/// The configuration of an image in the making.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Document(Map<String, Value>);

impl Document {
    /// That of an image without layers.
    pub(super) fn scratch(platform: &Platform) -> Document {
        let mut document = Map::new();
        document.insert("architecture".into(), json!(platform.architecture));
        document.insert("os".into(), json!(platform.os));
        if let Some(variant) = &platform.variant {
            document.insert("variant".into(), json!(variant));
        }
        document.insert("config".into(), json!({}));
        document.insert("rootfs".into(), json!({ "type": "layers", "diff_ids": [] }));
        document.insert("history".into(), json!([]));
        Document(document)
    }

    /// That of an image of the store; `None` if it is no object.
    pub(super) fn parse(json: &[u8]) -> Option<Document> {
        serde_json::from_slice(json).ok().map(Document)
    }

    pub(super) fn to_json(&self) -> Vec<u8> {
        Value::Object(self.0.clone()).to_string().into_bytes()
    }

    /// The part that tells how to run the image.
    pub(super) fn config(&self) -> Value {
        self.0.get("config").filter(|config| config.is_object()).cloned().unwrap_or_else(|| json!({}))
    }

    fn config_mut(&mut self) -> &mut Map<String, Value> {
        let config = self.0.entry("config").or_insert_with(|| json!({}));
        if !config.is_object() {
            *config = json!({});
        }
        match config {
            Value::Object(map) => map,
            // It was made an object above.
            _ => unreachable!("the configuration is an object"),
        }
    }

    /// The texts in a list of the configuration.
    pub(super) fn list(&self, key: &str) -> Vec<String> {
        let list = self.0.get("config").and_then(|config| config.get(key)).and_then(Value::as_array);
        list.into_iter().flatten().filter_map(|text| text.as_str().map(str::to_owned)).collect()
    }

    pub(super) fn text(&self, key: &str) -> String {
        let text = self.0.get("config").and_then(|config| config.get(key)).and_then(Value::as_str);
        text.unwrap_or_default().to_owned()
    }

    pub(super) fn set(&mut self, key: &str, value: Value) {
        self.config_mut().insert(key.into(), value);
    }

    pub(super) fn remove(&mut self, key: &str) {
        self.config_mut().remove(key);
    }

    /// Adds keys to one of the objects of the configuration.
    pub(super) fn extend(&mut self, key: &str, pairs: impl IntoIterator<Item = (String, Value)>) {
        let entry = self.config_mut().entry(key).or_insert_with(|| json!({}));
        if !entry.is_object() {
            *entry = json!({});
        }
        if let Value::Object(map) = entry {
            map.extend(pairs);
        }
    }

    /// The value of a variable of the image's environment.
    pub(super) fn variable(&self, name: &str) -> Option<String> {
        let env = self.list("Env");
        env.iter().find_map(|entry| Some(entry.strip_prefix(name)?.strip_prefix('=')?.to_owned()))
    }

    pub(super) fn set_variable(&mut self, name: &str, value: &str) {
        let mut env = self.list("Env");
        let entry = format!("{name}={value}");
        let same = |old: &&mut String| old.split_once('=').map_or(old.as_str(), |(old, _)| old) == name;
        match env.iter_mut().find(same) {
            Some(old) => *old = entry,
            None => env.push(entry),
        }
        self.set("Env", json!(env));
    }

    pub(super) fn set_author(&mut self, author: &str) {
        self.0.insert("author".into(), json!(author));
    }

    /// Adds an entry to the history, and the layer that the step made.
    pub(super) fn add_step(&mut self, created_by: &str, at: Instant, diff_id: Option<Digest>) {
        let mut entry = json!({ "created": at.to_string(), "created_by": created_by });
        match diff_id {
            None => entry["empty_layer"] = json!(true),
            Some(diff_id) => {
                let rootfs = self.0.entry("rootfs").or_insert_with(|| json!({ "type": "layers" }));
                push(rootfs, "diff_ids", json!(diff_id.to_string()));
            }
        }
        self.0.insert("created".into(), json!(at.to_string()));
        match self.0.entry("history").or_insert_with(|| json!([])) {
            Value::Array(history) => history.push(entry),
            other => *other = json!([entry]),
        }
    }

    /// The document without the times at which its parts were made.
    pub(super) fn without_times(&self) -> Document {
        let mut document = self.clone();
        document.0.remove("created");
        if let Some(history) = document.0.get_mut("history").and_then(Value::as_array_mut) {
            history.iter_mut().filter_map(Value::as_object_mut).for_each(|entry| drop(entry.remove("created")));
        }
        document
    }

    /// What the result of a step depends on besides the step itself: the layers and how programs run, but no times.
    pub(super) fn basis(&self) -> Value {
        let config = self.config();
        let parts = ["Env", "User", "WorkingDir", "Shell"].map(|key| config.get(key).cloned().unwrap_or_default());
        json!([self.0.get("rootfs"), self.0.get("architecture"), self.0.get("os"), parts])
    }
}

fn push(object: &mut Value, key: &str, value: Value) {
    match object.get_mut(key) {
        Some(Value::Array(list)) => list.push(value),
        _ => object[key] = json!([value]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_unknown_is_kept() {
        let json = br#"{"architecture":"amd64","config":{"Env":["A=1","B"],"X":1},"history":[],"os":"linux",
            "rootfs":{"diff_ids":[],"type":"layers"},"y":2}"#;
        let mut document = Document::parse(json).unwrap();
        document.set_variable("A", "2");
        document.set_variable("B", "3");
        document.set_variable("C", "");
        document.add_step("RUN x", Instant::EPOCH, Some(Digest::ZERO));
        document.add_step("ENV", Instant::EPOCH, None);
        let value: Value = serde_json::from_slice(&document.to_json()).unwrap();
        assert_eq!(value["config"], json!({ "Env": ["A=2", "B=3", "C="], "X": 1 }));
        assert_eq!(value["rootfs"]["diff_ids"], json!([Digest::ZERO.to_string()]));
        assert_eq!(value["history"][1]["empty_layer"], json!(true));
        assert_eq!((&value["y"], &value["created"]), (&json!(2), &json!("1970-01-01T00:00:00Z")));
        assert_eq!((document.variable("A").as_deref(), document.variable("D")), (Some("2"), None));
    }
}
