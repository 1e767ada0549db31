//! `--format`, and lists of rows in each format: docker's table, JSON lines, or a Go template.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::str::FromStr;

use anyhow::Result;
use serde_json::{Map, Value};

use super::output::{self, Table};
use super::template::{Data, Template, TemplateError, unescape};

/// The help of every `--format`.
pub(super) const HELP: &str = "`table`, `json`, `table TEMPLATE` with titles, or a Go template: '{{.ID}}: {{json .}}'";

/// How a list is printed.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Format {
    /// A table with the usual columns.
    Table,
    /// One JSON object on each line.
    Json,
    /// A table with the columns of a template.
    Columns(String),
    /// A template for each row.
    Template(String),
}

impl FromStr for Format {
    type Err = Infallible;

    /// The template is parsed when it is used, so that a mistake in it is no mistake in the command line, as in docker.
    fn from_str(text: &str) -> Result<Format, Infallible> {
        Ok(match text {
            "" | "table" => Format::Table,
            "json" => Format::Json,
            text => match text.strip_prefix("table") {
                Some(columns) if columns.starts_with([' ', '\\', '\t']) => {
                    let columns = columns.strip_prefix("\\t").unwrap_or(columns);
                    Format::Columns(unescape(columns.trim()))
                }
                _ => Format::Template(unescape(text)),
            },
        })
    }
}

/// The columns that a list can have.
#[derive(Debug)]
pub(super) struct Listing<'a> {
    /// Each field of a row and its title.
    pub(super) fields: &'a [(&'static str, &'static str)],
    /// The fields that the usual table shows.
    pub(super) shown: Vec<&'static str>,
}

/// One row of a list.
#[derive(Clone, Debug, Default)]
pub(super) struct Row {
    fields: Map<String, Value>,
    labels: BTreeMap<String, String>,
}

impl Row {
    pub(super) fn new<const N: usize>(fields: [(&'static str, String); N]) -> Row {
        let fields = fields.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
        Row { fields, labels: BTreeMap::new() }
    }

    /// Adds the field `Labels`, and each label for `.Label "name"`.
    pub(super) fn with_labels(mut self, labels: BTreeMap<String, String>) -> Row {
        let joined: Vec<_> = labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
        self.fields.insert("Labels".into(), joined.join(",").into());
        self.labels = labels;
        self
    }

    pub(super) fn cell(&self, field: &str) -> String {
        self.fields.get(field).and_then(Value::as_str).unwrap_or_default().to_owned()
    }
}

impl Listing<'_> {
    /// # Errors
    /// The template cannot be parsed or rendered; standard output cannot be written to.
    pub(super) fn print(&self, format: &Format, rows: Vec<Row>) -> Result<()> {
        output::print(&self.render(format, rows)?)
    }

    fn render(&self, format: &Format, rows: Vec<Row>) -> Result<String, TemplateError> {
        match format {
            Format::Json => Ok(rows.into_iter().map(|row| format!("{}\n", Value::Object(row.fields))).collect()),
            Format::Table => {
                let title = |field: &&str| self.fields.iter().find(|(name, _)| name == field).map_or("", |(_, of)| of);
                let mut table = Table::new(&self.shown.iter().map(title).collect::<Vec<_>>());
                for row in rows {
                    table.row(self.shown.iter().map(|field| row.cell(field)));
                }
                Ok(table.render())
            }
            Format::Template(text) => {
                let template = Template::parse(text)?;
                let line = |row: Row| line(&template, row).map(|line| format!("{line}\n"));
                rows.into_iter().map(line).collect()
            }
            Format::Columns(text) => {
                let template = Template::parse(text)?;
                let titles: Map<_, _> =
                    self.fields.iter().map(|(name, title)| ((*name).to_owned(), (*title).into())).collect();
                let data = Data { value: &titles.into(), labels: Some(&BTreeMap::new()), titles: true };
                let titles = template.render_with(data)?;
                let mut table = Table::new(&titles.split('\t').collect::<Vec<_>>());
                for row in rows {
                    let text = line(&template, row)?;
                    text.lines().for_each(|line| table.row(line.split('\t').map(ToOwned::to_owned)));
                }
                Ok(table.render())
            }
        }
    }
}

fn line(template: &Template, row: Row) -> Result<String, TemplateError> {
    template.render_with(Data { value: &Value::Object(row.fields), labels: Some(&row.labels), titles: false })
}

/// Renders one value, for commands that print one: `json` or a template.
///
/// # Errors
/// The template cannot be parsed or rendered.
pub(super) fn one(format: &str, value: &Value) -> Result<String, TemplateError> {
    match format {
        "json" => Ok(format!("{value}\n")),
        text => Ok(Template::parse(&unescape(text))?.render(value)? + "\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_printed_in_each_format() {
        let listing = Listing {
            fields: &[("ID", "CONTAINER ID"), ("Names", "NAMES"), ("Labels", "LABELS")],
            shown: vec!["ID", "Names"],
        };
        let row = |id: &str, name: &str| {
            let labels = [("com.example.the-team".to_owned(), "core".to_owned())].into();
            Row::new([("ID", id.into()), ("Names", name.into())]).with_labels(labels)
        };
        for (format, expected) in [
            ("table", "CONTAINER ID   NAMES\n1              a\n22             bb\n"),
            (
                "json",
                "{\"ID\":\"1\",\"Labels\":\"com.example.the-team=core\",\"Names\":\"a\"}\n{\"ID\":\"22\",\"Labels\":\"com.example.the-team=core\",\"Names\":\"bb\"}\n",
            ),
            ("{{.ID}}={{.Names}}", "1=a\n22=bb\n"),
            ("{{.ID}}\\t{{.Names}}", "1\ta\n22\tbb\n"),
            ("table {{.Names}}\\t{{.ID}}", "NAMES   CONTAINER ID\na       1\nbb      22\n"),
            ("table {{.Names | upper}}\\t{{lower .ID}}", "NAMES   CONTAINER ID\nA       1\nBB      22\n"),
            (
                "table {{.ID}}\\t{{.Label \"com.example.the-team\"}}",
                "CONTAINER ID   THE TEAM\n1              core\n22             core\n",
            ),
            ("{{.Label \"none\"}}|", "|\n|\n"),
        ] {
            let format: Format = format.parse().unwrap();
            assert_eq!(listing.render(&format, vec![row("1", "a"), row("22", "bb")]).as_deref(), Ok(expected));
        }
        let missing = listing.render(&"{{.Name}}".parse().unwrap(), vec![row("1", "a")]);
        assert_eq!(missing.unwrap_err().to_string(), "template, column 3: . has no field Name: did you mean .Names?");
        let none = listing.render(&"table {{.Foo}}".parse().unwrap(), vec![]);
        assert!(none.is_err(), "an unknown column is an error even without rows");
    }
}
