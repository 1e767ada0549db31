//! `overfuse info`: prints what is in the store, and what this host allows.

use anyhow::Result;
use clap::Args;
use serde_json::{Value, json};

use super::host;
use crate::cli::container::seen::{Images, Seen};
use crate::cli::{Exit, Global, format, ids, output, root};
use crate::privilege::{self, Mode};
use crate::sys;

/// Show what is in the store, and what this host allows
///
/// How containers run here (as root, with subordinate ids, with a single id) is found by trying it.
#[derive(Debug, Args)]
pub(in crate::cli) struct InfoArgs {
    /// `json`, or a Go template: '{{.Driver}} {{.Rootless}}'
    #[arg(long, short, value_name = "FORMAT")]
    format: Option<String>,
}

pub(in crate::cli) fn run(global: &Global, args: &InfoArgs) -> Result<Exit> {
    let info = gather(global)?;
    let text = match &args.format {
        Some(format) => format::one(format, &info)?,
        None => readable(&info),
    };
    output::print(&text)?;
    for warning in texts(&info["Warnings"]) {
        eprintln!("WARNING: {warning}");
    }
    Ok(Exit::Success)
}

fn texts(list: &Value) -> impl Iterator<Item = &str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str)
}

/// Everything, with docker's field names where docker has the field.
fn gather(global: &Global) -> Result<Value> {
    let store = root::open_to_read(global)?;
    let images = Images::new(&store)?;
    let containers = Seen::all(&store, &images)?;
    let count = |word: &[&str]| containers.iter().filter(|seen| word.contains(&seen.life.word)).count();
    let programs: serde_json::Map<_, _> = host::PROGRAMS
        .iter()
        .map(|(name, _)| ((*name).to_owned(), host::program(name).map(|path| path.display().to_string()).into()))
        .collect();
    let rootless = sys::effective_uid() != 0;
    let (os, architecture) = host::platform();
    let cgroups = host::cgroups();
    let mut info = json!({
        "ServerVersion": env!("CARGO_PKG_VERSION"),
        "Containers": containers.len(),
        "ContainersRunning": count(&["running"]),
        "ContainersPaused": count(&["paused"]),
        "ContainersStopped": count(&["created", "exited"]),
        "ContainersMounted": count(&["mounted"]),
        "Images": images.len(),
        "DockerRootDir": store.root().display().to_string(),
        "Driver": "overfuse",
        "KernelVersion": host::kernel(),
        "OperatingSystem": host::distribution(),
        "OSType": os,
        "Architecture": architecture,
        "NCPU": std::thread::available_parallelism().map_or(1, usize::from),
        "MemTotal": host::memory(),
        "Name": host::name(),
        "CgroupVersion": cgroups,
        "LoggingDriver": "json-file",
        "Rootless": rootless,
        "SecurityOptions": security(rootless),
        "Programs": programs,
    });
    let mut warnings = warnings(rootless, cgroups);
    let attempts = privilege::modes(ids::programs().as_ref())?;
    let works = attempts.iter().find(|one| one.refused.is_none() && one.mode != Mode::Chroot);
    if works.is_none() {
        let reason = attempts.iter().rev().find_map(|one| one.refused.clone()).unwrap_or_default();
        let instead = if rootless { "" } else { "; run --chroot works" };
        warnings.push(format!("containers cannot run here: {reason}{instead}"));
    }
    info["Mode"] = works.map_or("none", |one| word(one.mode)).into();
    let modes = attempts.iter().map(|one| (word(one.mode).to_owned(), one.refused.clone().into()));
    info["Modes"] = Value::Object(modes.collect());
    info["Warnings"] = warnings.into();
    Ok(info)
}

fn security(rootless: bool) -> Vec<&'static str> {
    let rootless = rootless.then_some("name=rootless");
    ["name=seccomp,profile=builtin", "name=cgroupns"].into_iter().chain(rootless).collect()
}

fn word(mode: Mode) -> &'static str {
    match mode {
        Mode::Root => "root",
        Mode::Subordinate => "subordinate ids",
        Mode::Single => "single id",
        Mode::Chroot => "chroot",
    }
}

fn warnings(rootless: bool, cgroups: &str) -> Vec<String> {
    let mut warnings = Vec::new();
    if !host::has_fuse() {
        warnings.push("/dev/fuse cannot be opened: nothing can be mounted".to_owned());
    }
    if rootless && (host::program("newuidmap").is_none() || host::program("newgidmap").is_none()) {
        warnings.push("newuidmap and newgidmap are missing (package uidmap): subordinate ids cannot be used".into());
    }
    if host::program("pasta").is_none() && host::program("slirp4netns").is_none() {
        warnings.push("neither pasta nor slirp4netns is there: containers cannot have a private network".into());
    }
    if cgroups.is_empty() {
        warnings.push("no cgroups are mounted: limits of memory, CPUs and processes cannot be set".into());
    }
    warnings
}

/// The facts for people.
fn readable(info: &Value) -> String {
    let number = |name: &str| info[name].as_u64().unwrap_or(0);
    let text = |name: &str| info[name].as_str().unwrap_or_default();
    let mut out = String::new();
    let mut line = |name: &str, value: String| out += &format!("{name}: {}\n", output::harmless(&value));
    line("Version", text("ServerVersion").into());
    line("Store", text("DockerRootDir").into());
    line("Containers", number("Containers").to_string());
    for (name, field) in [
        (" Running", "ContainersRunning"),
        (" Paused", "ContainersPaused"),
        (" Stopped", "ContainersStopped"),
        (" Mounted", "ContainersMounted"),
    ] {
        line(name, number(field).to_string());
    }
    line("Images", number("Images").to_string());
    line("Storage Driver", format!("{} (FUSE, no daemon)", text("Driver")));
    line("Logging Driver", text("LoggingDriver").into());
    line(
        "Containers run as",
        match text("Mode") {
            "root" => "root".into(),
            "subordinate ids" => "this user, with subordinate ids".into(),
            "single id" => "this user alone: other users are virtual, and owners of files only recorded".into(),
            _ => "nobody".into(),
        },
    );
    let refused = info["Modes"].as_object().into_iter().flatten();
    for (mode, reason) in refused.filter_map(|(mode, reason)| Some((mode, reason.as_str()?))) {
        line(&format!(" not with {mode}"), reason.into());
    }
    line("Security Options", texts(&info["SecurityOptions"]).collect::<Vec<_>>().join("; "));
    line("Cgroup Version", if text("CgroupVersion").is_empty() { "none".into() } else { text("CgroupVersion").into() });
    line("Kernel Version", text("KernelVersion").into());
    line("Operating System", text("OperatingSystem").into());
    line("OSType", text("OSType").into());
    line("Architecture", text("Architecture").into());
    line("CPUs", number("NCPU").to_string());
    line("Total Memory", format!("{:.2}GiB", number("MemTotal") as f64 / f64::from(1 << 30)));
    line("Name", text("Name").into());
    line("Programs", String::new());
    for (name, purpose) in host::PROGRAMS {
        let path = info["Programs"][name].as_str().map_or_else(|| format!("missing; for {purpose}"), Into::into);
        line(&format!(" {name}"), path);
    }
    out
}
