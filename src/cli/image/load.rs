//! `overfuse load`: loads images from an archive or a directory into the store.

use std::io::{self, IsTerminal};
use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use crate::cli::{Exit, Global, output, root};
use crate::image::{Platform, Reference};
use crate::store::{Input, Load, Progress};

/// Load images from an OCI image layout or from the output of `docker save`
///
/// Reads standard input where no file is named.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  overfuse load -i app.tar.gz
  skopeo copy docker://debian oci-archive:/dev/stdout:debian | overfuse load")]
pub(in crate::cli) struct LoadArgs {
    /// An archive (compressed or not), a directory, or `-` for standard input
    #[arg(value_name = "FILE|DIR|-", conflicts_with = "from")]
    input: Option<PathBuf>,
    /// The same as an option, as docker has it
    #[arg(long = "input", short = 'i', value_name = "FILE|DIR|-")]
    from: Option<PathBuf>,
    /// Name the image so, instead of the names in the archive
    #[arg(long, short, value_name = "NAME")]
    tag: Option<Reference>,
    /// Load an image for OS/ARCH[/VARIANT] instead of this machine's platform
    #[arg(long, value_name = "PLATFORM")]
    platform: Option<Platform>,
}

pub(in crate::cli) fn run(global: &Global, args: &LoadArgs) -> Result<Exit> {
    let store = root::open(global)?;
    let options = Load { tag: args.tag.clone(), platform: args.platform.clone() };
    let mut bars = Bars::new();
    let mut show = |progress| bars.show(progress);
    let input = args.input.as_ref().or(args.from.as_ref());
    let loaded = match input.filter(|path| path.as_os_str() != "-") {
        Some(path) => store.load(Input::Path(path), &options, &mut show),
        None => {
            let mut stdin = io::stdin().lock();
            if stdin.is_terminal() {
                bail!("the standard input is a terminal: redirect an archive to it");
            }
            store.load(Input::Stream(&mut stdin), &options, &mut show)
        }
    };
    bars.clear();
    for image in loaded? {
        if image.names.is_empty() {
            output::print(&format!("Loaded image ID: {}\n", image.id))?;
        }
        for name in image.names {
            output::print(&format!("Loaded image: {name}\n"))?;
        }
    }
    Ok(Exit::Success)
}

/// One progress bar for each layer, on a terminal only.
struct Bars {
    enabled: bool,
    bar: Option<ProgressBar>,
}

impl Bars {
    fn new() -> Bars {
        Bars { enabled: io::stderr().is_terminal(), bar: None }
    }

    fn show(&mut self, progress: Progress) {
        match progress {
            Progress::Layer { diff_id, size } if self.enabled => {
                let style = "{prefix} [{bar:40}] {bytes}/{total_bytes} {msg}";
                let style = ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar());
                let bar = ProgressBar::new(size).with_style(style.progress_chars("=> "));
                self.bar = Some(bar.with_prefix(diff_id.short()));
            }
            Progress::Read(bytes) => self.bar.iter().for_each(|bar| bar.inc(bytes)),
            Progress::Done => self.bar.take().iter().for_each(|bar| bar.finish_with_message("done")),
            Progress::Layer { .. } | Progress::Present { .. } => {}
        }
    }

    /// Removes the bar of a layer that failed, before the error is printed.
    fn clear(&mut self) {
        self.bar.take().iter().for_each(ProgressBar::finish_and_clear);
    }
}
