//! Before a container: this program runs on from where its own file cannot be changed.

use std::env;
use std::ffi::CString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use anyhow::{Context, Result};

use crate::sys::{own_program, process};

/// Starts this program again, once, if it is not protected yet. To be called before anything was done.
///
/// # Errors
/// Where there is no `/proc`, or no way to start again.
pub(super) fn protect() -> Result<()> {
    if own_program::is_protected().context("cannot look at /proc/self/exe")? {
        // The kernel named this process by the number of a descriptor.
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
