//! Networks of containers: traffic between real programs, as root and as both kinds of users.

mod ends;
mod names;
mod options;
mod publish;
mod reach;
mod shared;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::process::{Command, Output};
use std::thread::{sleep, spawn};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::host::{Host, Started, hosts, hosts_with};
use crate::image::Twist;
use crate::support::need;

/// Each kind of user with each program that connects private networks.
fn private() -> Vec<(Host, &'static str)> {
    private_with(Twist::default)
}

/// As [`private`], with a modified image.
fn private_with(image: impl Fn() -> Twist) -> Vec<(Host, &'static str)> {
    let programs = ["pasta", "slirp4netns"].into_iter().filter(|program| need::all(&[program]));
    programs.flat_map(|program| hosts_with(|_| image()).into_iter().map(move |host| (host, program))).collect()
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

/// What a web server says.
#[track_caller]
fn said_at(at: SocketAddr) -> String {
    soon(&format!("ask {at}"), || {
        let mut stream = TcpStream::connect_timeout(&at, Duration::from_secs(2)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n").ok()?;
        let mut said = BufReader::new(stream);
        let mut length = 0;
        loop {
            let mut line = String::new();
            said.read_line(&mut line).ok()?;
            match line.trim_end().split_once(": ") {
                Some(("Content-Length", value)) => length = value.parse().ok()?,
                None if line == "\r\n" => break,
                None if line.is_empty() => return None,
                _ => {}
            }
        }
        // Not to the end of the connection, which old versions of pasta lose.
        let mut text = vec![0; length];
        said.read_exact(&mut text).ok()?;
        String::from_utf8(text).ok()
    })
}

/// The answer of a server to a datagram.
#[track_caller]
fn echoed_at(at: SocketAddr, text: &str) -> String {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    soon(&format!("ask {at}"), || {
        socket.send_to(text.as_bytes(), at).ok()?;
        let mut answer = [0; 100];
        let got = socket.recv(&mut answer).ok()?;
        Some(String::from_utf8_lossy(&answer[..got]).into_owned())
    })
}

/// A web server of the host that answers every request with `text`, until the test program ends.
///
/// The client closes first: old versions of pasta lose the end of a connection that the server closes at once, and send
/// data again and again after the container has closed its half.
fn serve(address: &str, text: &'static str) -> u16 {
    let listener = TcpListener::bind((address, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    spawn(move || {
        for mut stream in listener.incoming().flatten() {
            spawn(move || {
                let length = text.len();
                let answer = format!("HTTP/1.0 200 OK\r\nContent-Length: {length}\r\n\r\n{text}");
                // Ignores the errors: the client is gone.
                let _ = stream.read(&mut [0; 1000]);
                let _ = stream.write_all(answer.as_bytes());
                let _ = stream.read(&mut [0]);
            });
        }
    });
    port
}

/// A script that prints what the web server at `at` says, or `nothing`.
fn fetch(at: &str, port: u16) -> String {
    format!("busybox timeout 2 busybox wget -qO- http://{at}:{port}/ 2>/dev/null || echo nothing")
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

    /// What a run that fails prints to standard error, without warnings.
    #[track_caller]
    fn refusal(&self, flags: &[&str]) -> String {
        let output = self.run(flags, &["-c", "true"]);
        assert_eq!(output.status.code(), Some(125), "{self}: {flags:?}: {output:?}");
        refusal_of(&output)
    }

    /// The container `name`, as the store records it.
    fn recorded(&self, name: &str) -> Option<Value> {
        let read = |path: PathBuf| serde_json::from_slice::<Value>(&std::fs::read(path).ok()?).ok();
        std::fs::read_dir(self.path("store/containers")).unwrap().find_map(|entry| {
            let dir = entry.unwrap().path();
            (read(dir.join("config.json"))?["name"] == name).then(|| read(dir.join("state.json")))?
        })
    }

    /// The first process of the container `name`.
    #[track_caller]
    fn first_process(&self, name: &str) -> u64 {
        soon("the container's first process", || self.recorded(name)?["process"]["pid"].as_u64())
    }
}

fn refusal_of(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr);
    said.lines().filter(|line| !line.starts_with(" WARN")).map(|line| format!("{line}\n")).collect()
}

/// A running container, which is ended and removed when the test ends.
struct Running {
    started: Started,
    remove: Command,
}

impl Drop for Running {
    fn drop(&mut self) {
        // Ignores the errors: it has ended, or was removed.
        let _ = self.remove.output();
        let _ = self.started.child.wait();
    }
}

/// As [`Host::start`] for the container `name`, until the value is dropped.
#[track_caller]
fn run(host: &Host, name: &str, flags: &[&str], script: &str) -> Running {
    let started = host.start(&[&["--name", name][..], flags].concat(), script);
    let mut remove = host.overfuse();
    remove.args(["rm", "-f", name]);
    Running { started, remove }
}
