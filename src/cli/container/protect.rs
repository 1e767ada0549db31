//! Protects the overfuse program file from containers: starts the program again from a file that nothing can change.

use std::env;
use std::ffi::CString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use anyhow::{Context, Result};

use crate::sys::{own_program, process};

/// Starts this program again, once, unless it is already protected. To be called before anything else is done, because
/// the program starts from the beginning.
///
/// # Errors
/// There is no `/proc`, or the program cannot be started again.
pub(in crate::cli) fn protect() -> Result<()> {
    if own_program::is_protected().context("cannot look at /proc/self/exe")? {
        // Executed from a descriptor, the process has the descriptor's number as its name.
        process::set_name(c"overfuse");
        return Ok(());
    }
    let args: Vec<CString> = env::args_os().map(|arg| CString::new(arg.into_vec())).collect::<Result<_, _>>()?;
    let variable = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        CString::new([name.as_bytes(), b"=", value.as_bytes()].concat())
    };
    let env: Vec<CString> = env::vars_os().map(variable).collect::<Result<_, _>>()?;
    match own_program::execute_protected(&args, &env) {
        Err(errno) => Err(errno).context("cannot start from a protected copy of this program"),
    }
}
