//! Renders nodes with data.

use serde_json::Value;

use super::lex::error;
use super::parse::{Node, Operand, Pipeline, Term};
use super::{Data, TemplateError, functions, show};

pub(super) fn render(nodes: &[Node], data: Data<'_>) -> Result<String, TemplateError> {
    let mut renderer = Renderer { data, variables: Vec::new(), out: String::new() };
    renderer.nodes(nodes, data.value)?;
    Ok(renderer.out)
}

struct Renderer<'a> {
    data: Data<'a>,
    variables: Vec<(String, Value)>,
    out: String,
}

/// Whether the loop around goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flow {
    On,
    Break,
    Continue,
}

impl Renderer<'_> {
    fn nodes(&mut self, nodes: &[Node], dot: &Value) -> Result<Flow, TemplateError> {
        for node in nodes {
            let flow = self.node(node, dot)?;
            if flow != Flow::On {
                return Ok(flow);
            }
        }
        Ok(Flow::On)
    }

    fn node(&mut self, node: &Node, dot: &Value) -> Result<Flow, TemplateError> {
        match node {
            Node::Text(text) => self.out += text,
            Node::Action(pipeline) => {
                let value = self.pipeline(pipeline, dot)?;
                self.bind(pipeline, vec![value.clone()]);
                if pipeline.variables.is_empty() {
                    self.out += &show::action(&value);
                }
            }
            Node::If(branches, otherwise) => return self.branches(branches, otherwise, dot, false),
            Node::With(branches, otherwise) => return self.branches(branches, otherwise, dot, true),
            Node::Range(over, body, otherwise) => return self.range(over, body, otherwise, dot),
            Node::Break => return Ok(Flow::Break),
            Node::Continue => return Ok(Flow::Continue),
        }
        Ok(Flow::On)
    }

    /// The first branch whose condition is true. `with` makes the condition the dot of its branch.
    fn branches(
        &mut self,
        branches: &[(Pipeline, Vec<Node>)],
        otherwise: &[Node],
        dot: &Value,
        with: bool,
    ) -> Result<Flow, TemplateError> {
        let outer = self.variables.len();
        let mut chosen = (otherwise, dot.clone());
        for (condition, body) in branches {
            let value = self.pipeline(condition, dot)?;
            self.bind(condition, vec![value.clone()]);
            if show::is_true(&value) {
                chosen = (body, if with { value } else { dot.clone() });
                break;
            }
        }
        let flow = self.nodes(chosen.0, &chosen.1);
        self.variables.truncate(outer);
        flow
    }

    fn range(
        &mut self,
        over: &Pipeline,
        body: &[Node],
        otherwise: &[Node],
        dot: &Value,
    ) -> Result<Flow, TemplateError> {
        let outer = self.variables.len();
        let elements: Vec<(Value, Value)> = match self.pipeline(over, dot)? {
            Value::Array(elements) => elements.into_iter().enumerate().map(|(n, value)| (n.into(), value)).collect(),
            Value::Object(map) => map.into_iter().map(|(key, value)| (key.into(), value)).collect(),
            Value::Number(count) if count.is_u64() => {
                const MOST: u64 = 1_000_000;
                let count = count.as_u64().unwrap_or(0);
                if count > MOST {
                    return Err(error(over.at, format!("range cannot count further than {MOST}")));
                }
                (0..count).map(|n| (n.into(), n.into())).collect()
            }
            Value::Null => Vec::new(),
            other => return Err(error(over.at, format!("range cannot go over {}", show::kind(&other)))),
        };
        if elements.is_empty() {
            let flow = self.nodes(otherwise, dot);
            self.variables.truncate(outer);
            return flow;
        }
        for (key, value) in elements {
            let bound = if over.variables.len() == 2 { vec![key, value.clone()] } else { vec![value.clone()] };
            self.bind(over, bound);
            let flow = self.nodes(body, &value)?;
            if !over.assigns {
                self.variables.truncate(outer);
            }
            if flow == Flow::Break {
                break;
            }
        }
        self.variables.truncate(outer);
        Ok(Flow::On)
    }

    /// Gives `values` to the variables that the pipeline declares or assigns.
    fn bind(&mut self, pipeline: &Pipeline, values: Vec<Value>) {
        for (name, value) in pipeline.variables.iter().zip(values) {
            let known = self.variables.iter_mut().rev().find(|(known, _)| known == name);
            match known.filter(|_| pipeline.assigns) {
                Some((_, old)) => *old = value,
                None => self.variables.push((name.clone(), value)),
            }
        }
    }

    fn pipeline(&mut self, pipeline: &Pipeline, dot: &Value) -> Result<Value, TemplateError> {
        let mut last = None;
        for command in &pipeline.commands {
            last = Some(self.command(command, dot, last)?);
        }
        Ok(last.unwrap_or(Value::Null))
    }

    fn command(&mut self, command: &[Operand], dot: &Value, last: Option<Value>) -> Result<Value, TemplateError> {
        let Some((first, rest)) = command.split_first() else { return Ok(Value::Null) };
        let Term::Function(name) = &first.term else {
            let label = first.term == Term::Dot && first.fields == ["Label"];
            if let Some(labels) = self.data.labels.filter(|_| label) {
                let name = match (rest, last) {
                    ([name], None) => self.operand(name, dot)?,
                    ([], Some(name)) => name,
                    _ => return Err(error(first.at, "Label takes the name of one label")),
                };
                let name = name.as_str().unwrap_or_default();
                let title = || name.rsplit('.').next().unwrap_or(name).replace(['-', '_'], " ").to_uppercase();
                let value = if self.data.titles { title() } else { labels.get(name).cloned().unwrap_or_default() };
                return Ok(value.into());
            }
            if let Some(extra) = rest.first() {
                return Err(error(extra.at, "a value takes no arguments: a function is expected before it"));
            }
            return self.operand(first, dot);
        };
        if name == "and" || name == "or" {
            return self.choose(name == "and", first.at, rest, dot, last);
        }
        let mut args = rest.iter().map(|operand| self.operand(operand, dot)).collect::<Result<Vec<_>, _>>()?;
        args.extend(last);
        if self.data.titles && functions::keeps_titles(name) {
            let title = args.into_iter().find(Value::is_string);
            return Ok(title.unwrap_or_default());
        }
        let value = functions::call(name, &args).map_err(|what| error(first.at, format!("{name}: {what}")))?;
        fields_of(&value, &first.fields).cloned_or(first.at)
    }

    /// `and` and `or` stop at the first argument that decides.
    fn choose(
        &mut self,
        and: bool,
        at: usize,
        operands: &[Operand],
        dot: &Value,
        last: Option<Value>,
    ) -> Result<Value, TemplateError> {
        let mut value = None;
        for operand in operands {
            let found = self.operand(operand, dot)?;
            let decides = show::is_true(&found) != and;
            value = Some(found);
            if decides {
                return Ok(value.unwrap_or_default());
            }
        }
        let name = if and { "and" } else { "or" };
        last.or(value).ok_or_else(|| error(at, format!("{name} needs an argument")))
    }

    fn operand(&mut self, operand: &Operand, dot: &Value) -> Result<Value, TemplateError> {
        let fields = &operand.fields;
        match &operand.term {
            Term::Dot => fields_of(dot, fields).cloned_or(operand.at),
            Term::Variable(name) if name.is_empty() => fields_of(self.data.value, fields).cloned_or(operand.at),
            Term::Variable(name) => match self.variables.iter().rev().find(|(known, _)| known == name) {
                Some((_, value)) => fields_of(value, fields).cloned_or(operand.at),
                None => Err(error(operand.at, format!("there is no variable ${name}"))),
            },
            Term::Literal(value) => fields_of(value, fields).cloned_or(operand.at),
            Term::Group(pipeline) => {
                let value = self.pipeline(pipeline, dot)?;
                fields_of(&value, fields).cloned_or(operand.at)
            }
            Term::Function(_) => self.command(std::slice::from_ref(operand), dot, None),
        }
    }
}

/// A field, a missing key of a map, or why there is none.
type Found<'a> = Result<Option<&'a Value>, String>;

trait ClonedOr {
    fn cloned_or(self, at: usize) -> Result<Value, TemplateError>;
}

impl ClonedOr for Found<'_> {
    fn cloned_or(self, at: usize) -> Result<Value, TemplateError> {
        self.map(|found| found.cloned().unwrap_or_default()).map_err(|what| error(at, what))
    }
}

/// The field of a field of `value`.
fn fields_of<'a>(value: &'a Value, fields: &[String]) -> Found<'a> {
    let mut value = Some(value);
    let mut path = String::new();
    for name in fields {
        let of = if path.is_empty() { "." } else { &path };
        value = match value {
            Some(Value::Object(map)) => match map.get(name) {
                Some(found) => Some(found),
                None if is_struct(map) => {
                    let meant = crate::cli::usage::nearest(name, map.keys().map(String::as_str));
                    let tip = meant.map(|name| format!(": did you mean .{name}?")).unwrap_or_default();
                    return Err(format!("{of} has no field {name}{tip}"));
                }
                None => None,
            },
            None | Some(Value::Null) => return Err(format!("{of} is nothing, so it has no field {name}")),
            Some(other) => return Err(format!("{of} is {}, so it has no field {name}", show::kind(other))),
        };
        path += &format!(".{name}");
    }
    Ok(value)
}

/// Whether an object stands for a Go struct. See the module's head.
fn is_struct(map: &serde_json::Map<String, Value>) -> bool {
    !map.is_empty() && map.keys().all(|key| key.starts_with(|c: char| c.is_ascii_uppercase()))
}
