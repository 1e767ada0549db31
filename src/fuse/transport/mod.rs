//! Receives requests and sends answers: the handshake, the device, and the rings of io_uring.

pub(super) mod device;
pub(super) mod init;
pub(super) mod pool;
pub(super) mod ring;
