//! What an instruction does: changes the configuration at once, and returns what is to be done to files.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::document::Document;
use super::error::{Result, StepError};
use super::parse::{Add, Command, Copy, CopyFlags, Health, Instruction, Kind, Run, Sources, expand, expand_words};
use crate::image::Platform;
use crate::image::change::ports;

const DEFAULT_SHELL: [&str; 2] = ["/bin/sh", "-c"];

/// Variables that a user can set without an `ARG`; the history and the cache do not show them.
pub(super) const PROXIES: [&str; 10] = [
    "HTTP_PROXY",
    "http_proxy",
    "HTTPS_PROXY",
    "https_proxy",
    "FTP_PROXY",
    "ftp_proxy",
    "NO_PROXY",
    "no_proxy",
    "ALL_PROXY",
    "all_proxy",
];

/// What is to be done to files.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Step {
    /// Nothing; the text for the history.
    Nothing(String),
    /// Run a program.
    Run(RunStep),
    /// Copy files.
    Copy(CopyStep),
    /// Make the working directory.
    MakeDir(String),
}

/// A program to run.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct RunStep {
    pub(super) args: Vec<String>,
    /// Variables of this step only.
    pub(super) env: Vec<(String, String)>,
    pub(super) run: Run,
}

/// Files to copy; everything is expanded.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct CopyStep {
    pub(super) is_add: bool,
    pub(super) flags: CopyFlags,
    pub(super) sources: Sources,
}

/// A stage while its instructions are evaluated.
#[derive(Clone, Debug)]
pub(super) struct Evaluation<'a> {
    pub(super) document: Document,
    pub(super) escape: char,
    /// Those of `--build-arg`.
    pub(super) build_args: &'a BTreeMap<String, String>,
    /// The `ARG`s before the first `FROM`, and the platforms.
    pub(super) global: &'a BTreeMap<String, String>,
    /// What `ARG` has declared in this stage, in this order.
    args: Vec<(String, Option<String>)>,
    /// Whether this Dockerfile has set a command for this stage.
    has_cmd: bool,
}

impl<'a> Evaluation<'a> {
    pub(super) fn new(
        document: Document,
        escape: char,
        build_args: &'a BTreeMap<String, String>,
        global: &'a BTreeMap<String, String>,
    ) -> Evaluation<'a> {
        Evaluation { document, escape, build_args, global, args: Vec::new(), has_cmd: false }
    }

    fn variable(&self, name: &str) -> Option<String> {
        let arg = || self.args.iter().rev().find(|(known, _)| known == name)?.1.clone();
        let proxy = || self.build_args.get(name).filter(|_| PROXIES.contains(&name)).cloned();
        self.document.variable(name).or_else(arg).or_else(proxy)
    }

    pub(super) fn expand(&self, word: &str) -> Result<String> {
        Ok(expand(word, self.escape, &|name| self.variable(name))?)
    }

    /// Expands the text of a here-document.
    pub(super) fn expand_document(&self, text: &str) -> Result<String> {
        Ok(super::parse::expand_text(text, self.escape, &|name| self.variable(name))?)
    }

    fn expand_all(&self, words: &[String]) -> Result<Vec<String>> {
        words.iter().map(|word| self.expand(word)).collect()
    }

    /// The words of a list in which variables bring in further words.
    fn expand_list(&self, words: &[String]) -> Result<Vec<String>> {
        let mut all = Vec::new();
        for word in words {
            all.extend(expand_words(word, self.escape, &|name| self.variable(name))?);
        }
        Ok(all)
    }

    pub(super) fn shell(&self) -> Vec<String> {
        let shell = self.document.list("Shell");
        if shell.is_empty() { DEFAULT_SHELL.map(Into::into).to_vec() } else { shell }
    }

    /// The arguments of a command; the shell form gets the shell before it.
    fn arguments(&self, command: &Command) -> Vec<String> {
        match command {
            Command::Exec(args) => args.clone(),
            Command::Shell(text) => self.shell().into_iter().chain([text.clone()]).collect(),
        }
    }

    /// An absolute path; a relative one starts at the working directory.
    pub(super) fn absolute(&self, path: &str) -> String {
        let dir = self.document.text("WorkingDir");
        let joined = if path.starts_with('/') { path.to_owned() } else { format!("/{dir}/{path}") };
        let mut parts: Vec<&str> = Vec::new();
        for part in joined.split('/') {
            match part {
                "" | "." => {}
                ".." => drop(parts.pop()),
                part => parts.push(part),
            }
        }
        format!("/{}", parts.join("/"))
    }

    /// Evaluates one instruction.
    pub(super) fn apply(&mut self, instruction: &Instruction) -> Result<Step> {
        let said = |text: String| Ok(Step::Nothing(format!("/bin/sh -c #(nop) {text}")));
        match &instruction.kind {
            Kind::From(_) => Err(StepError::Expected("no FROM here".into())),
            Kind::Run(run) => self.run(run),
            Kind::Copy(Copy { flags, sources }) => self.copy(false, flags, sources),
            Kind::Add(Add { flags, sources }) => self.copy(true, flags, sources),
            Kind::Workdir(path) => {
                let path = self.absolute(&self.expand(path)?);
                self.document.set("WorkingDir", json!(path));
                Ok(Step::MakeDir(path))
            }
            Kind::Arg(args) => {
                for arg in args {
                    let name = self.expand(&arg.name)?;
                    let default = arg.default.as_ref().map(|value| self.expand(value)).transpose()?;
                    let given = self.build_args.get(&name).cloned();
                    let value = given.or(default).or_else(|| self.global.get(&name).cloned());
                    self.args.push((name, value));
                }
                said(instruction.text.clone())
            }
            Kind::Env(pairs) => {
                // All values are expanded with the variables before this instruction.
                let pairs = self.pairs(pairs)?;
                for (name, value) in &pairs {
                    self.document.set_variable(name, value);
                }
                said(format!("ENV {}", shown(&pairs)))
            }
            Kind::Label(pairs) => {
                let pairs = self.pairs(pairs)?;
                let values = pairs.iter().map(|(key, value)| (key.clone(), json!(value)));
                self.document.extend("Labels", values);
                said(format!("LABEL {}", shown(&pairs)))
            }
            Kind::Expose(ports) => {
                let ports = exposed(&self.expand_list(ports)?)?;
                self.document.extend("ExposedPorts", ports.iter().map(|port| (port.clone(), json!({}))));
                said(format!("EXPOSE {}", ports.join(" ")))
            }
            Kind::Volume(paths) => {
                let paths = self.expand_all(paths)?;
                self.document.extend("Volumes", paths.iter().map(|path| (path.clone(), json!({}))));
                said(format!("VOLUME {}", json!(paths)))
            }
            Kind::User(user) => {
                let user = self.expand(user)?;
                self.document.set("User", json!(user));
                said(format!("USER {user}"))
            }
            Kind::StopSignal(signal) => {
                let signal = self.expand(signal)?;
                self.document.set("StopSignal", json!(signal));
                said(format!("STOPSIGNAL {signal}"))
            }
            Kind::Shell(shell) => {
                self.document.set("Shell", json!(shell));
                said(format!("SHELL {}", json!(shell)))
            }
            Kind::Cmd(command) => {
                let args = self.arguments(command);
                self.has_cmd = true;
                self.set_or_remove("Cmd", &args);
                said(format!("CMD {}", json!(args)))
            }
            Kind::Entrypoint(command) => {
                let args = self.arguments(command);
                self.set_or_remove("Entrypoint", &args);
                // The base image's command holds arguments for the base image's entrypoint.
                if !self.has_cmd {
                    self.document.remove("Cmd");
                }
                said(format!("ENTRYPOINT {}", json!(args)))
            }
            Kind::Healthcheck(health) => {
                let value = self.health(health);
                self.document.set("Healthcheck", value);
                said(instruction.text.clone())
            }
            Kind::Onbuild(trigger) => {
                let mut all = self.document.list("OnBuild");
                all.push(trigger.text.clone());
                self.document.set("OnBuild", json!(all));
                said(format!("ONBUILD {}", trigger.text))
            }
            Kind::Maintainer(author) => {
                self.document.set_author(author);
                said(format!("MAINTAINER {author}"))
            }
        }
    }

    fn set_or_remove(&mut self, key: &str, args: &[String]) {
        match args.is_empty() {
            true => self.document.remove(key),
            false => self.document.set(key, json!(args)),
        }
    }

    fn pairs(&self, pairs: &[(String, String)]) -> Result<Vec<(String, String)>> {
        pairs.iter().map(|(key, value)| Ok((self.expand(key)?, self.expand(value)?))).collect()
    }

    fn run(&self, run: &Run) -> Result<Step> {
        let mut args = self.arguments(&run.command);
        // A command that is only a here-document is a script; otherwise the shell itself reads the documents.
        if let (Command::Shell(text), Some(last)) = (&run.command, args.last_mut())
            && !run.documents.is_empty()
        {
            match &run.documents[..] {
                [script] if is_only_document(text) => last.clone_from(&script.content),
                documents => {
                    for document in documents {
                        last.push('\n');
                        last.push_str(&document.content);
                        last.push_str(&document.name);
                    }
                    last.push('\n');
                }
            }
        }
        let mut env: Vec<(String, String)> = Vec::new();
        for (name, value) in self.args.iter().filter_map(|(name, value)| Some((name, value.as_ref()?))) {
            if self.document.variable(name).is_none() {
                env.retain(|(known, _)| known != name);
                env.push((name.clone(), value.clone()));
            }
        }
        for name in PROXIES {
            if let Some(value) = self.build_args.get(name)
                && env.iter().all(|(known, _)| known != name)
            {
                env.push((name.to_owned(), value.clone()));
            }
        }
        let mut run = run.clone();
        for mount in &mut run.mounts {
            for text in [&mut mount.target, &mut mount.source, &mut mount.from, &mut mount.id].into_iter().flatten() {
                *text = self.expand(text)?;
            }
        }
        Ok(Step::Run(RunStep { args, env, run }))
    }

    fn copy(&self, is_add: bool, flags: &CopyFlags, sources: &Sources) -> Result<Step> {
        let expanded = |text: &Option<String>| text.as_ref().map(|text| self.expand(text)).transpose();
        let flags = CopyFlags {
            chown: expanded(&flags.chown)?,
            chmod: expanded(&flags.chmod)?,
            from: expanded(&flags.from)?,
            exclude: self.expand_all(&flags.exclude)?,
            ..flags.clone()
        };
        let mut documents = sources.documents.clone();
        for document in documents.iter_mut().filter(|document| document.expands) {
            document.content = self.expand_document(&document.content)?;
        }
        let target = self.expand(&sources.target)?;
        let is_dir = target.ends_with('/') || target == "." || target.ends_with("/.");
        let mut target = self.absolute(&target);
        if is_dir && !target.ends_with('/') {
            target.push('/');
        }
        let paths = self.expand_all(&sources.paths)?;
        let is_remote =
            |path: &&String| ["http://", "https://", "git://", "git@"].iter().any(|start| path.starts_with(start));
        if let Some(url) = paths.iter().filter(|_| is_add).find(is_remote) {
            return Err(StepError::Expected(format!(
                "a file of the build context instead of {url}: ADD downloads nothing"
            )));
        }
        let sources = Sources { paths, documents, target };
        Ok(Step::Copy(CopyStep { is_add, flags, sources }))
    }

    fn health(&self, health: &Health) -> Value {
        let Health::Check { command, interval, timeout, start_period, start_interval, retries } = health else {
            return json!({ "Test": ["NONE"] });
        };
        let test = match command {
            Command::Exec(args) => [vec!["CMD".to_owned()], args.clone()].concat(),
            Command::Shell(text) => vec!["CMD-SHELL".to_owned(), text.clone()],
        };
        let mut value = json!({ "Test": test });
        let times = [
            ("Interval", interval),
            ("Timeout", timeout),
            ("StartPeriod", start_period),
            ("StartInterval", start_interval),
        ];
        for (key, time) in times {
            if let Some(time) = time {
                value[key] = json!(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
            }
        }
        if let Some(retries) = retries {
            value["Retries"] = json!(retries);
        }
        value
    }
}

/// Whether a command consists of `<<WORD` alone.
fn is_only_document(text: &str) -> bool {
    text.starts_with("<<") && !text.contains(char::is_whitespace)
}

fn shown(pairs: &[(String, String)]) -> String {
    pairs.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(" ")
}

/// Ports with their protocol; a range becomes all its ports.
fn exposed(words: &[String]) -> Result<Vec<String>> {
    let mut all = Vec::new();
    for word in words {
        let expected = |_| StepError::Expected(format!("PORT[-PORT][/tcp|udp|sctp] instead of {word:?}"));
        all.extend(ports(&[word.to_ascii_lowercase()]).map_err(expected)?);
    }
    Ok(all)
}

/// The variables that describe the platforms of a build, as BuildKit names them.
pub(super) fn platform_args(target: &Platform, host: &Platform) -> Vec<(String, String)> {
    let args = |prefix: &str, platform: &Platform| {
        [
            ("PLATFORM", platform.to_string()),
            ("OS", platform.os.clone()),
            ("ARCH", platform.architecture.clone()),
            ("VARIANT", platform.variant.clone().unwrap_or_default()),
        ]
        .map(|(name, value)| (format!("{prefix}{name}"), value))
    };
    args("TARGET", target).into_iter().chain(args("BUILD", host)).collect()
}
