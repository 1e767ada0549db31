//! Why a build failed.

use std::io;
use std::path::PathBuf;

use super::parse::ParseError;
use crate::container::{LaunchError, RunError, SpecError};
use crate::mount;
use crate::store::StoreError;
use crate::sys::Errno;
use crate::union::OpenError;

/// Why a build failed.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what variants and fields are")]
pub enum BuildError {
    #[error(transparent)]
    Parse(#[from] ParseError),
    /// An instruction failed.
    #[error("{file}:{line}: {text}")]
    Instruction {
        file: String,
        line: usize,
        text: String,
        #[source]
        source: Box<StepError>,
    },
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("there is no stage {name:?} in {file}; there are {known}")]
    NoStage { file: String, name: String, known: String },
    #[error("cannot read {path:?}")]
    Read { path: PathBuf, source: io::Error },
}

/// Why an instruction failed.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what variants and fields are")]
pub enum StepError {
    #[error(transparent)]
    Expand(#[from] super::parse::ExpandError),
    #[error("the command ended with status {0}")]
    Failed(u8),
    #[error("expected {0}")]
    Expected(String),
    #[error("{0:?} is not in the build context, or .dockerignore excludes it")]
    NoSource(String),
    #[error("no file fits {0:?} in the build context")]
    NoMatch(String),
    #[error("{0:?} is not a directory, and several files cannot be copied onto it")]
    NotADirectory(String),
    #[error("there is no user or group {0:?} in the image")]
    NoOwner(String),
    #[error("there is no secret {0:?}: give it with --secret id={0},src=FILE")]
    NoSecret(String),
    #[error("cannot {doing} {path:?}: {errno}")]
    File { doing: &'static str, path: PathBuf, errno: Errno },
    #[error("cannot use {what}: {reason}")]
    Unusable { what: String, reason: String },
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Mount(#[from] mount::Error),
    #[error(transparent)]
    Launch(#[from] LaunchError),
    #[error(transparent)]
    Run(#[from] RunError),
    #[error(transparent)]
    Spec(#[from] SpecError),
}

pub(super) type Result<T> = std::result::Result<T, StepError>;

/// For `map_err`: a call on a file failed.
pub(super) fn at<'a>(doing: &'static str, path: &'a std::path::Path) -> impl FnOnce(Errno) -> StepError + 'a {
    move |errno| StepError::File { doing, path: path.into(), errno }
}
