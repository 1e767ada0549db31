//! The functions of templates: Go's, and those that docker adds.

use std::cmp::Ordering;

use serde_json::Value;

use super::{printf, show};

type Result<T = Value> = std::result::Result<T, String>;

/// Every function. `and` and `or` are here for their names only: they do not compute all their arguments.
const NAMES: &[&str] = &[
    "and", "eq", "ge", "gt", "index", "join", "json", "le", "len", "lower", "lt", "ne", "not", "or", "pad", "print",
    "printf", "println", "slice", "split", "title", "truncate", "upper",
];

/// # Errors
/// There is no such function.
pub(super) fn check(name: &str) -> Result<()> {
    if NAMES.contains(&name) {
        return Ok(());
    }
    let meant = crate::cli::usage::nearest(name, NAMES.iter().copied());
    let tip = meant.map(|name| format!(": did you mean {name}?")).unwrap_or_default();
    Err(format!("there is no function {name}{tip}"))
}

/// The functions that leave the titles of columns as they are, as in docker.
pub(super) fn keeps_titles(name: &str) -> bool {
    matches!(name, "join" | "json" | "lower" | "pad" | "split" | "title" | "truncate" | "upper")
}

pub(super) fn call(name: &str, args: &[Value]) -> Result {
    match (name, args) {
        ("json", [value]) => Ok(value.to_string().into()),
        ("not", [value]) => Ok((!show::is_true(value)).into()),
        ("len", [value]) => len(value),
        ("upper", [text]) => Ok(string(text)?.to_uppercase().into()),
        ("lower", [text]) => Ok(string(text)?.to_lowercase().into()),
        ("title", [text]) => Ok(title(string(text)?).into()),
        ("join", [list, by]) => join(list, string(by)?),
        ("split", [text, by]) => Ok(split(string(text)?, string(by)?)),
        ("pad", [text, before, after]) => pad(string(text)?, number(before)?, number(after)?),
        ("truncate", [text, most]) => Ok(string(text)?.chars().take(number(most)?).collect::<String>().into()),
        ("index", [value, keys @ ..]) => keys.iter().try_fold(value.clone(), |value, key| index(&value, key)),
        ("slice", [value, bounds @ ..]) if bounds.len() <= 2 => slice(value, bounds),
        ("print", args) => Ok(print(args).into()),
        ("println", args) => Ok((args.iter().map(show::plain).collect::<Vec<_>>().join(" ") + "\n").into()),
        ("printf", [format, args @ ..]) => printf::printf(string(format)?, args).map(Value::from),
        ("eq", [one, others @ ..]) if !others.is_empty() => {
            others.iter().try_fold(false, |found, other| Ok(found || equal(one, other)?)).map(Value::from)
        }
        ("ne", [one, other]) => Ok((!equal(one, other)?).into()),
        ("lt", [one, other]) => Ok((compare(one, other)? == Ordering::Less).into()),
        ("le", [one, other]) => Ok((compare(one, other)? != Ordering::Greater).into()),
        ("gt", [one, other]) => Ok((compare(one, other)? == Ordering::Greater).into()),
        ("ge", [one, other]) => Ok((compare(one, other)? != Ordering::Less).into()),
        (_, args) => Err(format!("it cannot be used with {} arguments", args.len())),
    }
}

fn string(value: &Value) -> Result<&str> {
    value.as_str().ok_or_else(|| format!("a text is expected, not {}", show::kind(value)))
}

/// A length or a place.
fn number(value: &Value) -> Result<usize> {
    let number = value.as_u64().and_then(|number| usize::try_from(number).ok());
    number.ok_or_else(|| format!("a number from 0 is expected, not {}", show::plain(value)))
}

fn len(value: &Value) -> Result {
    match value {
        Value::String(text) => Ok(text.len().into()),
        Value::Array(list) => Ok(list.len().into()),
        Value::Object(map) => Ok(map.len().into()),
        other => Err(format!("{} has no length", show::kind(other))),
    }
}

/// A capital at the beginning of each word.
fn title(text: &str) -> String {
    let mut in_word = false;
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match in_word {
            true => out.push(c),
            false => out.extend(c.to_uppercase()),
        }
        in_word = c.is_alphanumeric() || c == '_' || c == '\'';
    }
    out
}

fn join(list: &Value, by: &str) -> Result {
    match list {
        Value::Null => Ok("".into()),
        Value::Array(list) => Ok(list.iter().map(show::plain).collect::<Vec<_>>().join(by).into()),
        other => Err(format!("a list is expected, not {}", show::kind(other))),
    }
}

fn split(text: &str, by: &str) -> Value {
    match by {
        "" => text.chars().map(String::from).collect(),
        by => text.split(by).collect(),
    }
}

fn pad(text: &str, before: usize, after: usize) -> Result {
    const MOST: usize = 1000;
    if before.max(after) > MOST {
        return Err(format!("more than {MOST} spaces"));
    }
    Ok(if text.is_empty() { "".into() } else { format!("{:before$}{text}{:after$}", "", "").into() })
}

/// A space is between two arguments where neither is a text.
fn print(args: &[Value]) -> String {
    let mut out = String::new();
    for (n, arg) in args.iter().enumerate() {
        if n > 0 && !arg.is_string() && !args[n - 1].is_string() {
            out.push(' ');
        }
        out += &show::plain(arg);
    }
    out
}

fn index(value: &Value, key: &Value) -> Result {
    match value {
        Value::Array(list) => {
            let at = number(key)?;
            list.get(at).cloned().ok_or_else(|| format!("there is no element {at}: the list has {}", list.len()))
        }
        Value::Object(map) => {
            let found = map.get(string(key)?).cloned();
            // A map of texts has the empty text for every other key.
            let zero = || if map.values().all(Value::is_string) { "".into() } else { Value::Null };
            Ok(found.unwrap_or_else(zero))
        }
        Value::String(text) => {
            let at = number(key)?;
            text.as_bytes().get(at).map(|&byte| byte.into()).ok_or_else(|| format!("there is no byte {at}"))
        }
        other => Err(format!("{} has no elements", show::kind(other))),
    }
}

fn slice(value: &Value, bounds: &[Value]) -> Result {
    let bound = |n: usize, else_: usize| bounds.get(n).map_or(Ok(else_), number);
    let (len, text) = match value {
        Value::String(text) => (text.len(), Some(text)),
        Value::Array(list) => (list.len(), None),
        other => return Err(format!("{} cannot be cut", show::kind(other))),
    };
    let (from, to) = (bound(0, 0)?, bound(1, len)?);
    if from > to || to > len {
        return Err(format!("there is no part from {from} to {to}: the length is {len}"));
    }
    match (value, text) {
        (Value::Array(list), _) => Ok(list[from..to].into()),
        (_, Some(text)) => Ok(String::from_utf8_lossy(&text.as_bytes()[from..to]).into()),
        _ => Ok(Value::Null),
    }
}

fn equal(one: &Value, other: &Value) -> Result<bool> {
    match (one, other) {
        (Value::Null, other) | (other, Value::Null) => Ok(other.is_null()),
        (Value::Bool(one), Value::Bool(other)) => Ok(one == other),
        (Value::Array(_) | Value::Object(_), _) => Err(format!("{} cannot be compared", show::kind(one))),
        _ => Ok(compare(one, other)? == Ordering::Equal),
    }
}

fn compare(one: &Value, other: &Value) -> Result<Ordering> {
    let differ = || format!("{} cannot be compared with {}", show::kind(one), show::kind(other));
    match (one, other) {
        (Value::String(one), Value::String(other)) => Ok(one.cmp(other)),
        (Value::Number(a), Value::Number(b)) => match (a.as_i128(), b.as_i128()) {
            (Some(a), Some(b)) => Ok(a.cmp(&b)),
            _ => a.as_f64().partial_cmp(&b.as_f64()).ok_or_else(differ),
        },
        _ => Err(differ()),
    }
}
