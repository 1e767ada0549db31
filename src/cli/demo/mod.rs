//! `overfuse demo`: the whole way from an image to a changed container, with this host's own files.
//!
//! Needs no network, no root and no package. Everything happens in one temporary directory, which this
//! process removes when the one that it started is done, has failed or was interrupted; mounts are in a
//! namespace of that process, and end with it.

mod elf;
mod image;
mod show;
mod watch;

use std::fs::File;
use std::io::ErrorKind;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use clap::Args;
use tempfile::TempDir;

use self::show::Source;
use self::watch::Run;
use super::output::{self, Table};
use super::{Exit, diff, ids};
use crate::layer::Policy;
use crate::privilege::{self, Privilege};
use crate::store::{self, Image, Load, Store};
use crate::sys::poll::{self, Interest};
use crate::sys::signal::{self, Messages};
use crate::sys::{Dir, Namespaces, namespace, process};

/// The image's name, and the container's.
const NAME: &str = "demo";

/// The signal of Ctrl-C, in the exit code that shells give it.
const INTERRUPT: u8 = 2;

/// Show the whole way on this host's own files: an image of five layers, a mount, a process, its changes.
///
/// Works in a temporary directory and removes it; needs no network, no root and no package.
#[derive(Debug, Args)]
pub(super) struct DemoArgs {}

pub(super) fn run(_args: &DemoArgs) -> Result<Exit> {
    check_fuse()?;
    let privilege = privilege::enter_to_run(ids::programs().as_ref())?;
    // Until everything is removed, a signal ends the work and not this process.
    let signals = Messages::receive_with_children().context("receiving signals")?;
    let place = place()?;
    let path = place.path().to_path_buf();
    let ended = supervise(&signals, || perform(privilege, &path))?;
    place.close().with_context(|| format!("removing {}", path.display()))?;
    // One that came meanwhile has nothing left to end: delivered now, it would kill this process in place of the
    // exit code that says that everything is removed.
    signals.until_exit();
    match ended {
        Ended::Done(0) => {
            output::print(&format!("\n{} is removed, and with it everything.\n", path.display()))?;
            Ok(Exit::Success)
        }
        Ended::Done(code) => Ok(Exit::Process(code)),
        Ended::Interrupted => {
            eprintln!("overfuse: interrupted; {} is removed", path.display());
            Ok(Exit::Process(128 + INTERRUPT))
        }
    }
}

/// Says before anything is built what would fail later.
fn check_fuse() -> Result<()> {
    let Err(error) = File::options().read(true).write(true).open("/dev/fuse") else { return Ok(()) };
    let what_to_do = match error.kind() {
        ErrorKind::PermissionDenied => "root can allow it: chmod 666 /dev/fuse",
        _ => "load the module (modprobe fuse) or, inside a container, pass the device in (--device /dev/fuse)",
    };
    Err(anyhow::Error::new(error).context(format!("cannot open /dev/fuse ({what_to_do})")))
}

/// A temporary directory on a file system that can hold an upper layer.
fn place() -> Result<TempDir> {
    let candidates = [std::env::temp_dir(), "/var/tmp".into(), "/dev/shm".into(), ".".into()];
    let fits = |dir: &TempDir| Policy::check_upper(&Dir::open_host(dir.path())?);
    let make = |parent: &PathBuf| {
        let parent = parent.canonicalize().ok()?;
        let dir = tempfile::Builder::new().prefix("overfuse-demo-").tempdir_in(parent).ok()?;
        fits(&dir).ok().map(|()| dir)
    };
    candidates.iter().find_map(make).with_context(|| {
        let tried = candidates.map(|dir| dir.display().to_string()).join(", ");
        format!(
            "nowhere to write: none of {tried} can hold extended attributes and whiteouts; set TMPDIR to one that can"
        )
    })
}

/// How the work ended.
enum Ended {
    /// With an exit code, after it has said why when that is not 0.
    Done(u8),
    Interrupted,
}

/// Does `work` in a process with a mount namespace of its own, so that nothing is left of it when it ends,
/// however it ends.
fn supervise(signals: &Messages, work: impl FnOnce() -> Result<()>) -> Result<Ended> {
    let child = process::spawn(Namespaces::MOUNT, || {
        let prepared = signal::reset_all().and_then(|()| namespace::keep_mounts_inside());
        match prepared.map_err(anyhow::Error::from).and_then(|()| work()) {
            Ok(()) => 0,
            Err(error) => {
                eprintln!("overfuse: {error:#}");
                125
            }
        }
    });
    let child =
        child.context("cannot make a mount namespace (root of a container needs the capability SYS_ADMIN for it)")?;
    let mut interrupted = false;
    loop {
        poll::wait(&[(signals.as_fd(), Interest::Read)]).context("waiting for the demo's process")?;
        match signals.next().context("receiving signals")? {
            Some(signal::CHILD_ENDED) => break,
            Some(signal::HANGUP | signal::INTERRUPT | signal::TERMINATE) => {
                interrupted = true;
                // When it has just ended by itself, that is as good.
                let _ = child.kill();
            }
            _ => {}
        }
    }
    let status = child.wait().context("waiting for the demo's process")?;
    Ok(if interrupted { Ended::Interrupted } else { Ended::Done(status.code()) })
}

/// Everything that the demo shows.
fn perform(privilege: Privilege, dir: &Path) -> Result<()> {
    output::print(&format!("Everything happens in {}, which is removed at the end.\n", dir.display()))?;
    let store = Store::open(&dir.join("store"))?;
    let policy = store.policy()?;
    let layers = image::layers()?;
    let layout = dir.join("layout");
    image::write(&layers, NAME, &layout, &dir.join("layers"), policy)?;
    store.load(store::Input::Path(&layout), &Load::default(), &mut |_| {})?;
    let image = store.image(NAME)?;
    show::heading(1, "An image of five layers, made of this host's files and loaded into a store")?;
    output::print(&layers_table(&layers, &image, &store))?;

    let container = store.create_container(&image, Some(NAME))?;
    let _in_use = container.lock()?;
    let names = layers.iter().rev().map(|layer| layer.name.to_owned());
    let lower: Vec<Source> = names.zip(store.lower_dirs(&image)).map(|(name, dir)| Source { name, dir }).collect();
    let digests = |sources: &[Source]| -> Result<Vec<_>> {
        sources.iter().map(|source| image::digest(&source.dir, policy)).collect()
    };
    let digests_before = digests(&lower)?;

    show::heading(2, &format!("The five mounted as one, and a process in it: /bin/sh {}", image::SCRIPT_PATH))?;
    let upper = Source { name: "container".into(), dir: container.upper() };
    let sources = [&[upper], lower.as_slice()].concat();
    let (before, after) = Run { container: &container, image: &image, privilege, policy }.watch(&sources)?;

    show::heading(3, "The tree before and after, and the layer that each file comes from")?;
    output::print(&show::comparison(&before, &after))?;

    show::heading(4, "What the container changed of its image: overfuse diff")?;
    let changes = store.changes(&container)?;
    output::print(&show::indent(&changes.iter().map(diff::line).collect::<String>()))?;

    let digests_after = digests(&lower)?;
    show::heading(5, "The digest of each layer's tree, before and after")?;
    let mut table = Table::new(&["LAYER", "BEFORE", "AFTER", ""]);
    for ((source, before), after) in lower.iter().zip(&digests_before).zip(&digests_after) {
        let verdict = if before == after { "untouched" } else { "CHANGED" };
        table.row([source.name.clone(), before.short(), after.short(), verdict.into()]);
    }
    output::print(&show::indent(&table.render()))?;
    if digests_before == digests_after { Ok(()) } else { Err(anyhow!("a layer was changed: this must not happen")) }
}

/// Topmost first, as they lie on each other.
fn layers_table(layers: &[image::Layer], image: &Image, store: &Store) -> String {
    let mut table = Table::new(&["LAYER", "FILES", "SIZE", "HOLDS"]);
    for (layer, diff_id) in layers.iter().zip(&image.layers).rev() {
        let size = output::size(store.layer_bytes(diff_id));
        table.row([layer.name.into(), layer.files().to_string(), size, layer.holds.clone()]);
    }
    show::indent(&table.render())
}
