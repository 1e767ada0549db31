//! The supervisor: a process that answers the calls of a container's processes.

use std::collections::HashMap;
use std::fs::File;
use std::os::fd::AsFd;

use super::calls::{self, Call};
use super::files::Files;
use super::identity::{Identities, Identity, Read};
use crate::sys::poll::{self, Interest};
use crate::sys::process::{self, Stream};
use crate::sys::seccomp::{Handed, Listener, Reply};
use crate::sys::{Caller, Capabilities, Channel, Errno, Proc, Result};

/// The most supplementary groups that the kernel lets a process have.
const KERNEL_GROUPS_MAX: u32 = 65_536;

/// Runs the supervisor: answers calls until nobody can send a listener any more and no process of one is left.
/// Returns its exit status.
pub(super) fn run(listeners: &Channel, requests: &Channel) -> i32 {
    i32::from(Supervisor::prepare(listeners, requests).and_then(Supervisor::serve).is_err())
}

#[derive(Debug)]
struct Supervisor<'a> {
    new: Option<&'a Channel>,
    requests: &'a Channel,
    listeners: Vec<Listener>,
    proc: Proc,
    calls: HashMap<u32, Call>,
    identities: Identities,
    /// The file system of the container's root; known from its first process.
    device: Option<u64>,
}

impl<'a> Supervisor<'a> {
    fn prepare(new: &'a Channel, requests: &'a Channel) -> Result<Supervisor<'a>> {
        process::die_with_parent()?;
        process::set_name(c"virtual ids");
        process::close_all_except(&[new.as_fd(), requests.as_fd()])?;
        // Whoever reads our standard output must not wait for this process.
        let null = File::options().read(true).write(true).open("/dev/null");
        let null = null.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
        for stream in [Stream::Input, Stream::Output, Stream::Error] {
            process::replace_standard(stream, &null)?;
        }
        let proc = Proc::open()?;
        Capabilities::LOOK_AT_PROCESSES.keep()?;
        Ok(Supervisor {
            new: Some(new),
            requests,
            listeners: Vec::new(),
            proc,
            calls: calls::by_number().into_iter().collect(),
            identities: Identities::default(),
            device: None,
        })
    }

    fn serve(mut self) -> Result<()> {
        while self.new.is_some() || !self.listeners.is_empty() {
            let mut waited: Vec<_> = self.listeners.iter().map(|one| (one.as_fd(), Interest::Read)).collect();
            waited.extend(self.new.map(|new| (new.as_fd(), Interest::Read)));
            let ready = poll::wait(&waited)?;
            let listeners = std::mem::take(&mut self.listeners);
            if ready.get(listeners.len()) == Some(&true) {
                self.take_listener();
            }
            for (listener, ready) in listeners.into_iter().zip(ready) {
                if !ready || self.attend(&listener) {
                    self.listeners.push(listener);
                }
            }
        }
        Ok(())
    }

    fn take_listener(&mut self) {
        match self.new.map(Channel::receive) {
            Some(Ok(Some((_, Some(listener))))) => self.listeners.push(Listener::from(listener)),
            Some(Ok(Some((_, None)))) => {}
            None | Some(Ok(None) | Err(_)) => self.new = None,
        }
    }

    /// Answers one call. Returns whether more can come.
    fn attend(&mut self, listener: &Listener) -> bool {
        if poll::now(&[(listener.as_fd(), Interest::Hangup)]).is_ok_and(|gone| gone.contains(&true)) {
            return false;
        }
        if let Ok(Some(call)) = listener.receive() {
            // Ignores the error: this one caller gets no answer, but others go on.
            let _ = listener.answer(&call, self.reply(listener, &call));
        }
        true
    }

    fn reply(&mut self, listener: &Listener, handed: &Handed) -> Reply {
        match self.calls.get(&handed.number) {
            None => Reply::Continue,
            Some(&call) => self.perform(listener, handed, call).unwrap_or_else(Reply::Failure),
        }
    }

    fn perform(&mut self, listener: &Listener, handed: &Handed, call: Call) -> Result<Reply> {
        let caller = self.proc.caller(handed.caller);
        // `None` is a process that has become nobody else.
        let now = caller.mark()?.and_then(|number| self.identities.get(number));
        let [a, b, c, ..] = handed.args;
        // Before anything is written: the caller may be gone, and its number be that of another process.
        let sure = || if listener.still_waits(handed) { Ok(()) } else { Err(Errno::SRCH) };
        let value = match (call, now) {
            (Call::GetId(_) | Call::Getgroups, None) => return Ok(Reply::Continue),
            (Call::GetId(call), Some(now)) => match now.read(call) {
                Read::One(id) => id.into(),
                Read::Three(ids) => {
                    sure()?;
                    [a, b, c].into_iter().zip(ids).try_for_each(|(at, id)| caller.write(at, &id.to_ne_bytes()))?;
                    0
                }
            },
            (Call::Getgroups, Some(now)) => {
                sure()?;
                write_groups(caller, &now.others, (a, b))?
            }
            (Call::SetId(_) | Call::Setgroups, now) => {
                let mut identity = now.as_deref().cloned().unwrap_or_default();
                let value = match call {
                    Call::SetId(call) => identity.change(call, [a, b, c].map(|id| id as u32))?,
                    _ => identity.set_groups(read_groups(caller, (a, b))?).map(|()| 0)?,
                };
                let is_root = identity == Identity::default();
                let mark = if is_root { None } else { Some(self.identities.number(identity)?) };
                sure()?;
                caller.leave_mark(mark)?;
                value.into()
            }
            (call, now) => {
                let identity = &now.unwrap_or_default();
                let device = match self.device {
                    Some(device) => device,
                    None => *self.device.insert(caller.root()?.stat()?.dev),
                };
                Files { listener, call: handed, caller, identity, device, requests: self.requests }.perform(call)?;
                0
            }
        };
        Ok(Reply::Value(value))
    }
}

/// As getgroups(2).
fn write_groups(caller: Caller<'_>, groups: &[u32], (room, at): (u64, u64)) -> Result<i64> {
    let room = usize::try_from(room as i32).map_err(|_| Errno::INVAL)?;
    if room > 0 {
        if room < groups.len() {
            return Err(Errno::INVAL);
        }
        let bytes: Vec<u8> = groups.iter().flat_map(|group| group.to_ne_bytes()).collect();
        caller.write(at, &bytes)?;
    }
    Ok(groups.len() as i64)
}

/// The argument of setgroups(2).
fn read_groups(caller: Caller<'_>, (count, at): (u64, u64)) -> Result<Vec<u32>> {
    let count = count as u32;
    if count > KERNEL_GROUPS_MAX {
        return Err(Errno::INVAL);
    }
    let mut bytes = vec![0; count as usize * 4];
    if count > 0 {
        caller.read(at, &mut bytes)?;
    }
    let mut groups = vec![0; count as usize];
    for (group, bytes) in groups.iter_mut().zip(bytes.as_chunks::<4>().0) {
        *group = u32::from_ne_bytes(*bytes);
    }
    Ok(groups)
}
