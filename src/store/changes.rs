//! The changes of a container against its image: as a list, and packed as one more layer.

use std::path::Path;

use super::commit::Commit;
use super::error::{Result, StoreError, io_at};
use super::{Container, Image, InUse, Store};
use crate::layer;
use crate::sys::Dir;
use crate::tar::{self, Change, Over};

/// A container's upper directory, and the layers of its image below it.
pub(super) struct Stack {
    upper: Dir,
    /// Topmost first.
    lower: Vec<Dir>,
    /// The upper's hardlink index.
    index: Option<Dir>,
}

impl Stack {
    pub(super) fn over(&self) -> Over<'_> {
        Over { upper: &self.upper, lower: &self.lower, index: self.index.as_ref() }
    }
}

/// Who may change a container's files while they are read.
#[derive(Debug)]
pub enum Meanwhile<'a> {
    /// Nobody: the caller holds the container's lock.
    Nobody(&'a InUse),
    /// The container runs. The caller has made its processes stand still and its mount write back, or accepts that a file
    /// that changes is read half changed.
    Running,
}

impl Store {
    /// The changes of `container` against its image, sorted by path.
    ///
    /// # Errors
    /// [`StoreError::Compare`], [`StoreError::Io`] when its directories cannot be opened, and the errors of
    /// [`Store::image`].
    pub fn changes(&self, container: &Container) -> Result<Vec<Change>> {
        let stack = self.stack(container, &self.image(&container.image.to_string())?)?;
        tar::changes(stack.over(), self.policy()?).map_err(StoreError::Compare)
    }

    /// Makes an image of `container`: its image, and its changes as one more layer. What changes meanwhile may be in the
    /// layer or not; see [`Meanwhile`].
    ///
    /// # Errors
    /// As [`Store::commit`] and [`Store::changes`].
    pub fn commit_container(
        &self,
        container: &Container,
        _meanwhile: Meanwhile<'_>,
        commit: &Commit<'_>,
    ) -> Result<Image> {
        let image = self.image(&container.image.to_string())?;
        let policy = self.policy()?;
        let stack = self.stack(container, &image)?;
        self.commit(&image, commit, &mut |to| tar::pack(stack.over(), policy, to).map(drop))
    }

    pub(super) fn stack(&self, container: &Container, image: &Image) -> Result<Stack> {
        let open = |path: &Path| Dir::open_host(path).map_err(io_at("open", path));
        let index = container.work().join(layer::HARDLINK_INDEX);
        Ok(Stack {
            upper: open(&container.upper())?,
            lower: self.lower_dirs(image).iter().map(|dir| open(dir)).collect::<Result<_>>()?,
            index: if index.exists() { Some(open(&index)?) } else { None },
        })
    }
}
