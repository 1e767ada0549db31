//! The container that keeps a mount's changes under a name.

use super::Error;
use crate::store::{Container, Image, Store};

/// A container that the user named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// The container.
    pub container: Container,
    /// Whether it was created by this call.
    pub made_now: bool,
}

/// Finds the container of `image` called `name`, or creates it.
///
/// # Errors
/// [`Error::OtherImage`] when another image's container has the name; any error of the store.
pub fn named(store: &Store, image: &Image, name: &str) -> Result<Named, Error> {
    match store.containers()?.into_iter().find(|known| known.name == name) {
        None => Ok(Named { container: store.create_container(image, Some(name))?, made_now: true }),
        Some(container) if container.image == image.id => Ok(Named { container, made_now: false }),
        Some(other) => {
            let (theirs, ours) = (other.image_name, image.display_name());
            Err(Error::OtherImage { name: name.into(), theirs, ours })
        }
    }
}
