//! What `inspect` shows of a container.

use std::collections::BTreeMap;

use anyhow::Result;
use serde::Serialize;
use serde_json::{Value, json};

use super::rights;
use super::seen::Seen;
use crate::cli::image::inspect::{Config as ImageConfig, lower_dirs};
use crate::container::network::published;
use crate::container::{Access, Device, Mount, MountKind, MountPoint, Network, SHM_SIZE, Settings, Variable};
use crate::image::{Digest, Instant};
use crate::store::{Container, Image, Store};

/// Docker's fields, in docker's order.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(in crate::cli) struct Facts {
    id: String,
    created: Instant,
    path: String,
    args: Vec<String>,
    state: State,
    image: Digest,
    resolv_conf_path: String,
    hostname_path: String,
    hosts_path: String,
    log_path: String,
    name: String,
    restart_count: u32,
    driver: &'static str,
    platform: String,
    host_config: Value,
    graph_driver: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    size_rw: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    size_root_fs: Option<u64>,
    mounts: Vec<MountPoint>,
    config: Config,
    network_settings: Value,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct State {
    status: &'static str,
    running: bool,
    paused: bool,
    restarting: bool,
    #[serde(rename = "OOMKilled")]
    oom_killed: bool,
    dead: bool,
    pid: u32,
    exit_code: u8,
    error: String,
    started_at: String,
    finished_at: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Config {
    hostname: String,
    domainname: String,
    attach_stdin: bool,
    attach_stdout: bool,
    attach_stderr: bool,
    tty: bool,
    open_stdin: bool,
    stdin_once: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    stop_timeout: Option<i64>,
    #[serde(rename = "Image")]
    image_name: String,
    /// The image's fields, with the container's own in their place.
    #[serde(flatten)]
    of_image: ImageConfig,
}

/// # Errors
/// A document of the container or of its image cannot be read, or the sizes cannot be measured.
pub(in crate::cli) fn facts(store: &Store, container: Container, size: bool) -> Result<Facts> {
    let image = store.image(&container.image.to_string())?;
    let seen = Seen::new(container, Some(&image))?;
    let Seen { container, settings, life, .. } = &seen;
    let (path, args) = match container.command.split_first() {
        Some((path, args)) => (path.clone(), args.to_vec()),
        None => (String::new(), Vec::new()),
    };
    let sizes = if size {
        let own = store.container_bytes(container)?;
        Some((own, own.saturating_add(store.image_bytes(&image))))
    } else {
        None
    };
    // Written at the first start.
    let file = |name: &str| {
        let path = container.dir().join(name);
        if path.exists() { path.display().to_string() } else { String::new() }
    };
    let log = crate::container::log::path(container.dir());
    let is_logged = settings.life.log.kept && life.started.is_some();
    Ok(Facts {
        id: container.id.clone(),
        created: container.created,
        path,
        args,
        state: State {
            status: life.word,
            running: life.running,
            paused: life.paused,
            restarting: life.word == "restarting",
            oom_killed: life.oom_killed,
            dead: false,
            pid: life.pid,
            exit_code: life.exit_code.filter(|_| !life.running).unwrap_or(0),
            error: life.error.clone(),
            started_at: time(life.started),
            finished_at: time(life.finished),
        },
        image: container.image,
        resolv_conf_path: file("resolv.conf"),
        hostname_path: file("hostname"),
        hosts_path: file("hosts"),
        log_path: if is_logged { log.display().to_string() } else { String::new() },
        name: format!("/{}", container.name),
        restart_count: life.restarts,
        driver: "overfuse",
        platform: image.config.os().to_string(),
        host_config: host_config(settings),
        graph_driver: json!({
            "Name": "overfuse",
            "Data": {
                "LowerDir": lower_dirs(store, &image),
                "UpperDir": container.upper().display().to_string(),
                "WorkDir": container.work().display().to_string(),
                "MergedDir": container.merged().display().to_string(),
            },
        }),
        size_rw: sizes.map(|(own, _)| own),
        size_root_fs: sizes.map(|(_, all)| all),
        mounts: settings.mounts.points(container),
        config: config(store, &image, &seen)?,
        network_settings: network_settings(container, settings)?,
    })
}

/// Go's zero time where there is none, as docker has it.
fn time(at: Option<Instant>) -> String {
    at.map_or_else(|| "0001-01-01T00:00:00Z".into(), |at| at.to_string())
}

fn config(store: &Store, image: &Image, seen: &Seen) -> Result<Config> {
    let Seen { container, settings, labels, .. } = seen;
    let mut of_image = ImageConfig::of(store, image)?;
    let text = |value: &std::ffi::OsStr| Value::from(value.to_string_lossy());
    let wishes = &settings.wishes;
    let env = settings.process(image.config.config().as_ref(), &container.id).map(|process| process.env);
    // These two are set at the start unless the image or the user sets them.
    let set = |name: &str| {
        let by_user = |variable: &Variable| matches!(variable, Variable::Set(set, _) if set == name);
        let entries = of_image.env.as_array().into_iter().flatten().filter_map(Value::as_str);
        wishes.env.iter().any(by_user) || entries.into_iter().any(|entry| entry.split('=').next() == Some(name))
    };
    let kept: Vec<bool> = ["HOSTNAME", "TERM"].iter().map(|name| set(name)).collect();
    let hostname = settings.hostname(&container.id);
    if let Ok(env) = env {
        let shown = env.iter().filter(|(name, _)| (name != "HOSTNAME" || kept[0]) && (name != "TERM" || kept[1]));
        let shown = shown.map(|(name, value)| format!("{}={}", name.to_string_lossy(), value.to_string_lossy()));
        of_image.env = shown.collect();
    }
    match &wishes.entrypoint {
        Some(entrypoint) if entrypoint.is_empty() => of_image.entrypoint = Value::Null,
        Some(entrypoint) => of_image.entrypoint = json!([text(entrypoint)]),
        None => {}
    }
    if !wishes.command.is_empty() {
        of_image.cmd = wishes.command.iter().map(|arg| text(arg)).collect();
    } else if wishes.entrypoint.is_some() {
        of_image.cmd = Value::Null;
    }
    if let Some(workdir) = &wishes.workdir {
        of_image.working_dir = text(workdir.as_os_str());
    }
    if let Some(user) = &wishes.user {
        of_image.user = user.as_str().into();
    }
    if let Some(signal) = settings.life.stop_signal {
        of_image.stop_signal = signal.to_string().into();
    }
    of_image.labels = serde_json::to_value(labels)?;
    Ok(Config {
        hostname,
        domainname: String::new(),
        attach_stdin: settings.interactive,
        attach_stdout: true,
        attach_stderr: true,
        tty: wishes.terminal,
        open_stdin: settings.interactive,
        stdin_once: settings.life.input_once,
        stop_timeout: settings.life.stop_timeout,
        image_name: container.image_name.clone(),
        of_image,
    })
}

/// What the options of `create` and `run` asked for.
fn host_config(settings: &Settings) -> Value {
    let security = &settings.security;
    let mounts = &settings.mounts;
    let bind = |mount: &Mount| {
        let mode = if mount.access == Access::ReadOnly { ":ro" } else { "" };
        Some(format!("{}:{}{mode}", mount.source_name()?, mount.target.display()))
    };
    let binds: Vec<_> = mounts.list.iter().filter(|mount| !mount.is_anonymous()).filter_map(bind).collect();
    let tmpfs = mounts.list.iter().filter_map(|mount| match &mount.kind {
        MountKind::Tmpfs(tmpfs) => {
            Some((mount.target.display().to_string(), Value::from(tmpfs.to_options(mount.access))))
        }
        _ => None,
    });
    let tmpfs: serde_json::Map<_, _> = tmpfs.collect();
    let device = |device: &Device| {
        json!({
            "PathOnHost": device.source.display().to_string(),
            "PathInContainer": device.target.display().to_string(),
            "CgroupPermissions": device.rights.letters(),
        })
    };
    let devices: Vec<_> = security.devices.iter().map(device).collect();
    let mut shown = json!({
        "Binds": binds,
        "Tmpfs": tmpfs,
        "ShmSize": mounts.shm_size.unwrap_or(SHM_SIZE),
        "NetworkMode": network_mode(settings),
        "LogConfig": log_config(settings),
        "RestartPolicy": restart_policy(settings),
        "AutoRemove": settings.auto_remove,
        "Privileged": security.privileged,
        "ReadonlyRootfs": settings.read_only,
        "SecurityOpt": security.options(),
        "Devices": devices,
        "Init": settings.init,
    });
    if let Some(shown) = shown.as_object_mut() {
        shown.extend(rights::facts(settings));
    }
    shown
}

fn log_config(settings: &Settings) -> Value {
    let log = &settings.life.log;
    let size = log.max_size.map(|size| ("max-size".to_owned(), json!(size.to_string())));
    let files = (log.max_files != 1).then(|| ("max-file".to_owned(), json!(log.max_files.to_string())));
    let config: serde_json::Map<_, _> = size.into_iter().chain(files).collect();
    json!({ "Type": if log.kept { "json-file" } else { "none" }, "Config": config })
}

fn restart_policy(settings: &Settings) -> Value {
    let policy = settings.life.restart.to_string();
    let (name, most) = policy.split_once(':').unwrap_or((&policy, "0"));
    json!({ "Name": name, "MaximumRetryCount": most.parse::<u32>().unwrap_or(0) })
}

/// What `ps` shows of the mounts: names of volumes and paths of the host, shortened as docker does.
pub(super) fn mount_names(settings: &Settings, whole: bool) -> Vec<String> {
    const WIDTH: usize = 15;
    let shorten = |name: String| if whole { name } else { crate::cli::output::ellipsis(&name, WIDTH) };
    settings.mounts.list.iter().filter_map(Mount::source_name).map(shorten).collect()
}

/// The network as `--network` names it.
pub(super) fn network_mode(settings: &Settings) -> String {
    match &settings.network.network {
        Network::Host => "host".into(),
        Network::None => "none".into(),
        Network::Private(None) => "private".into(),
        Network::Private(Some(helper)) => helper.name().into(),
        Network::Container(id) => format!("container:{id}"),
    }
}

/// The ports that are published now, and as null those only exposed.
fn network_settings(container: &Container, settings: &Settings) -> Result<Value> {
    let mut ports: BTreeMap<String, Value> =
        settings.network.expose.iter().map(|port| (port.to_string(), Value::Null)).collect();
    for one in published(container)? {
        let binding = json!({ "HostIp": one.host.ip(), "HostPort": one.host.port().to_string() });
        match ports.entry(one.port.to_string()).or_default() {
            Value::Array(bindings) => bindings.push(binding),
            null => *null = json!([binding]),
        }
    }
    Ok(json!({ "Ports": ports, "Networks": { network_mode(settings): {} } }))
}
