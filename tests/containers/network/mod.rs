//! Networks of containers: traffic between real programs, as root and as both kinds of users.

mod ends;
mod names;
mod options;
mod publish;
mod reach;
mod shared;

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::thread::{sleep, spawn};
use std::time::{Duration, Instant};

use crate::host::{Host, Started, hosts};
use crate::support::need;

/// Each kind of user with each program that connects private networks.
fn private() -> Vec<(Host, &'static str)> {
    let programs = ["pasta", "slirp4netns"].into_iter().filter(|program| need::all(&[program]));
    programs.flat_map(|program| hosts().into_iter().map(move |host| (host, program))).collect()
}

/// Each kind of user, where there is pasta.
fn with_pasta() -> Vec<Host> {
    if need::all(&["pasta"]) { hosts() } else { Vec::new() }
}

/// Tries again until `try_it` succeeds, because servers need a moment to start.
#[track_caller]
fn soon<T>(what: &str, mut try_it: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        match try_it() {
            Some(found) => return found,
            None if Instant::now() > until => panic!("{what}: nothing after 20 s"),
            None => sleep(Duration::from_millis(20)),
        }
    }
}

/// What a server sends to a new connection.
#[track_caller]
fn said_at(at: SocketAddr) -> String {
    soon(&format!("connect to {at}"), || {
        let mut stream = TcpStream::connect_timeout(&at, Duration::from_secs(2)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
        let mut said = String::new();
        stream.read_to_string(&mut said).ok()?;
        (!said.is_empty()).then_some(said)
    })
}

/// The answer of a server to a datagram.
#[track_caller]
fn echoed_at(at: SocketAddr, text: &str) -> String {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    soon(&format!("ask {at}"), || {
        socket.send_to(text.as_bytes(), at).ok()?;
        let mut answer = [0; 100];
        let got = socket.recv(&mut answer).ok()?;
        Some(String::from_utf8_lossy(&answer[..got]).into_owned())
    })
}

/// A server of the host that sends `text` to each connection, until the test program ends.
fn serve(address: &str, text: &'static str) -> u16 {
    let listener = TcpListener::bind((address, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    spawn(move || {
        for stream in listener.incoming().flatten() {
            // Ignores the error: the client is gone.
            let _ = { stream }.write_all(text.as_bytes());
        }
    });
    port
}

/// The host's address on the way to other hosts.
fn outer_address() -> IpAddr {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    socket.connect("198.51.100.1:9").unwrap();
    socket.local_addr().unwrap().ip()
}

impl Host {
    /// Where a port of the container `name` is published.
    #[track_caller]
    fn published(&self, name: &str, port: &str) -> SocketAddr {
        let output = self.overfuse().args(["port", name, port]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        said.trim().parse().unwrap_or_else(|_| panic!("{self}: port {name} {port}: {output:?}"))
    }

    /// What a command prints to standard error when it fails.
    #[track_caller]
    fn refusal(&self, flags: &[&str]) -> String {
        let output = self.run(flags, &["-c", "true"]);
        assert_eq!(output.status.code(), Some(125), "{self}: {flags:?}: {output:?}");
        String::from_utf8(output.stderr).unwrap()
    }
}

/// Ends a container whose command waits for nothing.
fn end(mut started: Started) {
    started.child.kill().unwrap();
    started.child.wait().unwrap();
}
