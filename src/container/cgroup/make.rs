//! Makes a container's cgroup, and removes those that killed launchers left.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, TryLockError};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use super::super::isolation::{Device, Security};
use super::super::plan::Plan;
use super::devices::{self, ALWAYS, DeviceRule};
use super::error::{errno, io_at};
use super::hierarchy::{Hierarchy, Host, Place, Version};
use super::limits::{Limits, Need};
use super::{Cgroup, CgroupError, Part, Result, name};
use crate::sys::{Errno, limit_devices};

/// What a container's cgroup is to do.
#[derive(Clone, Debug, Default)]
pub(in crate::container) struct Request {
    /// The container's ID; `None` for no cgroup.
    pub(in crate::container) id: Option<String>,
    /// The cgroup to make it in: a path from the top of the hierarchies, or one relative to the caller's cgroup.
    pub(in crate::container) parent: Option<String>,
    pub(in crate::container) limits: Limits,
    /// The devices that it may use besides those that every container has; `None` for all devices.
    pub(in crate::container) devices: Option<Vec<DeviceRule>>,
    /// The option that is void if the cgroup cannot limit devices.
    pub(in crate::container) needs_devices: Option<&'static str>,
}

/// The cgroup of a container that this process launches. Dropping it kills what still runs in the cgroup, and removes
/// it.
#[derive(Debug)]
pub struct OwnedCgroup {
    cgroup: Cgroup,
    /// Directories that were made above it.
    above: Vec<PathBuf>,
    /// An open directory of each part, locked.
    open: Vec<File>,
    limits_devices: bool,
}

impl std::ops::Deref for OwnedCgroup {
    type Target = Cgroup;

    fn deref(&self) -> &Cgroup {
        &self.cgroup
    }
}

impl Drop for OwnedCgroup {
    fn drop(&mut self) {
        if let Err(error) = self.cgroup.remove() {
            tracing::warn!(%error, "a cgroup is left; the next container removes it");
        }
        for dir in self.above.iter().rev() {
            // Another container may use it.
            let _ = fs::remove_dir(dir);
        }
    }
}

impl OwnedCgroup {
    /// Makes the cgroup in every hierarchy in which this process may. Empty where there is none.
    ///
    /// # Errors
    /// A limit or rule is asked for that cannot be set.
    pub(in crate::container) fn new(request: &Request) -> Result<OwnedCgroup> {
        // Without /proc there are no hierarchies.
        let host = Host::read().unwrap_or_default();
        let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let places = if request.id.is_some() { host.places(&own) } else { Vec::new() };
        OwnedCgroup::at(&places, request)
    }

    fn at(places: &[Place], request: &Request) -> Result<OwnedCgroup> {
        let mut made =
            OwnedCgroup { cgroup: Cgroup::default(), above: Vec::new(), open: Vec::new(), limits_devices: false };
        let mut failures: BTreeMap<&str, (PathBuf, io::Error)> = BTreeMap::new();
        let (v1, v2): (Vec<_>, Vec<_>) = places.iter().partition(|place| place.hierarchy.version == Version::V1);
        let needs = request.limits.needs();
        let parents = v1.iter().filter_map(|place| Some((&place.hierarchy, request.parent_in(place).ok()?)));
        sweep(parents);
        for place in v1 {
            if let Err(error) = made.add(place, &request.parent_in(place)?, request) {
                for controller in &place.hierarchy.controllers {
                    failures.insert(controller, (place.dir.clone(), errno_error(&error)));
                }
            }
        }
        let is_missing = |made: &OwnedCgroup, controller: &str| made.part(controller).is_none();
        // Version 2 does what no hierarchy of version 1 did.
        let lacks = needs.iter().any(|need| is_missing(&made, need.controller));
        if let Some(place) = v2.first()
            && (lacks || is_missing(&made, "freezer") || is_missing(&made, "devices"))
        {
            let missing: Vec<Need> = needs.iter().copied().filter(|need| is_missing(&made, need.controller)).collect();
            if let Err(error) = made.add_v2(place, &missing, request) {
                for need in missing {
                    failures.entry(need.controller).or_insert((place.dir.clone(), errno_error(&error)));
                }
            }
        }
        for Need { option, controller } in needs {
            if is_missing(&made, controller) {
                let (option, name) = (option.to_owned(), controller.to_owned());
                return Err(match failures.remove(controller) {
                    Some((dir, error)) => CgroupError::NotMade { option, controller: name, dir, errno: errno(&error) },
                    None => CgroupError::NoController { option, controller: name },
                });
            }
        }
        made.cgroup.set(&request.limits)?;
        made.limit_devices(request)?;
        Ok(made)
    }

    /// Whether the container can open only devices of its rules.
    pub(in crate::container) fn limits_devices(&self) -> bool {
        self.limits_devices
    }

    /// The cgroup itself, for the process that joins it.
    pub(in crate::container) fn cgroup(&self) -> &Cgroup {
        &self.cgroup
    }

    /// The open directory of the part of version 2.
    pub(in crate::container) fn unified(&self) -> Option<BorrowedFd<'_>> {
        let parts = self.cgroup.parts.iter().zip(&self.open);
        parts.filter(|(part, _)| part.version == Version::V2).map(|(_, open)| open.as_fd()).next()
    }

    fn add(&mut self, place: &Place, parent: &Path, request: &Request) -> io::Result<()> {
        let has_sets = place.hierarchy.has("cpuset");
        if place.hierarchy.version == Version::V2 {
            sweep([(&place.hierarchy, parent.to_owned())].into_iter());
        }
        for dir in missing(parent) {
            make_dir(&dir, has_sets)?;
            self.above.push(dir);
        }
        let dir = parent.join(name(request.id.as_deref().unwrap_or_default()));
        let open = make_locked(&dir, has_sets)?;
        self.open.push(open);
        self.cgroup.parts.push(Part::new(&place.hierarchy, dir));
        Ok(())
    }

    /// Makes the part of version 2 in the nearest cgroup, from the own one upwards, that gives the controllers.
    ///
    /// The own one seldom does: a cgroup with processes gives no controllers to those below it.
    fn add_v2(&mut self, place: &Place, needs: &[Need], request: &Request) -> io::Result<()> {
        if request.parent.is_some() {
            let parent = request.parent_in(place).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
            let made = self.add(place, &parent, request);
            let wanted: Vec<_> = needs.iter().map(|need| need.controller).collect();
            return made
                .and_then(|()| if gives(&parent, &wanted) { self.look_again() } else { Err(Errno::BUSY.into()) });
        }
        let needed: Vec<&str> = needs.iter().map(|need| need.controller).collect();
        // What `stats` shows and what tells that memory ran out, if it is to be had.
        let wished: Vec<&str> = needed.iter().copied().chain(["cpu", "memory", "pids"]).collect();
        let mut last = io::Error::from(Errno::OPNOTSUPP);
        for wanted in [wished, needed] {
            let candidates = place.dir.ancestors().take_while(|dir| dir.starts_with(&place.hierarchy.mount));
            for parent in candidates {
                if !gives(parent, &wanted) {
                    continue;
                }
                match self.add(place, parent, request) {
                    Ok(()) => return self.look_again(),
                    Err(error) => last = error,
                }
            }
        }
        Err(last)
    }

    /// Reads anew which controllers the part of version 2 has.
    fn look_again(&mut self) -> io::Result<()> {
        for part in self.cgroup.parts.iter_mut().filter(|part| part.version == Version::V2) {
            part.controllers = part.read("cgroup.controllers").split_whitespace().map(str::to_owned).collect();
        }
        Ok(())
    }

    fn limit_devices(&mut self, request: &Request) -> Result<()> {
        let Some(rules) = &request.devices else { return Ok(()) };
        let limited = match self.cgroup.part("devices") {
            Some(part) => limit_by_lines(part, rules),
            None => self.limit_by_program(rules),
        };
        match (limited, request.needs_devices) {
            (Ok(()), _) => self.limits_devices = true,
            (Err(error), None) => tracing::debug!(%error, "no cgroup limits devices"),
            (Err(_), Some(option)) => return Err(CgroupError::NoDevices(option.into())),
        }
        Ok(())
    }

    fn limit_by_program(&self, rules: &[DeviceRule]) -> Result<()> {
        let unified = self.unified().ok_or(CgroupError::None)?;
        let rules: Vec<_> = ALWAYS.into_iter().chain(rules.iter().copied()).collect();
        let dir = self.cgroup.unified().map(|part| part.dir.clone()).unwrap_or_default();
        limit_devices(unified, &devices::program(&rules)).map_err(|errno| CgroupError::Io {
            doing: "limit devices in".into(),
            path: dir,
            errno,
        })
    }
}

fn limit_by_lines(part: &Part, rules: &[DeviceRule]) -> Result<()> {
    let write = |file: &str, line: &str| {
        let file = part.dir.join(file);
        fs::write(&file, line).map_err(io_at("write to", &file))
    };
    write("devices.deny", "a")?;
    for (rule, is_given) in ALWAYS.iter().map(|rule| (rule, false)).chain(rules.iter().map(|rule| (rule, true))) {
        for line in devices::lines(rule) {
            match write("devices.allow", &line) {
                // The cgroup above refuses this device to all below it.
                Err(error) if !is_given => tracing::debug!(%error, line, "a device stays refused"),
                other => other?,
            }
        }
    }
    Ok(())
}

impl Request {
    /// What a plan asks for.
    pub(in crate::container) fn of(plan: &Plan) -> Request {
        let Security { privileged, devices, device_rules, .. } = &plan.security;
        let rules = devices.iter().filter_map(Device::rule).chain(device_rules.iter().copied());
        let is_limited = |device: &Device| !(device.rights.read && device.rights.write);
        let needs_devices = if *privileged {
            None
        } else if !device_rules.is_empty() {
            Some("--device-cgroup-rule")
        } else {
            devices.iter().any(is_limited).then_some("--device with fewer rights than rw")
        };
        Request {
            id: plan.id.clone(),
            parent: plan.resources.cgroup_parent.clone(),
            limits: plan.resources.limits.clone(),
            devices: (!privileged).then(|| rules.collect()),
            needs_devices,
        }
    }

    fn parent_in(&self, place: &Place) -> Result<PathBuf> {
        let Some(parent) = &self.parent else { return Ok(place.dir.clone()) };
        let path = Path::new(parent);
        let plain = |part| matches!(part, std::path::Component::Normal(_) | std::path::Component::RootDir);
        if parent.is_empty() || !path.components().all(plain) {
            return Err(CgroupError::Parent(parent.clone()));
        }
        match path.strip_prefix("/") {
            Ok(below) => Ok(place.hierarchy.mount.join(below)),
            Err(_) => Ok(place.dir.join(path)),
        }
    }
}

/// Whether a new cgroup in `dir` gets all of `controllers`; asks for those that are not given yet.
fn gives(dir: &Path, controllers: &[&str]) -> bool {
    let read = |file: &str| fs::read_to_string(dir.join(file)).unwrap_or_default();
    let has = |text: &str, name: &str| text.split_whitespace().any(|one| one == name);
    let given = read("cgroup.subtree_control");
    let available = read("cgroup.controllers");
    let enable = |name: &&str| {
        has(&given, name)
            || (has(&available, name) && fs::write(dir.join("cgroup.subtree_control"), format!("+{name}")).is_ok())
    };
    controllers.iter().all(enable)
}

/// The directories of a path that do not exist, the outermost first.
fn missing(path: &Path) -> Vec<PathBuf> {
    let mut missing: Vec<_> = path.ancestors().take_while(|dir| !dir.exists()).map(Path::to_owned).collect();
    missing.reverse();
    missing
}

/// A new cgroup. One of version 1 with CPU sets takes no process before it has CPUs and memory nodes.
fn make_dir(dir: &Path, has_sets: bool) -> io::Result<()> {
    fs::create_dir(dir)?;
    if has_sets {
        let parent = dir.parent().unwrap_or(dir);
        for file in ["cpuset.cpus", "cpuset.mems"] {
            if fs::read_to_string(dir.join(file))?.trim().is_empty() {
                fs::write(dir.join(file), fs::read_to_string(parent.join(file))?.trim())?;
            }
        }
    }
    Ok(())
}

/// A new cgroup that [`sweep`] leaves alone while the descriptor is open.
fn make_locked(dir: &Path, has_sets: bool) -> io::Result<File> {
    const TRIES: u32 = 20;
    for _ in 0..TRIES {
        // Another launcher may sweep it before it is locked.
        match make_dir(dir, has_sets) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => thread::sleep(Duration::from_millis(1)),
            Err(error) if error.kind() == io::ErrorKind::NotFound && dir.parent().is_some_and(Path::exists) => continue,
            other => other?,
        }
        let Ok(open) = File::open(dir) else { continue };
        match open.try_lock() {
            Ok(()) if dir.exists() => return Ok(open),
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => thread::sleep(Duration::from_millis(1)),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        let _ = fs::remove_dir(dir);
    }
    Err(Errno::BUSY.into())
}

/// Removes the cgroups in `parents` whose launcher is gone. All parts of one are removed together, because its processes
/// die only when its freezer lets them.
fn sweep<'a>(parents: impl Iterator<Item = (&'a Hierarchy, PathBuf)>) {
    let mut left: BTreeMap<OsString, Vec<(Part, File)>> = BTreeMap::new();
    for (hierarchy, parent) in parents {
        for dir in super::below(&parent) {
            let Some(name) = dir.file_name().filter(|name| is_ours(name)).map(OsStr::to_owned) else { continue };
            if let Ok(open) = File::open(&dir) {
                left.entry(name).or_default().push((Part::new(hierarchy, dir), open));
            }
        }
    }
    for parts in left.into_values() {
        // The locks are held until the directories are removed, so that a launcher that just made them notices.
        if parts.iter().all(|(_, open)| open.try_lock().is_ok()) {
            let cgroup = Cgroup { parts: parts.iter().map(|(part, _)| part.clone()).collect() };
            if let Err(error) = cgroup.remove() {
                tracing::debug!(%error, "a cgroup of a killed launcher stays");
            }
        }
    }
}

/// Whether a container's cgroup has this name.
fn is_ours(name: &OsStr) -> bool {
    let id = name.to_str().and_then(|name| name.strip_prefix("overfuse-"));
    id.is_some_and(|id| id.len() == ID_LENGTH && id.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// The length of a container's ID.
const ID_LENGTH: usize = 64;

fn errno_error(error: &io::Error) -> io::Error {
    io::Error::from(errno(error))
}
