//! Here-documents: `<<EOF` in RUN, COPY and ADD.

/// A here-document.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HereDocument {
    /// The word that ends it; for COPY also the name of the file.
    pub name: String,
    /// Whether variables in it are expanded: the word is not quoted.
    pub expands: bool,
    /// `<<-`: leading tabs are removed.
    pub strips_tabs: bool,
    /// The lines, each with its end.
    pub content: String,
}

impl HereDocument {
    /// Reads `<<WORD`, `<<-WORD`, `<<"WORD"`, perhaps after the number of a descriptor.
    pub(super) fn named_by(word: &str) -> Option<HereDocument> {
        let (descriptor, rest) = word.split_once("<<")?;
        if !descriptor.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let (strips_tabs, quoted) = match rest.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, rest),
        };
        let name: String = quoted.chars().filter(|c| !"\"'\\".contains(*c)).collect();
        let is_word = !name.is_empty() && !name.contains(['<', '>', '|', '&', ';', '(', ')']);
        is_word.then(|| HereDocument { expands: name == quoted, name, strips_tabs, content: String::new() })
    }
}

/// The here-documents that an instruction names, still without content.
pub(super) fn named_in(text: &str, escape: char) -> Vec<HereDocument> {
    let keyword = text.split_whitespace().next().unwrap_or_default().to_ascii_uppercase();
    let takes = match keyword.as_str() {
        "RUN" | "COPY" | "ADD" => true,
        "ONBUILD" => {
            let inner = text.split_whitespace().nth(1).unwrap_or_default().to_ascii_uppercase();
            ["RUN", "COPY", "ADD"].contains(&inner.as_str())
        }
        _ => false,
    };
    let words = if takes { shell_words(text, escape) } else { Vec::new() };
    words.iter().filter_map(|word| HereDocument::named_by(word)).collect()
}

/// The words of a line as a shell divides it: quotes stay in the words, and hide spaces and operators.
fn shell_words(text: &str, escape: char) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quote = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match quote {
            Some(open) => {
                word.push(c);
                if c == open {
                    quote = None;
                } else if c == escape && open == '"' {
                    word.extend(chars.next());
                }
            }
            None if c.is_whitespace() || ";&|()".contains(c) => words.push(std::mem::take(&mut word)),
            None => {
                word.push(c);
                if c == '\'' || c == '"' {
                    quote = Some(c);
                } else if c == escape {
                    word.extend(chars.next());
                }
            }
        }
    }
    words.push(word);
    words
}
