//! Removes the containers that were run with `--rm` and whose monitor was killed before it could remove them.

use super::settings::Settings;
use super::state::{State, Status};
use crate::store::{Container, Store, StoreError};

/// The containers that [`sweep`] removes.
///
/// # Errors
/// The store's containers cannot be listed.
pub fn left_over(store: &Store) -> Result<Vec<Container>, StoreError> {
    Ok(store.containers()?.into_iter().filter(is_left_over).collect())
}

/// Removes them with their anonymous volumes, and warns of those that cannot be removed.
///
/// # Errors
/// As [`left_over`].
pub fn sweep(store: &Store) -> Result<(), StoreError> {
    for container in left_over(store)? {
        match store.remove_container(&container).and_then(|()| store.remove_volumes_of(&container)) {
            // Another process is faster, or has just started it.
            Err(_) if !is_left_over(&container) => {}
            Err(error) => tracing::warn!(%error, name = container.name, "a container that ran with --rm is left"),
            Ok(()) => {}
        }
    }
    Ok(())
}

/// One that never ran may be about to: `create --rm` makes such containers, too.
fn is_left_over(container: &Container) -> bool {
    let has_ended = State::of(container).is_ok_and(|state| state.status == Status::Exited);
    has_ended && Settings::of(container).is_ok_and(|settings| settings.auto_remove)
}
