//! Asks before something is removed for good.

use std::io::{self, BufRead, Write};

use anyhow::Result;

/// Prints `warning`, and returns whether the answer is yes.
///
/// # Errors
/// Standard output or input fails.
pub(super) fn confirm(warning: &str) -> Result<bool> {
    let mut out = io::stdout().lock();
    write!(out, "WARNING! {warning}\nAre you sure you want to continue? [y/N] ")?;
    out.flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
