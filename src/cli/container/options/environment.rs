//! Options about environment variables.

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use super::labels::lines_of;
use crate::container::Variable;

#[derive(Debug, Args)]
pub(in crate::cli::container) struct EnvironmentArgs {
    /// Set an environment variable; without a value, to its value here
    #[arg(short, long, value_name = "NAME[=VALUE]")]
    env: Vec<OsString>,
    /// Set the environment variables that are in a file: NAME=VALUE or NAME on each line; # begins a comment
    #[arg(long, value_name = "FILE")]
    env_file: Vec<PathBuf>,
}

impl EnvironmentArgs {
    /// The changes in the order in which they apply: those of the files, then those of the command line.
    ///
    /// # Errors
    /// A file cannot be read, or a variable has no name.
    pub(in crate::cli::container) fn changes(&self) -> Result<Vec<Variable>> {
        let mut variables = Vec::new();
        for file in &self.env_file {
            for (name, value) in lines_of(file)? {
                let of_ours = || env::var_os(&name);
                // A name that is not set here is left out, as in docker.
                let value = value.map(OsString::from).or_else(of_ours);
                variables.extend(value.map(|value| Variable::Set(name.into(), value)));
            }
        }
        for text in &self.env {
            variables.push(variable(text)?);
        }
        Ok(variables)
    }
}

/// Parses `-e`. A name without a value takes the value of this process's variable.
fn variable(text: &OsString) -> Result<Variable> {
    Ok(match Variable::parse(text)? {
        Variable::Unset(name) => match env::var_os(&name) {
            Some(value) => Variable::Set(name, value),
            None => Variable::Unset(name),
        },
        set => set,
    })
}
