//! Hard links.

use std::sync::Arc;

use crate::layer::whiteout;
use crate::sys::xattr::Of;
use crate::sys::{Errno, Name, Rename, Result};

use super::content_location::UpperAt;
use super::node::{Anchor, Content, NodeId, Place};
use super::{Attr, Union};

impl Union {
    /// Links the file `id` as `name` in `dir`; a file made by [`create_unnamed`](Self::create_unnamed) gets its first name
    /// so. Counts one lookup of its node.
    ///
    /// # Errors
    /// As `link(2)`.
    pub fn link(&self, id: NodeId, dir: NodeId, name: Name<'_>) -> Result<Attr> {
        self.upper()?;
        let (node, dir) = (self.node(id)?, self.dir_node(dir)?);
        if node.is_dir() {
            return Err(Errno::PERM);
        }
        node.protection().permits_change()?;
        dir.protection().permits_more()?;
        self.copy_up(&node, self.need_to_move())?;
        let upper = self.upper_dir(&dir)?;
        let file = self.at_upper(&node, UpperAt::path_fd)?;
        let state = dir.state.write();
        let content = state.dir().ok_or(Errno::NOTDIR)?;
        let replaces_whiteout = self.check_free(&upper, content, name)?;
        whiteout::keep_plain(Of::fd(&*file), name, self.stack.namespace)?;
        let came_from_below = {
            let state = node.state.read();
            self.mark_data(&state, Of::fd(&*file))?;
            self.came_from_below(&state, node.id)
        };
        if came_from_below {
            self.mark_impure(&upper, content)?;
        }
        if replaces_whiteout {
            let (staged, ()) = self.upper()?.stage(|work, staged| work.link_fd(&*file, staged))?;
            staged.publish(&upper, name, Rename::Replace)?;
        } else {
            upper.link_fd(&*file, name)?;
        }
        {
            let mut state = node.state.write();
            state.places.push(Place { parent: Arc::clone(&dir), name: name.to_owned() });
            if let Content::Upper(content) = &mut state.content
                && matches!(content.at, Anchor::Unlinked(_))
            {
                // Made without a name: this is its first.
                content.at = Anchor::Place;
            }
        }
        dir.listing_add(name, node.kind, node.id);
        drop(state);
        self.table.hold(&dir);
        self.table.hold(&node);
        self.attr_of(&node)
    }
}
