//! `overfuse cp`: copies files between the host and a container.

use std::env;
use std::ffi::OsStr;
use std::io::{self, IsTerminal};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;

use crate::cli::{Exit, Global, ids, output, root};
use crate::container::{self, Copy, CopyError, End, Files};

/// Copy files between a container and this host
///
/// The container may run or not. A directory is copied with all below it; DIR/. means its content. With - for the host's
/// path, a tar archive is written to standard output or read from standard input.
#[derive(Debug, Args)]
#[command(
    override_usage = "overfuse cp [OPTIONS] CONTAINER:SOURCE TARGET|-\n       overfuse cp [OPTIONS] SOURCE|- CONTAINER:TARGET"
)]
#[command(after_help = "\
Examples:
  overfuse cp web:/var/log/nginx logs
  overfuse cp site/. web:/srv/www
  overfuse cp web:/etc - | tar -t

Files belong to root in the container, and to you on the host. Set-id bits are kept with -a only.")]
pub(in crate::cli) struct CpArgs {
    /// Keep the owners that the files have at the source
    #[arg(short, long)]
    archive: bool,
    /// If the source is a symbolic link, copy what it leads to
    #[arg(short = 'L', long)]
    follow_link: bool,
    /// Do not report what was copied; the default where standard output is no terminal
    #[arg(short, long)]
    quiet: bool,
    /// What to copy: a path here, CONTAINER:PATH, or - for a tar on standard input
    #[arg(value_name = "SOURCE")]
    source: PathBuf,
    /// Where to: a path here, CONTAINER:PATH, or - for a tar on standard output
    #[arg(value_name = "TARGET")]
    target: PathBuf,
}

pub(in crate::cli) fn run(global: &Global, args: &CpArgs) -> Result<Exit> {
    let (from, from_name) = end(&args.source)?;
    let (to, to_name) = end(&args.target)?;
    let name = match (from_name, to_name) {
        (Some(_), Some(_)) => return Err(CopyError::TwoContainers.into()),
        (Some(name), None) | (None, Some(name)) => name,
        (None, None) => return Err(CopyError::NoContainer.into()),
    };
    let store = root::open_to_read(global)?;
    let container = store.container(&name)?;
    let image = store.image(&container.image.to_string())?;
    let programs = ids::programs();
    let files = Files { store: &store, image: &image, container: &container, ids: programs.as_ref() };
    let is_stream = [&from, &to].contains(&&End::Stream);
    let copy = Copy { from, to, archive: args.archive, follow: args.follow_link };
    let bytes = container::copy(&files, &copy)?;
    if !args.quiet && !is_stream && io::stdout().is_terminal() {
        eprintln!("copied {} to {}", output::size(bytes), args.target.display());
    }
    Ok(Exit::Success)
}

/// One end of the copy, and the container's name if it is in one.
fn end(text: &Path) -> Result<(End, Option<String>)> {
    if text == Path::new("-") {
        return Ok((End::Stream, None));
    }
    if let Some((name, path)) = in_container(text) {
        return Ok((End::Inside(path), Some(name)));
    }
    let here = env::current_dir().context("the working directory is gone")?;
    // Joining a path keeps a `/.` at its end.
    Ok((End::Host(if text == Path::new(".") { here.join("./.") } else { here.join(text) }), None))
}

/// Splits `CONTAINER:PATH`. A text that begins with `/` or `.`, or has no colon, is a path of the host.
fn in_container(text: &Path) -> Option<(String, PathBuf)> {
    let bytes = text.as_os_str().as_bytes();
    let colon = bytes.iter().position(|&b| b == b':')?;
    let (name, path) = (&bytes[..colon], &bytes[colon + 1..]);
    if name.is_empty() || name.starts_with(b"/") || name.starts_with(b".") {
        return None;
    }
    let path = Path::new("/").join(OsStr::from_bytes(path));
    Some((String::from_utf8_lossy(name).into_owned(), path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_read_as_docker_reads_it() {
        for (text, expected) in [
            ("box:/a", Some(("box", "/a"))),
            ("box:a/.", Some(("box", "/a/."))),
            ("box:", Some(("box", "/"))),
            ("box:/a:b", Some(("box", "/a:b"))),
            ("/a:b", None),
            ("./a:b", None),
            ("../a:b", None),
            ("a", None),
            (":a", None),
        ] {
            let got = in_container(Path::new(text));
            let expected = expected.map(|(name, path)| (name.to_owned(), PathBuf::from(path)));
            assert_eq!(
                got.map(|(n, p)| (n, p.into_os_string())),
                expected.map(|(n, p)| (n, p.into_os_string())),
                "{text}"
            );
        }
    }
}
