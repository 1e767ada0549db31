//! The system calls that are handed over, and when.

use seccompiler::BpfProgram;

use crate::container::isolation::{FilterError, HandOver, When, call_number, handing_over};
use crate::sys::Capabilities;

/// A call that is handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    Chown,
    Lchown,
    Fchown,
    Fchownat,
    Mknod,
    Mknodat,
    SetId(SetId),
    GetId(GetId),
    Setgroups,
    Getgroups,
}

/// A call that changes users or groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SetId {
    User,
    Group,
    RealEffectiveUser,
    RealEffectiveGroup,
    AllUsers,
    AllGroups,
    FileUser,
    FileGroup,
}

/// A call that reads users or groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum GetId {
    User,
    EffectiveUser,
    Group,
    EffectiveGroup,
    AllUsers,
    AllGroups,
}

const ALL: [(&str, When, Call); 22] = [
    ("chown", When::GivesAway { user: 1, group: 2 }, Call::Chown),
    ("lchown", When::GivesAway { user: 1, group: 2 }, Call::Lchown),
    ("fchown", When::GivesAway { user: 1, group: 2 }, Call::Fchown),
    ("fchownat", When::GivesAway { user: 2, group: 3 }, Call::Fchownat),
    ("mknod", When::Device { mode: 1 }, Call::Mknod),
    ("mknodat", When::Device { mode: 2 }, Call::Mknodat),
    ("setuid", When::Always, Call::SetId(SetId::User)),
    ("setgid", When::Always, Call::SetId(SetId::Group)),
    ("setreuid", When::Always, Call::SetId(SetId::RealEffectiveUser)),
    ("setregid", When::Always, Call::SetId(SetId::RealEffectiveGroup)),
    ("setresuid", When::Always, Call::SetId(SetId::AllUsers)),
    ("setresgid", When::Always, Call::SetId(SetId::AllGroups)),
    ("setfsuid", When::Always, Call::SetId(SetId::FileUser)),
    ("setfsgid", When::Always, Call::SetId(SetId::FileGroup)),
    ("setgroups", When::Always, Call::Setgroups),
    ("getgroups", When::Always, Call::Getgroups),
    ("getuid", When::Always, Call::GetId(GetId::User)),
    ("geteuid", When::Always, Call::GetId(GetId::EffectiveUser)),
    ("getgid", When::Always, Call::GetId(GetId::Group)),
    ("getegid", When::Always, Call::GetId(GetId::EffectiveGroup)),
    ("getresuid", When::Always, Call::GetId(GetId::AllUsers)),
    ("getresgid", When::Always, Call::GetId(GetId::AllGroups)),
];

impl Call {
    fn changes_owner(self) -> bool {
        matches!(self, Call::Chown | Call::Lchown | Call::Fchown | Call::Fchownat)
    }
}

/// The calls by their numbers on this processor, which lacks some of them.
pub(super) fn by_number() -> Vec<(u32, Call)> {
    ALL.iter().filter_map(|&(name, _, call)| Some((call_number(name)?, call))).collect()
}

/// The filter for a container with `capabilities`: without `CAP_CHOWN` the kernel goes on refusing `chown`.
pub(super) fn filter(capabilities: Capabilities) -> Result<BpfProgram, FilterError> {
    let may_chown = capabilities.has("CAP_CHOWN");
    let calls = ALL.iter().filter(|(.., call)| may_chown || !call.changes_owner());
    let calls: Vec<HandOver> = calls.map(|&(name, when, _)| HandOver { name, when }).collect();
    handing_over(&calls)
}
