//! Go templates, as docker and podman take them with `--format`: `{{.Name}}`, `{{json .}}`, `{{range .Mounts}}…{{end}}`.
//!
//! ```text
//!   text ──lex──► texts and tokens ──parse──► nodes ──render (with JSON data)──► text
//! ```
//!
//! Pure: reads JSON values, gives text. Has the language of Go's `text/template` without `define`, `template` and `block`,
//! its functions, and those that docker adds (`json`, `join`, `split`, `upper`, `lower`, `title`, `pad`, `truncate`).
//!
//! Go looks at types, and JSON has few of them. An object whose keys all begin with a capital is taken for a struct: a
//! field that it lacks is an error, as in docker. Any other object is a map, in which a missing key is `<no value>`.

mod functions;
mod lex;
mod parse;
mod printf;
mod render;
mod show;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde_json::Value;

use parse::Node;

/// A parsed template.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Template {
    nodes: Vec<Node>,
}

/// Why a template cannot be parsed, or not be used for these data.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("template, column {column}: {what}")]
pub(super) struct TemplateError {
    /// In characters, counted from 1.
    column: usize,
    what: String,
}

/// What a template is rendered with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Data<'a> {
    /// What `.` and `$` are.
    pub(super) value: &'a Value,
    /// What `.Label "name"` reads, where the data are one row of a list.
    pub(super) labels: Option<&'a BTreeMap<String, String>>,
    /// Whether the values are titles of columns, which functions leave as they are.
    pub(super) titles: bool,
}

impl Template {
    /// # Errors
    /// With the place of the first mistake.
    pub(super) fn parse(text: &str) -> Result<Template, TemplateError> {
        parse::parse(text).map(|nodes| Template { nodes })
    }

    /// # Errors
    /// The data have no such field, or a function cannot be used for them.
    pub(super) fn render(&self, value: &Value) -> Result<String, TemplateError> {
        self.render_with(Data { value, labels: None, titles: false })
    }

    /// # Errors
    /// As [`Template::render`].
    pub(super) fn render_with(&self, data: Data<'_>) -> Result<String, TemplateError> {
        render::render(&self.nodes, data)
    }
}

/// Replaces `\t` and `\n` outside of `{{…}}` as docker does: shells pass them on as they are typed.
pub(super) fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(open) = rest.find("{{") {
        let close = rest[open..].find("}}").map_or(rest.len(), |close| open + close + 2);
        out += &rest[..open].replace("\\t", "\t").replace("\\n", "\n");
        out += &rest[open..close];
        rest = &rest[close..];
    }
    out + &rest.replace("\\t", "\t").replace("\\n", "\n")
}
