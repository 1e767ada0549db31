//! Turns a launch plan into the configuration of an OCI runtime.
//!
//! Takes every field of the plan apart, so that a new one does not compile until a bundle has it or refuses it.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use oci_spec::runtime::{
    BoxBuilder as ConsoleSize, Capabilities as CapabilityNames, Linux, LinuxCapabilities, LinuxDeviceCgroup,
    LinuxDeviceType, LinuxIdMapping, LinuxIdMappingBuilder, LinuxNamespace, LinuxNamespaceType, LinuxResources, Mount,
    Process as Program, Root, Spec, User,
};

use super::super::account::Identity;
use super::super::cgroup::Limits;
use super::super::error::LaunchError;
use super::super::isolation::{Device, MaskChanges, Nodes, Security, masks};
use super::super::mounts::{self, Bind, MountKind, Propagation, SHM_SIZE, Submounts, Tmpfs, VolumeMount};
use super::super::network::Attachment;
use super::super::plan::{Access, First, Input, Isolation, Plan, Sandbox};
use super::super::resources::Resources;
use super::super::spec::Process;
use super::{BundleError, Runner, file_error, limits};
use crate::sys::{Capabilities, IdKind, IdMaps, device_major, device_minor};

type Result<T> = std::result::Result<T, BundleError>;

/// The version of the specification; later ones add nothing that is used here.
const VERSION: &str = "1.0.2";

const HARMLESS: [&str; 3] = ["nosuid", "nodev", "noexec"];

/// The group of terminals on all distributions.
const TTY_GROUP: u32 = 5;

/// The configuration of a container of `plan` whose root is at `root`, for `runner`.
pub(super) fn spec(
    plan: Plan,
    identity: Identity,
    runner: &Runner,
    root: &Path,
    annotations: HashMap<String, String>,
) -> Result<Spec> {
    // The runtime gives the command its own standard input.
    let Plan {
        root: _,
        process,
        isolation,
        security,
        resources,
        id: _,
        input: Input::Attached | Input::Nothing,
        window,
        link: _,
        virtual_ids: _,
    } = plan;
    // The runtime's rules for devices are those of the launcher where it has a device cgroup.
    let nodes = if matches!(runner, Runner::Root) { Nodes::Limited } else { Nodes::Unlimited };
    let capabilities = security.capabilities(isolation.is_alone(), nodes)?;
    if security.masks != MaskChanges::default() {
        return Err(BundleError::Option("--security-opt mask, unmask and systempaths"));
    }
    if !security.device_rules.is_empty() {
        return Err(BundleError::Option("--device-cgroup-rule"));
    }
    let sandbox = match isolation {
        Isolation::Namespaces(sandbox) => sandbox,
        Isolation::Chroot => return Err(BundleError::Chroot),
    };
    let mut program = program(process, identity, runner, &security, runner.may_give(capabilities)?)?;
    limits::of_process(&resources, &mut program)?;
    if let Some(size) = window {
        let shown = ConsoleSize::default().height(u64::from(size.ws_row)).width(u64::from(size.ws_col)).build()?;
        program.set_console_size(program.terminal().unwrap_or(false).then_some(shown));
    }
    let Sandbox { hostname, network, root: access, mounts: _, volumes: _, shm_size: _, first, runtime: _, domain } =
        &sandbox;
    let (first, access) = (*first, *access);
    let own_network = match network {
        Attachment::Host => false,
        Attachment::None => true,
        Attachment::Private | Attachment::Joined(_) => {
            return Err(BundleError::Option("--network private and --network container:NAME"));
        }
    };
    match first {
        First::Command => {}
        First::Init => return Err(BundleError::Init),
    }
    let mut top = Root::default();
    top.set_path(root.to_owned()).set_readonly(Some(access == Access::ReadOnly));
    let mut spec = Spec::default();
    spec.set_version(VERSION.into())
        .set_root(Some(top))
        .set_process(Some(program))
        .set_hostname(Some(hostname.clone()))
        .set_domainname(domain.clone())
        .set_mounts(Some(mounts(&sandbox, runner, &security)?))
        .set_annotations(Some(annotations))
        .set_linux(Some(linux(own_network, runner, &security, &resources, capabilities)?));
    Ok(spec)
}

fn program(
    process: Process,
    identity: Identity,
    runner: &Runner,
    security: &Security,
    capabilities: Capabilities,
) -> Result<Program> {
    let Identity { uid, gid, groups, home } = identity;
    runner.check(uid, gid)?;
    let has_home = process.variable("HOME").is_some();
    let Process { args, env, workdir, user: _, terminal } = process;
    let mut variables = Vec::new();
    for (name, value) in &env {
        variables.push(format!("{}={}", text(name)?, text(value)?));
    }
    if !has_home {
        variables.push(format!("HOME={home}"));
    }
    let mut user = User::default();
    user.set_uid(uid).set_gid(gid).set_umask(Some(0o022));
    if !groups.is_empty() {
        user.set_additional_gids(Some(groups));
    }
    let names = |set: Capabilities| -> Option<CapabilityNames> {
        Some(set.names().filter_map(|name| name.parse().ok()).collect())
    };
    let none = || Some(CapabilityNames::default());
    // An ordinary user has none, but set-id programs can gain those of the bounding set.
    let held = || if uid == 0 { names(capabilities) } else { none() };
    let mut rights = LinuxCapabilities::default();
    rights
        .set_bounding(names(capabilities))
        .set_effective(held())
        .set_permitted(held())
        .set_inheritable(none())
        .set_ambient(none());
    let mut program = Program::default();
    program
        .set_terminal(Some(terminal))
        .set_user(user)
        .set_args(Some(args.iter().map(|arg| text(arg)).collect::<Result<_>>()?))
        .set_env(Some(variables))
        .set_cwd(workdir)
        .set_capabilities(Some(rights))
        .set_rlimits(None)
        .set_no_new_privileges(Some(security.no_new_privileges));
    Ok(program)
}

/// In the order of mounting: the same file systems with the same options as the launcher's, then the user's and devices.
fn mounts(sandbox: &Sandbox, runner: &Runner, security: &Security) -> Result<Vec<Mount>> {
    let harmless = |more: &[&'static str]| [&HARMLESS[..], more].concat();
    let read_only: &[&str] = if security.privileged { &[] } else { &["ro"] };
    let mut terminals = vec!["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"];
    if runner.has_group(TTY_GROUP) {
        terminals.push("gid=5");
    }
    // An ordinary user mounts a sysfs only with a network namespace of its own.
    let sys = match (runner, &sandbox.network) {
        (Runner::Root, _) | (_, Attachment::None) => mount("/sys", "sysfs", "sysfs", &harmless(read_only)),
        _ => {
            let read_only: &[&str] = if security.privileged { &["rbind"] } else { &["rbind", "ro", "rro"] };
            mount("/sys", "bind", "/sys", &harmless(read_only))
        }
    };
    let shm_size = format!("size={}k", sandbox.shm_size.unwrap_or(SHM_SIZE).div_ceil(1 << 10));
    let mut mounts = vec![
        mount("/proc", "proc", "proc", &harmless(&[])),
        sys,
        mount("/dev", "tmpfs", "tmpfs", &["nosuid", "mode=755", "size=65536k"]),
        mount("/dev/pts", "devpts", "devpts", &terminals),
        mount("/dev/shm", "tmpfs", "tmpfs", &[&HARMLESS[..], &["mode=1777", &shm_size]].concat()),
        mount("/dev/mqueue", "mqueue", "mqueue", &harmless(&[])),
    ];
    let mut added: Vec<_> = sandbox.mounts.iter().collect();
    added.sort_by_key(|mount| mount.target.components().count());
    for one in added {
        mounts.push(of_user(one, sandbox, security)?);
    }
    for Device { source, target, rights: _ } in &security.devices {
        mounts.push(mount(target, "bind", source, &["bind", "rprivate"]));
    }
    Ok(mounts)
}

/// A mount that the user or the image asks for.
fn of_user(wanted: &mounts::Mount, sandbox: &Sandbox, security: &Security) -> Result<Mount> {
    let mounts::Mount { target, access, kind } = wanted;
    if target.starts_with("/proc") {
        return Err(LaunchError::OverProc(target.clone()).into());
    }
    let (source, submounts, propagation) = match kind {
        MountKind::Tmpfs(Tmpfs { options, execution, set_id }) => {
            let mut all = vec!["nodev"];
            all.extend(
                [(*execution, "noexec"), (*set_id, "nosuid")].iter().filter(|(on, _)| !on).map(|(_, flag)| flag),
            );
            all.extend((*access == Access::ReadOnly).then_some("ro"));
            let options: Vec<String> = options.iter().map(|(key, value)| format!("{key}={value}")).collect();
            all.extend(options.iter().map(String::as_str));
            return Ok(mount(target, "tmpfs", "tmpfs", &all));
        }
        MountKind::Bind(Bind { source, submounts, propagation }) => (source.clone(), *submounts, *propagation),
        MountKind::Volume(VolumeMount { subpath: Some(_), .. }) => return Err(BundleError::Subpath(target.clone())),
        MountKind::Volume(VolumeMount { name, subpath: None, copy: _, labels: _ }) => {
            let found = sandbox.volumes.iter().find(|found| Some(found.name.as_str()) == name.name());
            let found = found.ok_or_else(|| LaunchError::Volume(format!("no volume for {}", target.display())))?;
            (found.data(), Submounts::default(), Propagation::default())
        }
    };
    // Options that begin with `r` are about the mounts below, too. Not said of a file: crun 1.8 takes it for a directory
    // then.
    let tree = source.is_dir() && submounts != Submounts::Absent;
    let mut options = vec![
        if submounts == Submounts::Absent { "bind" } else { "rbind" },
        match propagation {
            Propagation::Private => "rprivate",
            Propagation::Slave => "rslave",
        },
    ];
    if !security.allows_nodes() {
        options.extend(if tree { &["nodev", "rnodev"][..] } else { &["nodev"] });
    }
    if *access == Access::ReadOnly {
        options.extend(if tree && submounts == Submounts::Alike { &["ro", "rro"][..] } else { &["ro"] });
    }
    Ok(mount(target, "bind", source, &options))
}

fn mount(at: impl Into<PathBuf>, kind: &str, source: impl Into<PathBuf>, options: &[&str]) -> Mount {
    let mut mount = Mount::default();
    mount
        .set_destination(at.into())
        .set_typ(Some(kind.into()))
        .set_source(Some(source.into()))
        .set_options(Some(options.iter().map(|option| (*option).into()).collect()));
    mount
}

fn linux(
    own_network: bool,
    runner: &Runner,
    security: &Security,
    wanted: &Resources,
    capabilities: Capabilities,
) -> Result<Linux> {
    use LinuxNamespaceType::{Cgroup, Ipc, Mount, Network as Net, Pid, User, Uts};

    let mut kinds = vec![Pid, Ipc, Uts, Mount, Cgroup];
    if own_network {
        kinds.push(Net);
    }
    let mut linux = Linux::default();
    if let Runner::User(ids) = runner {
        kinds.push(User);
        linux
            .set_uid_mappings(Some(mappings(ids, IdKind::User)?))
            .set_gid_mappings(Some(mappings(ids, IdKind::Group)?));
    }
    let namespace = |kind| {
        let mut namespace = LinuxNamespace::default();
        namespace.set_typ(kind);
        namespace
    };
    let (masked, read_only) = match security.privileged {
        true => (Vec::new(), Vec::new()),
        false => masked(runner, own_network),
    };
    linux
        .set_namespaces(Some(kinds.into_iter().map(namespace).collect()))
        .set_masked_paths(Some(masked))
        .set_readonly_paths(Some(read_only))
        .set_seccomp(security.filter().for_runtime(capabilities)?)
        .set_sysctl(limits::sysctls(wanted))
        .set_resources(resources(runner, security, wanted)?);
    Ok(linux)
}

/// The paths that are masked and those that are read-only.
fn masked(runner: &Runner, own_network: bool) -> (Vec<String>, Vec<String>) {
    let below = |dir: &str, paths: &[&str]| paths.iter().map(|path| format!("{dir}/{path}")).collect::<Vec<_>>();
    let mut masked = below("/proc", &masks::MASKED_IN_PROC);
    masked.extend(below("/sys", &masks::MASKED_IN_SYS));
    if !matches!(runner, Runner::Root) && !own_network {
        // The host's `/sys` has the host's cgroups in it.
        masked.push("/sys/fs/cgroup".into());
    }
    (masked, below("/proc", &masks::READ_ONLY_IN_PROC))
}

/// The rules of the device cgroup. Only the host's root has cgroups that are certain to be writable.
fn resources(runner: &Runner, security: &Security, wanted: &Resources) -> Result<Option<LinuxResources>> {
    if !matches!(runner, Runner::Root) {
        return match wanted.limits == Limits::default() {
            true => Ok(None),
            false => Err(BundleError::Option("limits of memory, CPUs and processes without root")),
        };
    }
    let rule = |allow: bool| {
        let mut rule = LinuxDeviceCgroup::default();
        rule.set_allow(allow).set_access(Some("rwm".into()));
        rule
    };
    let mut rules = vec![rule(security.allows_nodes())];
    for Device { source, rights, .. } in &security.devices {
        let file = fs::metadata(source).map_err(file_error(source))?;
        let kind = match file.file_type() {
            kind if kind.is_char_device() => LinuxDeviceType::C,
            kind if kind.is_block_device() => LinuxDeviceType::B,
            _ => return Err(BundleError::NoDevice(source.clone())),
        };
        let mut one = rule(true);
        one.set_access(Some(rights.letters()));
        let (major, minor) = (device_major(file.rdev()), device_minor(file.rdev()));
        one.set_typ(Some(kind)).set_major(Some(major.into())).set_minor(Some(minor.into()));
        rules.push(one);
    }
    let mut resources = LinuxResources::default();
    resources.set_devices(Some(rules));
    limits::of_cgroup(wanted, &mut resources);
    Ok(Some(resources))
}

fn mappings(ids: &IdMaps, kind: IdKind) -> Result<Vec<LinuxIdMapping>> {
    let ranges = match kind {
        IdKind::User => &ids.users,
        IdKind::Group => &ids.groups,
    };
    let mapping = |range: &crate::sys::namespace::IdRange| {
        let mapping = LinuxIdMappingBuilder::default().container_id(range.inside).host_id(range.outside);
        Ok(mapping.size(range.count).build()?)
    };
    ranges.iter().map(mapping).collect()
}

/// JSON has no other text than Unicode.
fn text(text: &OsStr) -> Result<String> {
    text.to_str().map(str::to_owned).ok_or_else(|| BundleError::NotUnicode(text.to_owned()))
}
