//! `overfuse build`: builds an image from a Dockerfile.

use std::collections::BTreeMap;
use std::env;
use std::fs::{self, File};
use std::io::{self, IsTerminal, Read};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use clap::Args;
use tempfile::TempDir;

use crate::build::parse::Dockerfile;
use crate::build::{Build, Event, StepError};
use crate::cli::container::protect;
use crate::cli::{Exit, Global, ids, output, root};
use crate::image::{Platform, Reference};
use crate::privilege::{self, Privilege};
use crate::store::{self, Store};
use crate::sys::Dir;
use crate::sys::process::{self, Stream};
use crate::tar;

/// Build an image from a Dockerfile
///
/// Steps and what their commands print go to standard error; the image's ID goes to standard output.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  overfuse build -t app .
  overfuse build -t app -f docker/Dockerfile --build-arg VERSION=3 --target test .
  tar c Dockerfile src | overfuse build -t app -

A file .dockerignore in the context, or NAME.dockerignore beside the Dockerfile NAME, says what a build does not see.
With SOURCE_DATE_EPOCH in the environment two builds of the same files make the same image.")]
pub(in crate::cli) struct BuildArgs {
    /// The Dockerfile; `-` for standard input [default: Dockerfile, or else Containerfile, in the context]
    #[arg(long, short, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Give the image this name; can be repeated
    #[arg(long = "tag", short, value_name = "NAME[:TAG]")]
    tags: Vec<Reference>,
    /// Set a variable that the Dockerfile declares with ARG; without a value, to its value here
    #[arg(long = "build-arg", value_name = "NAME[=VALUE]")]
    build_args: Vec<String>,
    /// Build this stage instead of the last one
    #[arg(long, value_name = "STAGE")]
    target: Option<String>,
    /// Do every step again
    #[arg(long)]
    no_cache: bool,
    /// Add a label to the image
    #[arg(long = "label", value_name = "KEY[=VALUE]")]
    labels: Vec<String>,
    /// Give steps a secret: a file of this host or a variable of the environment
    #[arg(long = "secret", value_name = "id=ID[,src=FILE|,env=NAME]")]
    secrets: Vec<String>,
    /// Build for OS/ARCH[/VARIANT] instead of this machine's platform
    #[arg(long, value_name = "PLATFORM")]
    platform: Option<Platform>,
    /// Print nothing but the image's ID
    #[arg(long, short)]
    quiet: bool,
    /// A directory, or `-`: an archive or a Dockerfile on standard input
    #[arg(value_name = "CONTEXT")]
    context: PathBuf,
}

/// The context and the Dockerfile, read.
struct Input {
    /// `None`: only a Dockerfile was given.
    context: Option<PathBuf>,
    /// Holds an unpacked archive.
    _unpacked: Option<TempDir>,
    file_name: String,
    text: Vec<u8>,
    ignore: String,
}

pub(in crate::cli) fn run(global: &Global, args: &BuildArgs) -> Result<Exit> {
    // Starts the program again, so before anything is read.
    protect::protect()?;
    // All input is read as the user, before a user namespace is entered.
    let input = args.input()?;
    let file = Dockerfile::parse(&input.file_name, &input.text)?;
    let secrets = args.secrets.iter().map(|text| secret(text)).collect::<Result<BTreeMap<_, _>>>()?;
    let build_args: BTreeMap<String, String> = args.build_args.iter().filter_map(|text| build_arg(text)).collect();
    let epoch = epoch()?;
    let root = root::path(global)?;
    let privilege = privilege::enter_to_run(ids::programs().as_ref())?;
    if privilege == Privilege::Root {
        privilege::separate_mounts()?;
    }
    let store = Store::open(&root)?;
    let images = |name: &str, platform: Option<&Platform>| {
        let image = store.image(name)?;
        match platform {
            Some(wanted) if !fits(&image, wanted) => {
                Err(StepError::Expected(format!("an image for {wanted}: {name} is for another platform")))
            }
            _ => Ok(image),
        }
    };
    let build = Build {
        store: &store,
        privilege,
        file: &file,
        file_name: &input.file_name,
        context: input.context.as_deref(),
        ignore: input.ignore.clone(),
        target: args.target.as_deref(),
        names: &args.tags,
        args: build_args,
        labels: args.labels.iter().map(|text| label(text)).collect(),
        secrets,
        no_cache: args.no_cache,
        epoch,
        platform: args.platform.clone(),
        images: &images,
    };
    let image = to_stderr(args.quiet, || build.build(&mut |event| show(event, args.quiet)))?;
    output::print(&format!("{}\n", image.id))?;
    Ok(Exit::Success)
}

fn fits(image: &store::Image, wanted: &Platform) -> bool {
    let config = &image.config;
    let platform = Platform {
        os: config.os().to_string(),
        architecture: config.architecture().to_string(),
        variant: config.variant().clone().filter(|variant| !variant.is_empty()),
    };
    wanted.rank(&platform).is_some()
}

/// Sends standard output to standard error, or with `quiet` nowhere, while `work` runs: commands inherit it.
fn to_stderr<T, E: Into<anyhow::Error>>(quiet: bool, work: impl FnOnce() -> Result<T, E>) -> Result<T> {
    let out = io::stdout().as_fd().try_clone_to_owned().context("cannot copy standard output")?;
    let err = io::stderr().as_fd().try_clone_to_owned().context("cannot copy standard error")?;
    if quiet {
        let null = File::options().write(true).open("/dev/null").context("cannot open /dev/null")?;
        process::replace_standard(Stream::Output, &null)?;
        process::replace_standard(Stream::Error, &null)?;
    } else {
        process::replace_standard(Stream::Output, &err)?;
    }
    let done = work();
    process::replace_standard(Stream::Output, &out)?;
    process::replace_standard(Stream::Error, &err)?;
    done.map_err(Into::into)
}

fn show(event: Event<'_>, quiet: bool) {
    match event {
        Event::Warning(text) => eprintln!("overfuse: warning: {text}"),
        _ if quiet => {}
        Event::Step { number, total, stage, text } => {
            let stage = stage.map(|name| format!("{name} ")).unwrap_or_default();
            let text = output::harmless(text);
            eprintln!("[{stage}{number}/{total}] {text}");
        }
        Event::Cached => eprintln!("CACHED"),
        Event::Made(image) => eprintln!("--> {}", image.id.short()),
    }
}

impl BuildArgs {
    fn input(&self) -> Result<Input> {
        if self.context.as_os_str() == "-" {
            return self.read_stdin_input();
        }
        let context =
            self.context.canonicalize().with_context(|| format!("build context {}", self.context.display()))?;
        if !context.is_dir() {
            bail!("build context {} is not a directory", self.context.display());
        }
        let (file_name, text, beside) = match &self.file {
            Some(file) if file.as_os_str() == "-" => ("standard input".to_owned(), read_stdin()?, None),
            Some(file) => (file.display().to_string(), read(file)?, Some(file.clone())),
            None => {
                let file = default_file(&context)?;
                (file.display().to_string(), read(&file)?, Some(file))
            }
        };
        let ignore = ignore_file(&context, beside.as_deref())?;
        Ok(Input { context: Some(context), _unpacked: None, file_name, text, ignore })
    }

    /// An archive with the context, or a Dockerfile without one.
    fn read_stdin_input(&self) -> Result<Input> {
        if self.file.as_ref().is_some_and(|file| file.as_os_str() == "-") {
            bail!("the Dockerfile and the context cannot both come from standard input");
        }
        let content = read_stdin()?;
        let plain = decompressed(&content)?;
        if plain.get(257..262) != Some(b"ustar") {
            let file_name = "standard input".to_owned();
            return Ok(Input { context: None, _unpacked: None, file_name, text: content, ignore: String::new() });
        }
        let unpacked = TempDir::new().context("cannot make a directory for the context")?;
        let dir = Dir::open_host(unpacked.path()).context("cannot open the context")?;
        // Owners do not matter, because COPY gives files to root.
        let policy = crate::layer::Policy::probe(&dir).context("cannot use the context's directory")?;
        tar::unpack(&plain[..], &dir, policy).context("the archive on standard input")?;
        let context = unpacked.path().to_owned();
        let file = match &self.file {
            Some(file) => context.join(file.strip_prefix("/").unwrap_or(file)),
            None => default_file(&context)?,
        };
        let beneath = file.canonicalize().is_ok_and(|file| file.starts_with(&context));
        if !beneath {
            bail!("{} is not in the archive on standard input", file.strip_prefix(&context).unwrap_or(&file).display());
        }
        let text = read(&file)?;
        let ignore = ignore_file(&context, Some(&file))?;
        let file_name = file.strip_prefix(&context).unwrap_or(&file).display().to_string();
        Ok(Input { context: Some(context), _unpacked: Some(unpacked), file_name, text, ignore })
    }
}

fn read_stdin() -> Result<Vec<u8>> {
    let mut stdin = io::stdin().lock();
    if stdin.is_terminal() {
        bail!("the standard input is a terminal: redirect a file to it");
    }
    let mut content = Vec::new();
    stdin.read_to_end(&mut content).context("cannot read standard input")?;
    Ok(content)
}

fn decompressed(content: &[u8]) -> Result<Vec<u8>> {
    let mut plain = Vec::new();
    let read = store::decompress(content).and_then(|(mut reader, _)| reader.read_to_end(&mut plain));
    read.context("the archive on standard input")?;
    Ok(plain)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

fn default_file(context: &Path) -> Result<PathBuf> {
    let names = ["Dockerfile", "Containerfile"];
    let found = names.iter().map(|name| context.join(name)).find(|file| file.exists());
    found.ok_or_else(|| {
        anyhow!("there is neither a Dockerfile nor a Containerfile in {}: name one with -f", context.display())
    })
}

/// The Dockerfile's own ignore file, or else the context's.
fn ignore_file(context: &Path, file: Option<&Path>) -> Result<String> {
    let own = file.map(|file| {
        let mut name = file.as_os_str().to_owned();
        name.push(".dockerignore");
        PathBuf::from(name)
    });
    for path in own.into_iter().chain([context.join(".dockerignore"), context.join(".containerignore")]) {
        match fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            text => return text.with_context(|| format!("cannot read {}", path.display())),
        }
    }
    Ok(String::new())
}

/// A name without a value takes the value of this process's variable; without one it is not set.
fn build_arg(text: &str) -> Option<(String, String)> {
    match text.split_once('=') {
        Some((name, value)) => Some((name.to_owned(), value.to_owned())),
        None => Some((text.to_owned(), env::var(text).ok()?)),
    }
}

fn label(text: &str) -> (String, String) {
    let (key, value) = text.split_once('=').unwrap_or((text, ""));
    (key.to_owned(), value.to_owned())
}

/// Reads `id=ID[,src=FILE|,env=NAME]`.
fn secret(text: &str) -> Result<(String, Vec<u8>)> {
    let (mut id, mut file, mut variable) = (None, None, None);
    for field in text.split(',') {
        match field.split_once('=') {
            Some(("id", value)) => id = Some(value.to_owned()),
            Some(("src" | "source", value)) => file = Some(PathBuf::from(value)),
            Some(("env", value)) => variable = Some(value.to_owned()),
            Some(("type", "file" | "env")) => {}
            _ => bail!("{text:?} is not a secret: expected id=ID,src=FILE or id=ID,env=NAME"),
        }
    }
    let id = id.filter(|id| !id.is_empty()).with_context(|| format!("{text:?} has no id=ID"))?;
    let content = match (file, variable) {
        (Some(file), _) => fs::read(&file).with_context(|| format!("secret {id}: cannot read {}", file.display()))?,
        (None, variable) => {
            let name = variable.unwrap_or_else(|| id.clone());
            let value = env::var_os(&name).with_context(|| format!("secret {id}: the variable {name} is not set"))?;
            value.into_encoded_bytes()
        }
    };
    Ok((id, content))
}

/// The time that `SOURCE_DATE_EPOCH` asks for.
fn epoch() -> Result<Option<i64>> {
    match env::var("SOURCE_DATE_EPOCH") {
        Err(_) => Ok(None),
        Ok(text) => {
            let seconds = text.parse().with_context(|| format!("SOURCE_DATE_EPOCH={text:?} is not a number"))?;
            Ok(Some(seconds))
        }
    }
}
