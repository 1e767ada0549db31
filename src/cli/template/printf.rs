//! `printf` of templates: Go's verbs for texts, numbers and whole values.

use serde_json::Value;

use super::show;

/// The widest field, so that a mistake does not fill the memory.
const WIDTH_MAX: usize = 1000;

/// Between `%` and the verb.
#[derive(Clone, Copy, Debug, Default)]
struct Flags {
    left: bool,
    zeros: bool,
    plus: bool,
    sharp: bool,
    width: usize,
    precision: Option<usize>,
}

/// # Errors
/// The format ends in the middle of a verb, or a field is too wide. A wrong verb is shown in the text, as in Go.
pub(super) fn printf(format: &str, args: &[Value]) -> Result<String, String> {
    let mut out = String::new();
    let mut args = args.iter();
    let mut chars = format.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let mut flags = Flags::default();
        while let Some(c) = chars.peek() {
            match c {
                '-' => flags.left = true,
                '0' => flags.zeros = true,
                '+' => flags.plus = true,
                '#' => flags.sharp = true,
                ' ' => {}
                _ => break,
            }
            chars.next();
        }
        let mut digits = || {
            let mut number = None;
            while let Some(digit) = chars.peek().and_then(|c| c.to_digit(10)) {
                number = Some(number.unwrap_or(0usize).saturating_mul(10).saturating_add(digit as usize));
                chars.next();
            }
            number
        };
        flags.width = digits().unwrap_or(0);
        if chars.peek() == Some(&'.') {
            chars.next();
            let mut precision = 0;
            while let Some(digit) = chars.peek().and_then(|c| c.to_digit(10)) {
                precision = usize::saturating_add(precision * 10, digit as usize).min(WIDTH_MAX + 1);
                chars.next();
            }
            flags.precision = Some(precision);
        }
        if flags.width > WIDTH_MAX || flags.precision.is_some_and(|precision| precision > WIDTH_MAX) {
            return Err(format!("a field is wider than {WIDTH_MAX}"));
        }
        match chars.next() {
            None => return Err("the format ends after %".into()),
            Some('%') => out.push('%'),
            Some(verb) => match args.next() {
                Some(value) => out += &padded(&verb_of(verb, value, flags), flags),
                None => out += &format!("%!{verb}(MISSING)"),
            },
        }
    }
    let extra: Vec<String> = args.map(|value| format!("{}={}", go_type(value), show::plain(value))).collect();
    if !extra.is_empty() {
        out += &format!("%!(EXTRA {})", extra.join(", "));
    }
    Ok(out)
}

fn verb_of(verb: char, value: &Value, flags: Flags) -> String {
    let cut = |text: String| match flags.precision {
        Some(most) => text.chars().take(most).collect(),
        None => text,
    };
    let text = match (verb, value) {
        ('v', _) if flags.sharp => Some(value.to_string()),
        ('v', Value::Number(_)) => Some(signed(show::plain(value), flags)),
        ('v', _) => Some(show::plain(value)),
        ('s', Value::String(text)) => Some(cut(text.clone())),
        ('s', Value::Array(_) | Value::Object(_)) => Some(show::plain(value)),
        ('q', Value::String(_)) => Some(value.to_string()),
        ('q', Value::Array(list)) => Some(format!("{:?}", list.iter().map(show::plain).collect::<Vec<_>>())),
        ('t', Value::Bool(truth)) => Some(truth.to_string()),
        ('T', _) => Some(go_type(value).into()),
        ('x', Value::String(text)) => Some(text.bytes().map(|byte| format!("{byte:02x}")).collect()),
        ('c', Value::Number(_)) => value.as_u64().and_then(|n| char::from_u32(u32::try_from(n).ok()?)).map(Into::into),
        (_, Value::Number(number)) => match number.as_i128() {
            Some(whole) => integer(verb, whole, flags),
            None => number.as_f64().and_then(|float| decimal(verb, float, flags)),
        },
        _ => None,
    };
    text.unwrap_or_else(|| format!("%!{verb}({}={})", go_type(value), show::plain(value)))
}

fn integer(verb: char, whole: i128, flags: Flags) -> Option<String> {
    let (sign, size) = (if whole < 0 { "-" } else { "" }, whole.unsigned_abs());
    Some(match verb {
        'd' => signed(whole.to_string(), flags),
        'x' if flags.sharp => format!("{sign}0x{size:x}"),
        'x' => format!("{sign}{size:x}"),
        'X' => format!("{sign}{size:X}"),
        'o' => format!("{sign}{size:o}"),
        'b' => format!("{sign}{size:b}"),
        _ => return None,
    })
}

fn decimal(verb: char, float: f64, flags: Flags) -> Option<String> {
    let precision = flags.precision.unwrap_or(6);
    Some(match verb {
        'f' | 'F' => signed(format!("{float:.precision$}"), flags),
        'g' => signed(float.to_string(), flags),
        'e' => {
            // Go writes the sign and two digits of the exponent.
            let text = format!("{float:.precision$e}");
            let (digits, exponent) = text.split_once('e')?;
            let exponent: i32 = exponent.parse().ok()?;
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{digits}e{sign}{:02}", exponent.abs())
        }
        _ => return None,
    })
}

fn signed(text: String, flags: Flags) -> String {
    if flags.plus && !text.starts_with('-') { format!("+{text}") } else { text }
}

fn padded(text: &str, flags: Flags) -> String {
    let missing = flags.width.saturating_sub(text.chars().count());
    let number = text.trim_start_matches(['+', '-']);
    match (flags.left, flags.zeros && number.starts_with(|c: char| c.is_ascii_digit())) {
        (true, _) => format!("{text}{:missing$}", ""),
        (false, true) => format!("{}{}{number}", &text[..text.len() - number.len()], "0".repeat(missing)),
        (false, false) => format!("{:missing$}{text}", ""),
    }
}

fn go_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "<nil>",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_f64() => "float64",
        Value::Number(_) => "int",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}
