//! The link between a private network and the host's: a program that runs beside the container.
//!
//! ```text
//!   launcher ──fork, new PID namespace──► keeper ──exec──► pasta or slirp4netns
//! ```
//!
//! The keeper is process 1 of a PID namespace and dies with the launcher; the kernel then kills the program, even
//! one that changed its user or went to the background. So a killed launcher leaves nothing behind.

use std::ffi::CString;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};

use super::NetworkError;
use super::ports::{HostPort, Protocol, Publish, Published};
use super::program::{self, Connection, Helper, Program};
use crate::container::error::{Doing, LaunchError};
use crate::store::Container;
use crate::sys::process::{self, Child, Stream};
use crate::sys::{self, Channel, Errno, Namespaces};

/// The name of the document with the published ports of a running container.
pub(super) const PORTS: &str = "ports.json";

/// What the program wrote, in the container's directory.
const LOG: &str = "network.log";

/// How a private network is to be connected.
#[derive(Debug)]
pub struct Link {
    pub(super) container: Container,
    pub(super) program: Program,
    pub(super) publish: Vec<Publish>,
    pub(super) forwards: bool,
}

/// A link whose program runs. Dropping it ends the program.
#[derive(Debug)]
pub(in crate::container) struct Linked {
    /// `None` only while this value is dropped.
    keeper: Option<Child>,
    channel: Channel,
    /// To record once the program is ready.
    waiting: Option<(Container, Vec<Published>)>,
}

impl Drop for Linked {
    fn drop(&mut self) {
        if let Some(keeper) = self.keeper.take() {
            // Ignores the errors: they mean that it has already ended.
            let _ = keeper.kill();
            let _ = keeper.wait();
        }
    }
}

/// What the keeper sends when the network is ready, or why it is not.
type Answer = Result<(), NetworkError>;

impl Link {
    /// Starts the program for the network of the process `pid`. This process must have one thread.
    ///
    /// # Errors
    /// A port is not free.
    pub(in crate::container) fn start(self, pid: u32) -> Result<Linked, LaunchError> {
        let network = File::open(format!("/proc/{pid}/ns/net")).doing("open the container's network")?;
        let published = allocate(&self.publish)?;
        let work = |channel: Channel| match keep(&self, &published, &network, &channel) {
            Ok(()) => 0,
            Err(error) => {
                answer(&channel, &Err(error));
                1
            }
        };
        let spawned = process::spawn_connected(Namespaces::PID, work);
        let (keeper, channel) = spawned.doing("start the network's process")?;
        Ok(Linked { keeper: Some(keeper), channel, waiting: Some((self.container, published)) })
    }
}

impl Linked {
    /// Waits until the network can be used, once, and records the published ports.
    ///
    /// # Errors
    /// What the program says.
    pub(in crate::container) fn ready(&mut self) -> Result<(), LaunchError> {
        let Some((container, published)) = self.waiting.take() else { return Ok(()) };
        let received = self.channel.receive().doing("wait for the network")?;
        let ended = NetworkError::Ended;
        received.map_or(Err(ended), |(message, _)| {
            let garbled = |_| Err(NetworkError::Garbled(String::from_utf8_lossy(&message).into_owned()));
            serde_json::from_slice::<Answer>(&message).unwrap_or_else(garbled)
        })?;
        let recorded = container.write_document(PORTS, &published);
        recorded.map_err(|error| LaunchError::from(NetworkError::Record(error.to_string())))
    }
}

fn answer(channel: &Channel, answer: &Answer) {
    let message = serde_json::to_vec(answer).unwrap_or_else(|error| error.to_string().into_bytes());
    // Ignores the error: it means that the launcher is gone.
    let _ = channel.send(&message, None);
}

/// Finds the ports of the host for `publish`. They are free when this returns; the program binds them a moment later.
fn allocate(publish: &[Publish]) -> Result<Vec<Published>, NetworkError> {
    // All stay open until all are found, so that none is found twice.
    let mut sockets = Vec::new();
    let mut published = Vec::new();
    for one in publish {
        let numbers = match &one.host {
            HostPort::Any => 0..=0,
            HostPort::Within(numbers) => numbers.clone(),
        };
        let mut failure = None;
        let found = numbers.into_iter().find_map(|number| {
            let at = SocketAddr::new(one.bind_address(), number);
            bind(one.port.protocol, at).map_err(|error| failure = Some((at, error))).ok()
        });
        match (found, failure) {
            (Some((socket, host)), _) => {
                sockets.push(socket);
                published.push(Published { port: one.port, host });
            }
            (None, failure) => return Err(unavailable(one, failure)),
        }
    }
    Ok(published)
}

fn unavailable(publish: &Publish, failure: Option<(SocketAddr, io::Error)>) -> NetworkError {
    let errno = failure.as_ref().and_then(|(_, error)| Errno::from_io_error(error)).unwrap_or(Errno::ADDRINUSE);
    let host = match (&publish.host, failure) {
        (HostPort::Within(numbers), _) if numbers.start() != numbers.end() => {
            format!("{}:{}-{}", publish.bind_address(), numbers.start(), numbers.end())
        }
        (_, Some((at, _))) => at.to_string(),
        (_, None) => publish.bind_address().to_string(),
    };
    NetworkError::Port { host, port: publish.port, errno }
}

fn bind(protocol: Protocol, at: SocketAddr) -> io::Result<(OwnedFd, SocketAddr)> {
    match protocol {
        Protocol::Tcp => TcpListener::bind(at).and_then(|socket| Ok((socket.local_addr()?, socket.into()))),
        Protocol::Udp => UdpSocket::bind(at).and_then(|socket| Ok((socket.local_addr()?, socket.into()))),
    }
    .map(|(address, socket)| (socket, address))
}

/// In the keeper: runs the program until it ends.
fn keep(link: &Link, published: &[Published], network: &File, channel: &Channel) -> Result<(), NetworkError> {
    let failed = |error: io::Error| NetworkError::start(&link.program, &error);
    let close_all = || -> Result<(), Errno> {
        process::die_with_parent()?;
        process::new_session()?;
        // The network becomes a standard stream, because all else is closed: locks and files of the launcher.
        process::replace_standard(Stream::Input, network)?;
        process::close_all_but(channel)
    };
    close_all().map_err(|errno| failed(errno.into()))?;
    if channel.is_closed().unwrap_or(true) {
        return Ok(());
    }
    enter(link.container.dir()).map_err(failed)?;
    let log = File::create(LOG).map_err(failed)?;
    let mut command = Command::new(&link.program.path);
    command.env_clear().stderr(log);
    match link.program.helper {
        Helper::Pasta => pasta(link, published, command)?,
        Helper::Slirp4netns => slirp4netns(link, published, command)?,
    }
    answer(channel, &Ok(()));
    // Ignores the error: it means that there is nothing to wait for.
    let _ = process::wait_for_children();
    Ok(())
}

/// The program's paths are relative, because that of a socket may have at most 108 bytes.
fn enter(dir: &Path) -> io::Result<()> {
    let dir = CString::new(dir.as_os_str().as_bytes())?;
    Ok(process::change_dir(&dir)?)
}

fn pasta(link: &Link, published: &[Published], mut command: Command) -> Result<(), NetworkError> {
    let connection = Connection { published, forwards: link.forwards, as_root: sys::is_root_of_host() };
    command.args(program::pasta(&connection)).stdin(Stdio::inherit()).stdout(Stdio::null());
    let status = command.status().map_err(|error| NetworkError::start(&link.program, &error))?;
    if status.success() { Ok(()) } else { Err(link.failure()) }
}

fn slirp4netns(link: &Link, published: &[Published], mut command: Command) -> Result<(), NetworkError> {
    let failed = |error: io::Error| NetworkError::start(&link.program, &error);
    let requests = published.iter().map(program::publish).collect::<Result<Vec<_>, _>>()?;
    match fs::remove_file(program::CONTROL_SOCKET) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let (mut ready, writes) = io::pipe().map_err(failed)?;
    let network = File::open("/proc/self/fd/0").map_err(failed)?;
    command.args(program::slirp4netns(link.forwards)).stdin(writes).stdout(network);
    // Reaped with all other children.
    let _child = command.spawn().map_err(failed)?;
    // It holds the other end of the pipe, which is to close when the program ends.
    drop(command);
    if ready.read(&mut [0]).map_err(failed)? == 0 {
        return Err(link.failure());
    }
    for (request, one) in requests.iter().zip(published) {
        let answer = ask(request).map_err(failed)?;
        if answer.get("error").is_some() {
            return Err(NetworkError::Port { host: one.host.to_string(), port: one.port, errno: Errno::ADDRINUSE });
        }
    }
    Ok(())
}

/// Asks slirp4netns for one thing at its control socket.
fn ask(request: &serde_json::Value) -> io::Result<serde_json::Value> {
    let mut socket = UnixStream::connect(program::CONTROL_SOCKET)?;
    socket.write_all(request.to_string().as_bytes())?;
    socket.shutdown(std::net::Shutdown::Write)?;
    let mut answer = String::new();
    socket.read_to_string(&mut answer)?;
    Ok(serde_json::from_str(&answer)?)
}

impl Link {
    /// Why the program ended, from its log.
    fn failure(&self) -> NetworkError {
        let log = fs::read(Path::new(LOG)).unwrap_or_default();
        let said = program::reason(&String::from_utf8_lossy(&log), &self.program.path);
        NetworkError::Failed { program: self.program.helper.to_string(), said }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn publish(text: &str) -> Vec<Publish> {
        Publish::parse(text).unwrap()
    }

    #[test]
    fn free_ports_are_found_and_busy_ones_are_refused() {
        let busy = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = busy.local_addr().unwrap().port();
        let refused = allocate(&publish(&format!("127.0.0.1:{port}:80"))).unwrap_err();
        let expected = format!("cannot publish port 80/tcp at 127.0.0.1:{port}: Address already in use");
        assert!(refused.to_string().starts_with(&expected), "{refused}");

        let two = allocate(&publish("127.0.0.1::80-81")).unwrap();
        assert!(two[0].host.port() > 0 && two[0].host.port() != two[1].host.port(), "{two:?}");

        // Two ports in a row, of which the first is busy.
        if port < u16::MAX {
            let range = format!("127.0.0.1:{port}-{}:80", port + 1);
            match allocate(&publish(&range)) {
                Ok(found) => assert_eq!(found[0].host.port(), port + 1),
                Err(error) => assert!(error.to_string().contains(&format!("{port}-{}", port + 1)), "{error}"),
            }
        }
        let elsewhere = allocate(&publish("198.51.100.7:1234:80")).unwrap_err();
        assert!(elsewhere.to_string().starts_with("cannot publish port 80/tcp at 198.51.100.7:1234"), "{elsewhere}");
    }
}
