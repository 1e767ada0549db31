//! The bytes of the protocol: the kernel's message layouts, a parser for requests, a writer for answers.
//!
//! Of the union this knows node numbers and attributes only. It does not know the transport.

pub(super) mod abi;
pub(super) mod answer;
pub(super) mod convert;
pub(super) mod opcode;
pub(super) mod request;
