//! `--ulimit`: the limits of each process.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::sys::{self, Errno, ProcessLimit};

/// One limit of a process. `None` is no limit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ulimit {
    pub name: String,
    pub soft: Option<u64>,
    pub hard: Option<u64>,
}

/// Why a text is not a limit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UlimitError {
    #[error("{0:?} is not a limit: expected NAME=SOFT[:HARD], for example nofile=1024:2048; -1 is no limit")]
    Form(String),
    #[error("{0:?} is not a limit: the names are {names}", names = sys::process_limit_names().collect::<Vec<_>>().join(", "))]
    Name(String),
    #[error("{0:?}: the soft limit is at most the hard limit")]
    Order(String),
}

impl FromStr for Ulimit {
    type Err = UlimitError;

    /// `NAME=SOFT[:HARD]`, docker's syntax.
    fn from_str(text: &str) -> Result<Ulimit, UlimitError> {
        let form = || UlimitError::Form(text.to_owned());
        let (name, values) = text.split_once('=').ok_or_else(form)?;
        if ProcessLimit::named(name).is_none() {
            return Err(UlimitError::Name(name.to_owned()));
        }
        let number = |text: &str| match text {
            "-1" | "unlimited" => Ok(None),
            _ => text.parse().map(Some).map_err(|_| form()),
        };
        let (soft, hard) = values.split_once(':').unwrap_or((values, values));
        let (soft, hard) = (number(soft)?, number(hard)?);
        if hard.is_some_and(|hard| soft.is_none_or(|soft| soft > hard)) {
            return Err(UlimitError::Order(text.to_owned()));
        }
        Ok(Ulimit { name: name.to_owned(), soft, hard })
    }
}

impl fmt::Display for Ulimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = |limit: Option<u64>| limit.map_or("-1".to_owned(), |limit| limit.to_string());
        write!(f, "{}={}:{}", self.name, number(self.soft), number(self.hard))
    }
}

impl Ulimit {
    /// Sets the limit of this process.
    pub(super) fn set(&self) -> Result<(), Errno> {
        ProcessLimit::named(&self.name).ok_or(Errno::INVAL)?.set(self.soft, self.hard)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_read_as_docker_reads_it() {
        let limit = |name: &str, soft, hard| Ok(Ulimit { name: name.into(), soft, hard });
        for (text, expected) in [
            ("nofile=1024", limit("nofile", Some(1024), Some(1024))),
            ("nofile=1024:2048", limit("nofile", Some(1024), Some(2048))),
            ("core=0:-1", limit("core", Some(0), None)),
            ("memlock=-1", limit("memlock", None, None)),
            ("nofile", Err(UlimitError::Form("nofile".into()))),
            ("nofile=", Err(UlimitError::Form("nofile=".into()))),
            ("nofile=x:5", Err(UlimitError::Form("nofile=x:5".into()))),
            ("files=5", Err(UlimitError::Name("files".into()))),
            ("nofile=6:5", Err(UlimitError::Order("nofile=6:5".into()))),
            ("nofile=-1:5", Err(UlimitError::Order("nofile=-1:5".into()))),
        ] {
            assert_eq!(text.parse::<Ulimit>(), expected, "{text}");
        }
        assert_eq!("core=0:-1".parse::<Ulimit>().unwrap().to_string(), "core=0:-1");
    }
}
