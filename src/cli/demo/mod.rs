//! `overfuse demo`: makes an image of this host's files, runs a container of it, and shows what the container changed.
//!
//! Needs no network, no root and no package. A child process does the work in its own mount namespace, so that its
//! mounts end with it. This process removes the temporary directory when the child is done, has failed or was
//! interrupted.

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
use super::container::diff;
use super::output::{self, Table};
use super::{Exit, ids};
use crate::layer::Policy;
use crate::privilege::{self, Privilege};
use crate::store::{self, Image, Load, Store};
use crate::sys::poll::{self, Interest};
use crate::sys::signal::{self, Messages};
use crate::sys::{Dir, Namespaces, namespace, process};

/// The name of the image and of the container.
const NAME: &str = "demo";

/// The signal of Ctrl-C; shells exit with 128 plus this number.
const INTERRUPT: u8 = 2;

/// Make an image of five layers from this host's files, run a process in it, and show what the process changed.
///
/// Works in a temporary directory and removes it. Needs no network, no root and no package.
#[derive(Debug, Args)]
pub(super) struct DemoArgs {}

pub(super) fn run(_args: &DemoArgs) -> Result<Exit> {
    check_fuse()?;
    let privilege = privilege::enter_to_run(ids::programs().as_ref())?;
    // From here on, a signal ends the work but not this process, which must still remove everything.
    let signals = Messages::receive_with_children().context("receiving signals")?;
    let place = place()?;
    let path = place.path().to_path_buf();
    let ended = supervise(&signals, || perform(privilege, &path))?;
    place.close().with_context(|| format!("removing {}", path.display()))?;
    // A signal that arrived since has nothing left to end. Delivered now, it would kill this process and so replace
    // the exit code.
    signals.until_exit();
    match ended {
        Ended::Done(0) => {
            output::print(&format!("\n{} and everything in it is removed.\n", path.display()))?;
            Ok(Exit::Success)
        }
        Ended::Done(code) => Ok(Exit::Process(code)),
        Ended::Interrupted => {
            eprintln!("overfuse: interrupted; {} is removed", path.display());
            Ok(Exit::Process(128 + INTERRUPT))
        }
    }
}

/// Checks that `/dev/fuse` can be opened, before anything is built.
fn check_fuse() -> Result<()> {
    let Err(error) = File::options().read(true).write(true).open("/dev/fuse") else { return Ok(()) };
    let what_to_do = match error.kind() {
        ErrorKind::PermissionDenied => "root can allow it: chmod 666 /dev/fuse",
        _ => "load the module (modprobe fuse) or, inside a container, pass the device in (--device /dev/fuse)",
    };
    Err(anyhow::Error::new(error).context(format!("cannot open /dev/fuse ({what_to_do})")))
}

/// Makes a temporary directory on a file system that supports an upper layer.
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
            "none of {tried} is writable and supports extended attributes and whiteouts; set TMPDIR to one that does"
        )
    })
}

/// How the work ended.
enum Ended {
    /// It ended with this exit code. If that is not 0, the reason was printed.
    Done(u8),
    Interrupted,
}

/// Runs `work` in a child process with its own mount namespace, so that its mounts end with it even if it is killed.
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
                // Ignores the error: it means that the child has just ended.
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
    let (before, after) = Run { store: &store, container: &container, image: &image, privilege }.watch(&sources)?;

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

/// A table of the layers, topmost first.
fn layers_table(layers: &[image::Layer], image: &Image, store: &Store) -> String {
    let mut table = Table::new(&["LAYER", "FILES", "SIZE", "HOLDS"]);
    for (layer, diff_id) in layers.iter().zip(&image.layers).rev() {
        let size = output::size(store.layer_bytes(diff_id));
        table.row([layer.name.into(), layer.files().to_string(), size, layer.holds.clone()]);
    }
    show::indent(&table.render())
}
