//! Capabilities: what root in a container may do.

use rustix::thread::{self as rth, CapabilitySet, CapabilitySets};

use super::{Errno, Result, namespace};

/// A set of capabilities.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities(CapabilitySet);

/// Whether this process administers the host, and not only a user namespace.
pub fn is_root_of_host() -> bool {
    let may = rth::capabilities(None).is_ok_and(|sets| sets.effective.contains(CapabilitySet::SYS_ADMIN));
    may && namespace::mapped_ids().is_ok_and(|(users, _)| users == u64::from(u32::MAX))
}

impl Capabilities {
    /// The capabilities that `docker run` gives root by default.
    pub const CONTAINER: Capabilities = Capabilities(
        CapabilitySet::CHOWN
            .union(CapabilitySet::DAC_OVERRIDE)
            .union(CapabilitySet::FOWNER)
            .union(CapabilitySet::FSETID)
            .union(CapabilitySet::KILL)
            .union(CapabilitySet::SETGID)
            .union(CapabilitySet::SETUID)
            .union(CapabilitySet::SETPCAP)
            .union(CapabilitySet::NET_BIND_SERVICE)
            .union(CapabilitySet::NET_RAW)
            .union(CapabilitySet::SYS_CHROOT)
            .union(CapabilitySet::MKNOD)
            .union(CapabilitySet::AUDIT_WRITE)
            .union(CapabilitySet::SETFCAP),
    );

    /// No capability.
    pub const NONE: Capabilities = Capabilities(CapabilitySet::empty());
    /// Every capability.
    pub const ALL: Capabilities = Capabilities(CapabilitySet::all());
    /// `CAP_MKNOD`: making device nodes.
    pub const MAKE_NODES: Capabilities = Capabilities(CapabilitySet::MKNOD);
    /// What it takes to look at another process and at the files that it names.
    pub const LOOK_AT_PROCESSES: Capabilities =
        Capabilities(CapabilitySet::SYS_PTRACE.union(CapabilitySet::SYS_CHROOT).union(CapabilitySet::DAC_OVERRIDE));
    /// `CAP_NET_RAW`: reading and sending packets of any kind on every visible interface.
    pub const RAW_PACKETS: Capabilities = Capabilities(CapabilitySet::NET_RAW);

    /// Those that this process has or can take.
    ///
    /// # Errors
    /// As `capget(2)`.
    pub fn of_this_process() -> Result<Capabilities> {
        Ok(Capabilities(rth::capabilities(None)?.permitted))
    }

    /// The capability `name`, for example `CAP_SYS_ADMIN`.
    pub fn named(name: &str) -> Option<Capabilities> {
        name.strip_prefix("CAP_").and_then(CapabilitySet::from_name).map(Capabilities)
    }

    /// Whether the set has all of `others`.
    pub const fn contains(self, others: Capabilities) -> bool {
        self.0.contains(others.0)
    }

    /// This set and `others`.
    #[must_use]
    pub const fn and(self, others: Capabilities) -> Capabilities {
        Capabilities(self.0.union(others.0))
    }

    /// Whether the set has the capability `name`, for example `CAP_SYS_ADMIN`.
    pub fn has(self, name: &str) -> bool {
        Capabilities::named(name).is_some_and(|one| self.contains(one))
    }

    /// Those of the set that this process has.
    ///
    /// # Errors
    /// As `capget(2)`.
    pub fn held(self) -> Result<Capabilities> {
        Ok(Capabilities(rth::capabilities(None)?.permitted & self.0))
    }

    /// The names of the capabilities in the set, without `CAP_`.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        self.0.iter_names().map(|(name, _)| name)
    }

    /// This set without `others`.
    #[must_use]
    pub const fn without(self, others: Capabilities) -> Capabilities {
        Capabilities(self.0.difference(others.0))
    }

    /// Limits the bounding set to these: no program that this process executes later gets more.
    ///
    /// # Errors
    /// `EPERM` without `CAP_SETPCAP`.
    pub fn bound(self) -> Result<()> {
        for number in 0..u64::BITS {
            let one = CapabilitySet::from_bits_retain(1 << number);
            match rth::capability_is_in_bounding_set(one) {
                Ok(true) if !self.0.contains(one) => rth::remove_capability_from_bounding_set(one)?,
                Ok(_) => {}
                // Past the last capability that this kernel knows.
                Err(Errno::INVAL) => break,
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    /// Drops every capability of this process that is not in this set, and clears the inheritable and ambient sets.
    ///
    /// # Errors
    /// As `capset(2)`.
    pub fn keep(self) -> Result<()> {
        let kept = rth::capabilities(None)?.permitted & self.0;
        rth::clear_ambient_capability_set()?;
        let sets = CapabilitySets { effective: kept, permitted: kept, inheritable: CapabilitySet::empty() };
        rth::set_capabilities(None, sets)
    }
}

/// Makes the calling thread, and threads that it starts later, obey disk quotas, as overlayfs does for its mounter.
///
/// Drops `CAP_SYS_RESOURCE` from the effective set.
///
/// # Errors
/// As `capset(2)`.
pub fn obey_quotas() -> Result<()> {
    let sets = rth::capabilities(None)?;
    rth::set_capabilities(None, CapabilitySets { effective: sets.effective - CapabilitySet::SYS_RESOURCE, ..sets })
}
