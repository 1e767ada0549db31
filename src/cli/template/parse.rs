//! Makes nodes of tokens.

use std::iter::Peekable;
use std::vec::IntoIter;

use serde_json::{Value, json};

use super::TemplateError;
use super::functions;
use super::lex::{Kind, Token, error, tokens};

/// One part of a template.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Node {
    Text(String),
    /// `{{pipeline}}`.
    Action(Pipeline),
    /// `{{if}}` with its `{{else if}}`s.
    If(Vec<(Pipeline, Vec<Node>)>, Vec<Node>),
    /// `{{with}}` with its `{{else with}}`s.
    With(Vec<(Pipeline, Vec<Node>)>, Vec<Node>),
    Range(Pipeline, Vec<Node>, Vec<Node>),
    Break,
    Continue,
}

/// Commands, each of which gets the result of the one before as its last argument.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Pipeline {
    pub(super) at: usize,
    /// The variables that get the result.
    pub(super) variables: Vec<String>,
    /// Whether the variables exist already.
    pub(super) assigns: bool,
    pub(super) commands: Vec<Vec<Operand>>,
}

/// A term, then fields of it: `$x.Config.Env`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Operand {
    pub(super) at: usize,
    pub(super) term: Term,
    pub(super) fields: Vec<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Term {
    Dot,
    /// `$` has an empty name.
    Variable(String),
    Literal(Value),
    Function(String),
    Group(Box<Pipeline>),
}

/// How deep blocks and parentheses may nest.
const DEPTH_MAX: usize = 64;

pub(super) fn parse(text: &str) -> Result<Vec<Node>, TemplateError> {
    let end = text.chars().count();
    let mut parser = Parser { tokens: tokens(text)?.into_iter().peekable(), end, depth: 0, loops: 0, known: vec![] };
    let (nodes, stop) = parser.nodes()?;
    match stop {
        None => Ok(nodes),
        Some(stop) => Err(error(stop.at, format!("this {} belongs to no if, range or with", stop.word))),
    }
}

struct Parser {
    tokens: Peekable<IntoIter<Token>>,
    /// The place after the last token.
    end: usize,
    depth: usize,
    /// How many `range`s are around.
    loops: usize,
    /// The variables that can be used here.
    known: Vec<String>,
}

/// The `{{else` or `{{end}}` that ends a list of nodes.
struct Stop {
    at: usize,
    word: String,
}

impl Parser {
    /// Nodes up to `{{else` or `{{end}}`, whose word has been taken, or up to the end.
    fn nodes(&mut self) -> Result<(Vec<Node>, Option<Stop>), TemplateError> {
        let mut nodes = Vec::new();
        while let Some(token) = self.tokens.next() {
            match token.kind {
                Kind::Text(text) => nodes.push(Node::Text(text)),
                _ => {
                    let word = match self.tokens.peek() {
                        Some(Token { kind: Kind::Word(word), .. }) => word.clone(),
                        _ => String::new(),
                    };
                    if word == "else" || word == "end" {
                        self.tokens.next();
                        return Ok((nodes, Some(Stop { at: token.at, word })));
                    }
                    nodes.push(self.action(token.at, &word)?);
                }
            }
        }
        Ok((nodes, None))
    }

    fn action(&mut self, at: usize, word: &str) -> Result<Node, TemplateError> {
        if !matches!(word, "if" | "with" | "range" | "break" | "continue" | "define" | "template" | "block") {
            let pipeline = self.pipeline(at)?;
            self.close()?;
            return Ok(Node::Action(pipeline));
        }
        self.tokens.next();
        match word {
            "break" | "continue" if self.loops == 0 => Err(error(at, format!("{word} is outside of range"))),
            "break" => self.close().map(|()| Node::Break),
            "continue" => self.close().map(|()| Node::Continue),
            "if" | "with" => self.branches(at, word),
            "range" => self.range(at),
            _ => Err(error(at, format!("{word} is not supported"))),
        }
    }

    /// `if` or `with`, after the word.
    fn branches(&mut self, at: usize, word: &str) -> Result<Node, TemplateError> {
        let known = self.known.len();
        let mut branches = Vec::new();
        let mut otherwise = Vec::new();
        loop {
            let condition = self.pipeline(at)?;
            self.close()?;
            let (body, stop) = self.block(at, word)?;
            branches.push((condition, body));
            if stop.word == "end" {
                self.close()?;
                break;
            }
            if matches!(self.tokens.peek(), Some(Token { kind: Kind::Word(next), .. }) if next == word) {
                self.tokens.next();
                continue;
            }
            otherwise = self.last_else(at, word)?;
            break;
        }
        self.known.truncate(known);
        Ok(if word == "if" { Node::If(branches, otherwise) } else { Node::With(branches, otherwise) })
    }

    fn range(&mut self, at: usize) -> Result<Node, TemplateError> {
        let known = self.known.len();
        let over = self.pipeline(at)?;
        self.close()?;
        self.loops += 1;
        let (body, stop) = self.block(at, "range")?;
        self.loops -= 1;
        let otherwise =
            if stop.word == "else" { self.last_else(at, "range")? } else { self.close().map(|()| vec![])? };
        self.known.truncate(known);
        Ok(Node::Range(over, body, otherwise))
    }

    /// The nodes after `{{else`.
    fn last_else(&mut self, at: usize, word: &str) -> Result<Vec<Node>, TemplateError> {
        self.close()?;
        let (nodes, stop) = self.block(at, word)?;
        if stop.word != "end" {
            return Err(error(stop.at, format!("this {word} has a second else")));
        }
        self.close()?;
        Ok(nodes)
    }

    /// The nodes of a block, and what ends it. Variables that it declares end with it.
    fn block(&mut self, at: usize, word: &str) -> Result<(Vec<Node>, Stop), TemplateError> {
        self.deeper(at)?;
        let known = self.known.len();
        let (nodes, stop) = self.nodes()?;
        self.known.truncate(known);
        self.depth -= 1;
        let stop = stop.ok_or_else(|| error(at, format!("this {word} has no {{{{end}}}}")))?;
        Ok((nodes, stop))
    }

    fn deeper(&mut self, at: usize) -> Result<(), TemplateError> {
        self.depth += 1;
        if self.depth > DEPTH_MAX { Err(error(at, format!("nested more than {DEPTH_MAX} deep"))) } else { Ok(()) }
    }

    fn close(&mut self) -> Result<(), TemplateError> {
        match self.tokens.next() {
            Some(Token { kind: Kind::Close, .. }) => Ok(()),
            Some(token) => Err(error(token.at, "}} is expected here")),
            None => Err(error(self.end, "}} is expected here")),
        }
    }

    /// A pipeline up to `}}` or `)`, which is not taken.
    fn pipeline(&mut self, at: usize) -> Result<Pipeline, TemplateError> {
        let (variables, assigns) = self.declaration()?;
        let mut commands = Vec::new();
        loop {
            let command = self.command()?;
            if command.is_empty() {
                let at = self.tokens.peek().map_or(self.end, |token| token.at);
                return Err(error(at, "a value or a function is expected here"));
            }
            let first = commands.is_empty();
            if !first && !can_take_a_value(&command) {
                let at = command.first().map_or(at, |operand| operand.at);
                return Err(error(at, "only a function can follow |"));
            }
            commands.push(command);
            match self.tokens.peek() {
                Some(Token { kind: Kind::Pipe, .. }) => drop(self.tokens.next()),
                _ => break,
            }
        }
        if !assigns {
            self.known.extend(variables.iter().cloned());
        }
        Ok(Pipeline { at, variables, assigns, commands })
    }

    /// `$x :=`, `$x =`, `$i, $x :=`, or nothing.
    fn declaration(&mut self) -> Result<(Vec<String>, bool), TemplateError> {
        let kinds: Vec<Kind> = self.tokens.clone().take(4).map(|token| token.kind).collect();
        let (variables, sign) = match kinds.as_slice() {
            [Kind::Variable(one), sign @ (Kind::Declare | Kind::Assign), ..] => (vec![one.clone()], sign),
            [Kind::Variable(one), Kind::Comma, Kind::Variable(two), sign @ (Kind::Declare | Kind::Assign)] => {
                (vec![one.clone(), two.clone()], sign)
            }
            _ => return Ok((Vec::new(), false)),
        };
        let assigns = *sign == Kind::Assign;
        for _ in 0..variables.len() * 2 {
            if let Some(Token { at, kind: Kind::Variable(name), .. }) = self.tokens.next()
                && assigns
            {
                self.check_known(at, &name)?;
            }
        }
        Ok((variables, assigns))
    }

    fn check_known(&self, at: usize, name: &str) -> Result<(), TemplateError> {
        let known = name.is_empty() || self.known.iter().any(|known| known == name);
        if known { Ok(()) } else { Err(error(at, format!("there is no variable ${name}"))) }
    }

    fn command(&mut self) -> Result<Vec<Operand>, TemplateError> {
        let mut operands = Vec::new();
        while let Some(token) = self.tokens.peek() {
            if matches!(token.kind, Kind::Pipe | Kind::Close | Kind::Right) {
                break;
            }
            operands.push(self.operand()?);
        }
        Ok(operands)
    }

    fn operand(&mut self) -> Result<Operand, TemplateError> {
        let Some(Token { at, kind, .. }) = self.tokens.next() else {
            return Err(error(self.end, "a value is expected here"));
        };
        let mut fields = Vec::new();
        let term = match kind {
            Kind::Dot => Term::Dot,
            Kind::Field(name) => {
                fields.push(name);
                Term::Dot
            }
            Kind::Variable(name) => {
                self.check_known(at, &name)?;
                Term::Variable(name)
            }
            Kind::Quoted(text) => Term::Literal(text.into()),
            Kind::Integer(number) => Term::Literal(number.into()),
            Kind::Float(number) => Term::Literal(json!(number)),
            Kind::Word(word) => match word.as_str() {
                "true" => Term::Literal(true.into()),
                "false" => Term::Literal(false.into()),
                "nil" => Term::Literal(Value::Null),
                _ => {
                    functions::check(&word).map_err(|what| error(at, what))?;
                    Term::Function(word)
                }
            },
            Kind::Left => {
                self.deeper(at)?;
                let group = self.pipeline(at)?;
                self.depth -= 1;
                match self.tokens.next() {
                    Some(Token { kind: Kind::Right, .. }) => Term::Group(Box::new(group)),
                    _ => return Err(error(at, "this ( has no )")),
                }
            }
            _ => return Err(error(at, "a value or a function is expected here")),
        };
        while let Some(Token { spaced: false, kind: Kind::Field(name), .. }) = self.tokens.peek() {
            fields.push(name.clone());
            self.tokens.next();
        }
        Ok(Operand { at, term, fields })
    }
}

fn can_take_a_value(command: &[Operand]) -> bool {
    matches!(command.first(), Some(Operand { term: Term::Function(_), .. })) || is_label(command)
}

/// `.Label`, the one method that rows have.
fn is_label(command: &[Operand]) -> bool {
    matches!(command.first(), Some(Operand { term: Term::Dot, fields, .. }) if fields == &["Label"])
}
