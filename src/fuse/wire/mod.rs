//! The bytes of the protocol: messages as the kernel lays them out, requests taken apart, answers put together.
//!
//! Knows neither a union's nodes beyond their attributes, nor how messages travel.

pub(super) mod abi;
pub(super) mod answer;
pub(super) mod convert;
pub(super) mod opcode;
pub(super) mod request;
