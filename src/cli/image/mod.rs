//! Commands about images.

pub(super) mod build;
pub(super) mod history;
pub(super) mod images;
pub(super) mod load;
pub(super) mod rmi;
