//! The build itself: which stages the target needs, and each of their instructions in turn.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use serde_json::json;

use super::document::Document;
use super::error::{BuildError, Result, StepError};
use super::evaluate::{Evaluation, PROXIES, platform_args};
use super::ignore::Ignore;
use super::parse::{Dockerfile, Instruction, Kind, Stage, expand};
use super::tree::Tree;
use super::work::Work;
use crate::image::{Compression, Digest, Platform, Reference};
use crate::mount::{self, Source};
use crate::privilege::Privilege;
use crate::store::{Assembly, Container, Image, Store};

/// Finds an image by its name, for the platform if one is asked for.
pub type FindImage<'a> = &'a dyn Fn(&str, Option<&Platform>) -> std::result::Result<Image, StepError>;

/// Everything that a build needs.
pub struct Build<'a> {
    /// Holds base images, and gets what is built.
    pub store: &'a Store,
    /// What this process has entered; it must have one thread.
    pub privilege: Privilege,
    /// What to build.
    pub file: &'a Dockerfile,
    /// The Dockerfile's name, for messages.
    pub file_name: &'a str,
    /// The directory that COPY and ADD copy from; `None`: there is none.
    pub context: Option<&'a Path>,
    /// The text of `.dockerignore`.
    pub ignore: String,
    /// The stage to build; `None`: the last one.
    pub target: Option<&'a str>,
    /// The names that the image gets.
    pub names: &'a [Reference],
    /// Values for `ARG`.
    pub args: BTreeMap<String, String>,
    /// Labels in addition to those of the Dockerfile.
    pub labels: BTreeMap<String, String>,
    /// Contents of secrets, by id.
    pub secrets: BTreeMap<String, Vec<u8>>,
    /// Whether steps are done again although they were done before.
    pub no_cache: bool,
    /// The time of everything that is made, in seconds since 1970, so that two builds make the same image.
    pub epoch: Option<i64>,
    /// What the image is for; `None`: this host.
    pub platform: Option<Platform>,
    /// Finds base images.
    pub images: FindImage<'a>,
}

impl std::fmt::Debug for Build<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Build").field("file", &self.file_name).field("context", &self.context).finish_non_exhaustive()
    }
}

/// What a build tells its user.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// An instruction begins: its number, how many there are, its stage, and its text.
    Step {
        /// From 1.
        number: usize,
        /// Of all stages that are built.
        total: usize,
        /// The stage's name, if there is more than one stage.
        stage: Option<&'a str>,
        /// The instruction.
        text: &'a str,
    },
    /// The instruction's result is known from an earlier build.
    Cached,
    /// The instruction made this image.
    Made(&'a Image),
    /// Something that the user may not have meant.
    Warning(&'a str),
}

pub(super) type Tell<'t> = &'t mut dyn FnMut(Event<'_>);

/// Images by the name that an instruction gives them.
pub(super) type Images = BTreeMap<String, Image>;

/// What has been built of this Dockerfile.
pub(super) type Built = HashMap<usize, Image>;

impl Build<'_> {
    /// Builds the image.
    ///
    /// # Errors
    /// The instruction that failed. Images of earlier steps stay in the store, for the next build.
    pub fn build(&self, tell: Tell<'_>) -> std::result::Result<Image, BuildError> {
        if let Some(syntax) = &self.file.syntax {
            tell(Event::Warning(&format!("syntax={syntax} is ignored: the grammar is that of this program")));
        }
        let target = self.target_stage()?;
        let global = self.global()?;
        let needed = self.needed(target, &global)?;
        self.warn_of_unused(&needed, tell);
        let total = needed.iter().map(|number| 1 + self.file.stages[*number].instructions.len()).sum();
        let mut built = Built::new();
        let mut number = 0;
        for &stage in &needed {
            let stage = &self.file.stages[stage];
            let is_last = stage.number == target.number;
            let image = self.stage(stage, is_last, &global, &built, &mut |event| {
                if let Event::Step { stage, text, .. } = event {
                    number += 1;
                    return tell(Event::Step { number, total, stage, text });
                }
                tell(event);
            })?;
            if is_last {
                return Ok(image);
            }
            built.insert(stage.number, image);
        }
        Err(BuildError::NoStage { file: self.file_name.into(), name: String::new(), known: "none".into() })
    }

    fn target_stage(&self) -> std::result::Result<&Stage, BuildError> {
        let found = match self.target {
            None => self.file.stages.last(),
            Some(name) => self.file.stage(name),
        };
        found.ok_or_else(|| {
            let name = |stage: &Stage| stage.from.name.clone().unwrap_or_else(|| stage.number.to_string());
            let known = self.file.stages.iter().map(name).collect::<Vec<_>>().join(", ");
            BuildError::NoStage { file: self.file_name.into(), name: self.target.unwrap_or_default().into(), known }
        })
    }

    pub(super) fn host_or_platform(&self) -> Platform {
        self.platform.clone().unwrap_or_else(Platform::host)
    }

    /// The variables of `FROM` lines.
    fn global(&self) -> std::result::Result<BTreeMap<String, String>, BuildError> {
        let mut global: BTreeMap<String, String> =
            platform_args(&self.host_or_platform(), &Platform::host()).into_iter().collect();
        for instruction in &self.file.global {
            let Kind::Arg(args) = &instruction.kind else { continue };
            for arg in args {
                let default = arg.default.as_ref();
                let value = default.map(|text| expand(text, self.file.escape, &|name| global.get(name).cloned()));
                let value = value.transpose().map_err(|error| self.failed(instruction, error.into()))?;
                if let Some(value) = self.args.get(&arg.name).cloned().or(value) {
                    global.insert(arg.name.clone(), value);
                }
            }
        }
        Ok(global)
    }

    fn failed(&self, instruction: &Instruction, source: StepError) -> BuildError {
        self.failed_at(instruction.line, &instruction.text, source)
    }

    fn failed_at(&self, line: usize, text: &str, source: StepError) -> BuildError {
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        BuildError::Instruction { file: self.file_name.into(), line, text, source: Box::new(source) }
    }

    /// The name in a `FROM`, expanded.
    fn base_name(&self, stage: &Stage, global: &BTreeMap<String, String>) -> std::result::Result<String, BuildError> {
        let name = expand(&stage.from.image, self.file.escape, &|name| global.get(name).cloned());
        let failed = |error: StepError| self.failed_at(stage.line, &stage.text, error);
        let name = name.map_err(|error| failed(error.into()))?;
        match name.is_empty() {
            true => Err(failed(StepError::Expected("the name of an image after FROM: it is empty".into()))),
            false => Ok(name),
        }
    }

    /// The earlier stage that `name`, in the stage `before`, means.
    pub(super) fn earlier(&self, name: &str, before: usize) -> Option<&Stage> {
        self.file.stage(name).filter(|stage| stage.number < before)
    }

    /// The stages that the target needs, in the order of the file.
    fn needed(&self, target: &Stage, global: &BTreeMap<String, String>) -> std::result::Result<Vec<usize>, BuildError> {
        let mut needed = BTreeSet::new();
        let mut left = vec![target];
        while let Some(stage) = left.pop() {
            if !needed.insert(stage.number) {
                continue;
            }
            let base = self.base_name(stage, global)?;
            let is_named = |name: &str| self.file.stages.iter().any(|other| other.from.name.as_deref() == Some(name));
            if is_named(&base.to_ascii_lowercase()) {
                left.extend(self.earlier(&base, stage.number));
            }
            for instruction in &stage.instructions {
                let names: Vec<&String> = match &instruction.kind {
                    Kind::Copy(copy) => copy.flags.from.iter().collect(),
                    Kind::Run(run) => run.mounts.iter().filter_map(|mount| mount.from.as_ref()).collect(),
                    _ => Vec::new(),
                };
                left.extend(names.into_iter().filter_map(|name| self.earlier(name, stage.number)));
            }
        }
        Ok(needed.into_iter().collect())
    }

    fn warn_of_unused(&self, needed: &[usize], tell: Tell<'_>) {
        let stages = needed.iter().flat_map(|number| &self.file.stages[*number].instructions);
        let declared: BTreeSet<&str> = (self.file.global.iter().chain(stages))
            .filter_map(|instruction| match &instruction.kind {
                Kind::Arg(args) => Some(args.iter().map(|arg| arg.name.as_str())),
                _ => None,
            })
            .flatten()
            .collect();
        let known = |name: &&String| declared.contains(name.as_str()) || PROXIES.contains(&name.as_str());
        for name in self.args.keys().filter(|name| !known(name)) {
            tell(Event::Warning(&format!("--build-arg {name} is not used: no ARG declares it")));
        }
    }

    fn stage(
        &self,
        stage: &Stage,
        is_last: bool,
        global: &BTreeMap<String, String>,
        built: &Built,
        tell: Tell<'_>,
    ) -> std::result::Result<Image, BuildError> {
        let shown = stage.from.name.as_deref().filter(|_| self.file.stages.len() > 1);
        tell(Event::Step { number: 0, total: 0, stage: shown, text: &stage.text });
        let failed = |error| self.failed_at(stage.line, &stage.text, error);
        let base = self.base(stage, global, built)?;
        let document = match &base {
            None => Some(Document::scratch(&self.host_or_platform())),
            Some(image) => Document::parse(&self.store.config_json(image)?),
        };
        let broken = || StepError::Unusable { what: "the base image".into(), reason: "no configuration".into() };
        let mut evaluation =
            Evaluation::new(document.ok_or_else(|| failed(broken()))?, self.file.escape, &self.args, global);
        let mut work = Work::new(self, &mut evaluation, base, built);
        let triggers = work.evaluation.document.list("OnBuild");
        work.evaluation.document.remove("OnBuild");
        for text in triggers {
            let trigger =
                Instruction::trigger(&text).map_err(|problem| BuildError::Parse(problem.in_file("ONBUILD")))?;
            work.step(stage, &trigger, tell).map_err(|error| self.failed_at(stage.line, &text, error))?;
        }
        for instruction in &stage.instructions {
            tell(Event::Step { number: 0, total: 0, stage: shown, text: &instruction.text });
            work.step(stage, instruction, tell).map_err(|error| self.failed(instruction, error))?;
        }
        if is_last && !self.labels.is_empty() {
            work.evaluation
                .document
                .extend("Labels", self.labels.iter().map(|(key, value)| (key.clone(), json!(value))));
        }
        let (document, base) = (work.evaluation.document.clone(), work.take_image());
        let names = if is_last { self.names } else { &[] };
        let new = Assembly { base: base.as_ref(), names, intermediate: !is_last, ..self.assembly() };
        // The same image as in an earlier build differs in times only: it stays the same image.
        let key = Digest::of(&document.without_times().to_json());
        let cached = if self.no_cache { None } else { self.store.cached(&key) };
        let json = match cached {
            Some(image) => self.store.config_json(&image)?,
            None => document.to_json(),
        };
        let image = self.store.assemble(&new, &|_| Ok(json.clone()))?;
        self.store.cache(&key, &image)?;
        Ok(image)
    }

    fn base(
        &self,
        stage: &Stage,
        global: &BTreeMap<String, String>,
        built: &Built,
    ) -> std::result::Result<Option<Image>, BuildError> {
        let name = self.base_name(stage, global)?;
        if name == "scratch" {
            return Ok(None);
        }
        let named =
            self.file.stages.iter().find(|other| other.from.name.as_deref() == Some(&name.to_ascii_lowercase()));
        if let Some(image) =
            named.filter(|other| other.number < stage.number).and_then(|other| built.get(&other.number))
        {
            return Ok(Some(image.clone()));
        }
        let failed = |error| self.failed_at(stage.line, &stage.text, error);
        let platform = match &stage.from.platform {
            None => self.platform.clone(),
            Some(text) => {
                let text = expand(text, self.file.escape, &|name| global.get(name).cloned());
                let text = text.map_err(|error| failed(error.into()))?;
                let platform = text.parse().map_err(|_| StepError::Expected(format!("a platform instead of {text:?}")));
                Some(platform.map_err(failed)?)
            }
        };
        (self.images)(&name, platform.as_ref()).map(Some).map_err(failed)
    }

    pub(super) fn assembly(&self) -> Assembly<'static> {
        Assembly { base: None, names: &[], intermediate: true, compression: Compression::Gzip, latest: self.epoch }
    }

    /// The files of a container of this build.
    pub(super) fn files(&self, container: &Container) -> Result<mount::Prepared> {
        let image = self.store.image(&container.image.to_string())?;
        let source = Source::Container { store: self.store, image: &image, container, made_now: false };
        let options = mount::Options { source: Some(container.name.clone()), ..mount::Options::default() };
        let lowest = Some(crate::container::skeleton(container.dir())?);
        Ok(mount::Plan { lowest, ..mount::Plan::new(source, options) }.prepare(self.privilege)?)
    }

    pub(super) fn tree_of(&self, container: &Container) -> Result<Tree> {
        Ok(Tree { union: self.files(container)?.open()?, ignore: Ignore::default() })
    }

    /// The files of an image, or of the context; `changes` are an upper and a work directory for them.
    pub(super) fn source_files(
        &self,
        from: Option<&Image>,
        changes: Option<(PathBuf, PathBuf)>,
    ) -> Result<mount::Prepared> {
        let (upper, work) = changes.unzip();
        let directories = |lower: Vec<PathBuf>| -> Result<mount::Prepared> {
            let options = mount::Options { lower, upper, work, ..mount::Options::default() };
            Ok(mount::Plan::new(Source::Directories, options).prepare(self.privilege)?)
        };
        match from {
            None => directories(vec![self.context()?.to_owned()]),
            Some(image) => directories(self.store.lower_dirs(image)),
        }
    }

    pub(super) fn context(&self) -> Result<&Path> {
        let none = || StepError::Expected("a build context: this build has none".into());
        self.context.ok_or_else(none)
    }
}
