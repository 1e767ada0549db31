//! The marks that a file or directory of the upper layer needs before it gets another name.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::layer::{Mark, Namespace, Redirect, Verdict, whiteout};
use crate::sys::xattr::Of;
use crate::sys::{Errno, NameBuf, Result};

use super::Union;
use super::copy_up::{Need, UpperDir};
use super::node::{Content, DirContent, Node, NodeId, State};
use super::remove::Entry;
use super::rename::Side;

impl Union {
    /// How much of a file must be in the upper layer before it gets another name. With `user.` marks it is all of
    /// it: a file must not take its data from another name there.
    pub(super) fn need_to_move(&self) -> Need {
        if self.stack.namespace == Namespace::User { Need::Data } else { Need::Metadata }
    }

    /// Writes the marks that `node` needs for its move from `from` to `to`. `arriving` is the entry now at `to`.
    pub(super) fn mark_for_move(
        &self,
        (node, from): (&Arc<Node>, &Side<'_>),
        (to, content, arriving): (&Side<'_>, &DirContent, &Entry),
    ) -> Result<()> {
        let of = Of::Name(&from.upper, from.name);
        whiteout::keep_plain(of, to.name, self.stack.namespace)?;
        let state = node.state.read();
        let came_from_below = match &state.content {
            Content::Dir(moved) if !moved.lower.is_empty() => {
                // A redirect by name alone works only within one directory.
                let stays = Arc::ptr_eq(&from.dir, &to.dir) && !content.lower.is_empty();
                let redirect = match moved.path.file_name() {
                    Some(name) if stays && moved.path.parent() == Some(&content.path) => {
                        Redirect::Sibling(NameBuf::new(name)?)
                    }
                    _ => Redirect::Path(moved.path.to_path_buf()),
                };
                self.mark_redirect(of, &redirect)?;
                true
            }
            Content::Dir(_) => {
                if arriving.is_below || arriving.above == Verdict::Whiteout {
                    self.stack.namespace.set(of, Mark::Opaque, b"y")?;
                }
                false
            }
            Content::Lower(_) => false,
            Content::Upper(_) => {
                self.mark_data(&state, of)?;
                self.came_from_below(&state, node.id)
            }
        };
        if came_from_below { self.mark_impure(&to.upper, content) } else { Ok(()) }
    }

    /// Before a file gets a new name: writes a redirect to its data, if that was not copied up.
    pub(super) fn mark_data(&self, state: &State, of: Of<'_>) -> Result<()> {
        match state.data_below() {
            Some(data) => self.mark_redirect(of, &Redirect::Path(data.path.to_path_buf())),
            None => Ok(()),
        }
    }

    /// Whether a file of the upper layer shows the inode number of a lower file.
    pub(super) fn came_from_below(&self, state: &State, id: NodeId) -> bool {
        self.table.is_copy(state.real, id)
    }

    /// Marks a directory as impure: listing it must read the origin marks of its entries.
    pub(super) fn mark_impure(&self, dir: &UpperDir, content: &DirContent) -> Result<()> {
        if !content.lower.is_empty() || content.impure.swap(true, Ordering::Relaxed) {
            return Ok(());
        }
        let marked = self.stack.namespace.set(Of::fd(&**dir), Mark::Impure, b"y");
        marked.inspect_err(|_| content.impure.store(false, Ordering::Relaxed))
    }

    fn mark_redirect(&self, of: Of<'_>, redirect: &Redirect) -> Result<()> {
        match self.stack.namespace.set(of, Mark::Redirect, redirect.value()) {
            // The path is too long for an attribute of this file system. `EXDEV` makes mv(1) copy instead.
            Err(Errno::NOSPC | Errno::RANGE | Errno::TOOBIG) => Err(Errno::XDEV),
            other => other,
        }
    }
}
