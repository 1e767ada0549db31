//! One stage in the making: does its steps, or takes their results from an earlier build.

use serde_json::json;

use super::builder::{Build, Built, Event, Images, Tell};
use super::copy::{Place, Sources};
use super::document::Document;
use super::error::{Result, StepError, at};
use super::evaluate::{CopyStep, Evaluation, PROXIES, Step};
use super::ignore::Ignore;
use super::parse::{BuildMount, Instruction, MountKind, Stage};
use super::tree::Tree;
use crate::image::{Digest, Instant};
use crate::mount::{self, Source};
use crate::store::{Assembly, Container, Image, NewContainer};

/// One stage in the making.
pub(super) struct Work<'w, 'b> {
    build: &'w Build<'b>,
    pub(super) evaluation: &'w mut Evaluation<'b>,
    /// The image with the layers so far; `None`: there are none.
    current: Option<Image>,
    built: &'w Built,
}

impl<'w, 'b> Work<'w, 'b> {
    pub(super) fn new(
        build: &'w Build<'b>,
        evaluation: &'w mut Evaluation<'b>,
        base: Option<Image>,
        built: &'w Built,
    ) -> Work<'w, 'b> {
        Work { build, evaluation, current: base, built }
    }

    /// The image with the layers so far.
    pub(super) fn take_image(&mut self) -> Option<Image> {
        self.current.take()
    }

    /// Evaluates one instruction, and does what it says.
    pub(super) fn step(&mut self, stage: &Stage, instruction: &Instruction, tell: Tell<'_>) -> Result<()> {
        let step = self.evaluation.apply(instruction)?;
        match step {
            Step::Nothing(text) => {
                let now = self.now();
                self.evaluation.document.add_step(&text, now, None);
                Ok(())
            }
            Step::MakeDir(path) => {
                if self.has_dir(&path)? {
                    let now = self.now();
                    self.evaluation.document.add_step(&format!("/bin/sh -c #(nop) WORKDIR {path}"), now, None);
                    return Ok(());
                }
                let key = json!(["WORKDIR", path]);
                self.layer(&key, &format!("/bin/sh -c #(nop) WORKDIR {path}"), tell, &|build, container, _| {
                    let tree = build.tree_of(container)?;
                    tree.make_dirs(&path, None).map(drop).map_err(at("make", path.as_ref()))
                })
            }
            Step::Run(run) => {
                let mounts = format!("{:?}", run.run.mounts);
                let hidden = |(name, _): &&(String, String)| PROXIES.contains(&name.as_str());
                let env: Vec<_> = run.env.iter().filter(|pair| !hidden(pair)).collect();
                let images = self.mounted_images(stage, &run.run.mounts)?;
                let from = self.mounted_digests(&images, &run.run.mounts)?;
                let key = json!(["RUN", run.args, env, mounts, from, run.run.network]);
                self.layer(&key, &run.args.join(" "), tell, &|build, container, evaluation| {
                    build.run_command(container, evaluation, &run, &images)
                })
            }
            Step::Copy(copy) => {
                if copy.flags.link {
                    tell(Event::Warning("--link is ignored: the layer is made over those below it"));
                }
                let tree = self.source_tree(stage, copy.flags.from.as_deref(), &copy)?;
                let sources = Sources::find(&tree, &copy)?;
                let digest = sources.digest(&copy)?;
                let word = if copy.is_add { "ADD" } else { "COPY" };
                let text = format!("/bin/sh -c #(nop) {word} multi:{} in {} ", digest.hex(), copy.sources.target);
                let key = json!([word, digest.to_string()]);
                self.layer(&key, &text, tell, &|build, container, _| {
                    let scratch = container.dir().join("archive");
                    let place = Place { scratch: &scratch, policy: build.store.policy()?, epoch: build.epoch };
                    sources.copy(&copy, &build.tree_of(container)?, &place)
                })
            }
        }
    }

    /// The time of a step.
    fn now(&self) -> Instant {
        self.build.epoch.and_then(Instant::from_seconds).unwrap_or_else(Instant::now)
    }

    fn has_dir(&self, path: &str) -> Result<bool> {
        let Some(image) = &self.current else { return Ok(false) };
        let tree = self.image_tree(image)?;
        Ok(tree.resolve(path).map_err(at("look at", path.as_ref()))?.is_some())
    }

    fn image_tree(&self, image: &Image) -> Result<Tree> {
        let source = Source::Image { store: self.build.store, image };
        let plan = mount::Plan::new(source, mount::Options::default());
        Ok(Tree { union: plan.prepare(self.build.privilege)?.open()?, ignore: Ignore::default() })
    }

    fn stage_or_image(&self, stage: &Stage, name: &str) -> Result<Image> {
        match self.build.earlier(name, stage.number).and_then(|stage| self.built.get(&stage.number)) {
            Some(image) => Ok(image.clone()),
            None => (self.build.images)(name, self.build.platform.as_ref()),
        }
    }

    fn source_tree(&self, stage: &Stage, from: Option<&str>, copy: &CopyStep) -> Result<Tree> {
        match from {
            Some(name) => self.image_tree(&self.stage_or_image(stage, name)?),
            // A step whose files are all in the Dockerfile needs no context.
            None if copy.sources.paths.is_empty() && self.build.context.is_none() => {
                self.image_tree(&self.empty_image()?)
            }
            None => {
                let union = self.build.source_files(None, None)?.open()?;
                Ok(Tree { union, ignore: Ignore::parse(&self.build.ignore) })
            }
        }
    }

    fn empty_image(&self) -> Result<Image> {
        let json = Document::scratch(&self.build.host_or_platform()).to_json();
        Ok(self.build.store.assemble(&self.build.assembly(), &|_| Ok(json.clone()))?)
    }

    /// The stages and images that the mounts of a RUN name.
    fn mounted_images(&self, stage: &Stage, mounts: &[BuildMount]) -> Result<Images> {
        let names = mounts.iter().filter_map(|mount| mount.from.as_ref());
        names.map(|name| Ok((name.clone(), self.stage_or_image(stage, name)?))).collect()
    }

    /// What the mounts of a RUN show: IDs of images, and digests of parts of the context.
    fn mounted_digests(&self, images: &Images, mounts: &[BuildMount]) -> Result<Vec<String>> {
        let mut digests = Vec::new();
        for mount in mounts.iter().filter(|mount| mount.kind == MountKind::Bind) {
            digests.push(match mount.from.as_ref().and_then(|name| images.get(name)) {
                Some(image) => image.id.to_string(),
                None => {
                    let union = self.build.source_files(None, None)?.open()?;
                    let tree = Tree { union, ignore: Ignore::parse(&self.build.ignore) };
                    let source = mount.source.as_deref().unwrap_or("/");
                    let found = tree.resolve(source).map_err(at("look at", source.as_ref()))?;
                    let found = found.ok_or_else(|| StepError::NoSource(source.to_owned()))?;
                    tree.digest(&found, &Ignore::default()).map_err(at("read", source.as_ref()))?.to_string()
                }
            });
        }
        Ok(digests)
    }

    /// Does a step that makes a layer, or takes the layer of an earlier build.
    fn layer(
        &mut self,
        step: &serde_json::Value,
        created_by: &str,
        tell: Tell<'_>,
        work: &dyn Fn(&Build<'_>, &Container, &Evaluation<'_>) -> Result<()>,
    ) -> Result<()> {
        let build = self.build;
        let key = json!([self.evaluation.document.basis(), step, build.epoch]).to_string();
        let key = Digest::of(key.as_bytes());
        let cached = if build.no_cache { None } else { build.store.cached(&key) };
        let made = match cached {
            Some(image) => {
                tell(Event::Cached);
                image
            }
            None => {
                let image = self.do_layer(created_by, work)?;
                build.store.cache(&key, &image)?;
                tell(Event::Made(&image));
                image
            }
        };
        let at = made.created().unwrap_or_else(|| self.now());
        self.evaluation.document.add_step(created_by, at, made.layers.last().copied());
        self.current = Some(made);
        Ok(())
    }

    fn do_layer(
        &self,
        created_by: &str,
        work: &dyn Fn(&Build<'_>, &Container, &Evaluation<'_>) -> Result<()>,
    ) -> Result<Image> {
        let build = self.build;
        let below = match &self.current {
            Some(image) => image.clone(),
            None => self.empty_image()?,
        };
        let container = build.store.create_container_with(&below, NewContainer::default())?;
        let make = || -> Result<Image> {
            let in_use = container.lock()?;
            work(build, &container, self.evaluation)?;
            let now = self.now();
            let new = Assembly { base: Some(&below), ..build.assembly() };
            let document = &self.evaluation.document;
            Ok(build.store.assemble_container(&container, &in_use, &new, &|diff_id| {
                let mut document = document.clone();
                document.add_step(created_by, now, diff_id);
                Ok(document.to_json())
            })?)
        };
        let made = make();
        let removed = build.store.remove_container(&container);
        let made = made?;
        removed?;
        Ok(made)
    }
}
