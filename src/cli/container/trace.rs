//! `overfuse trace`: runs a container and prints which files of the image it read, and how much of each.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result};
use clap::Args;
use serde_json::json;

use super::create::CreateArgs;
use super::in_process::{self, Tracing};
use crate::cli::output::{self, Table};
use crate::cli::{Exit, Global, root};
use crate::image::history::steps;
use crate::store::{Image, Store};
use crate::trace::{Layer, LayerReading, Reading, reading};
use crate::union::Trace;

/// Run a command in a new container, and print what it read of the image
///
/// Prints each file that was read, in the order of first reads, and then for each layer how many files and bytes were
/// read. The container is removed afterwards. End a server with a signal: `timeout 5 overfuse trace --init IMAGE`.
#[derive(Debug, Args)]
#[command(override_usage = "overfuse trace [OPTIONS] IMAGE [COMMAND [ARG]...]")]
#[command(after_help = "\
Bytes are those that the kernel requested. The kernel reads ahead, so programs may have read fewer: --exact turns that
off. Pages in the page cache are not requested again. A file counts as read only if some of its content was: not if it
is empty, or if only its name or attributes were used. Changing a file reads all of it.")]
pub(in crate::cli) struct TraceArgs {
    /// Print one JSON object, with the ranges that were read
    #[arg(long)]
    json: bool,
    /// Turn off the kernel's read-ahead, so that the result is what programs read, in whole pages; slower
    #[arg(long)]
    exact: bool,
    /// Write the result to this file [default: standard error]
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    run: CreateArgs,
}

/// The longest step in the table, in characters.
const STEP_WIDTH: usize = 40;

pub(in crate::cli) fn run(global: &Global, args: &TraceArgs) -> Result<Exit> {
    let store = root::open_to_read(global)?;
    let image = store.image(&args.run.image().to_string_lossy())?;
    // Keeps the image from being removed until its files are counted.
    let _held = store.hold(&image)?;
    let output = args.output.as_ref().map(|path| {
        let file = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
        anyhow::Ok((file, path))
    });
    let output = output.transpose()?;
    let trace = Arc::new(Trace::new());
    let tracing = Tracing { trace: trace.clone(), exact: args.exact };
    let exit = in_process::run(global, &args.run, tracing)?;
    if !matches!(exit, Exit::Process(_)) {
        return Ok(exit);
    }
    let reading = reading(&trace, &layers(&store, &image)).context("counting the files of the image")?;
    let text = if args.json { json(&image, &args.run, &reading) } else { table(&image, &reading) };
    match output {
        Some((mut file, path)) => {
            file.write_all(text.as_bytes()).with_context(|| format!("writing {}", path.display()))?;
        }
        // Standard output belongs to the command.
        None => eprint!("{text}"),
    }
    Ok(exit)
}

/// The layers with the steps that made them, topmost first.
fn layers(store: &Store, image: &Image) -> Vec<Layer> {
    let steps = steps(&image.config, image.layers.len());
    let created_by = |layer: usize| {
        let step = steps.iter().find(|step| step.layer == Some(layer))?;
        step.entry?.created_by().clone()
    };
    let dirs = store.lower_dirs(image).into_iter();
    dirs.zip(image.layers.iter().enumerate().rev())
        .map(|(dir, (layer, id))| Layer { dir, id: id.to_string(), created_by: created_by(layer).unwrap_or_default() })
        .collect()
}

fn json(image: &Image, run: &CreateArgs, reading: &Reading) -> String {
    let command: Vec<_> = run.command().iter().map(|arg| arg.to_string_lossy()).collect();
    let LayerReading { files_read, files, bytes_read, bytes, .. } = reading.total();
    let all = json!({
        "image": image.display_name(),
        "id": image.id.to_string(),
        "command": command,
        "files_read": files_read,
        "files": files,
        "bytes_read": bytes_read,
        "bytes": bytes,
        "layers": reading.layers,
        "read": reading.files,
    });
    format!("{all}\n")
}

fn table(image: &Image, reading: &Reading) -> String {
    let mut layers = Table::new(&["LAYER", "ID", "FILES READ", "OF ALL", "BYTES READ", "OF ALL", "CREATED BY"]);
    let mut row = |name: String, id: String, created_by: String, of: &LayerReading| {
        let created_by = output::ellipsis(&output::harmless(&created_by), STEP_WIDTH);
        let files = format!("{} of {}", of.files_read, of.files);
        let bytes = format!("{} of {}", output::size(of.bytes_read), output::size(of.bytes));
        layers.row([
            name,
            id,
            files,
            percent(of.files_read, of.files),
            bytes,
            percent(of.bytes_read, of.bytes),
            created_by,
        ]);
    };
    for layer in reading.layers.iter().rev() {
        let id = layer.id.trim_start_matches("sha256:").chars().take(12).collect();
        row(layer.layer.to_string(), id, layer.created_by.clone(), layer);
    }
    row("all".into(), image.id.short(), String::new(), &reading.total());
    let mut files = Table::new(&["FIRST READ", "LAYER", "BYTES READ", "OF ALL", "FILE"]);
    for file in &reading.files {
        files.row([
            format!("{:.3} s", file.first),
            file.layer.to_string(),
            format!("{} of {}", output::size(file.bytes_read), output::size(file.bytes)),
            percent(file.bytes_read, file.bytes),
            file.path.clone(),
        ]);
    }
    let files = if reading.files.is_empty() { String::new() } else { files.render() + "\n" };
    format!("{files}{}", layers.render())
}

fn percent(part: u64, of: u64) -> String {
    if of == 0 { "–".into() } else { format!("{:.1} %", part as f64 * 100.0 / of as f64) }
}
