//! SASL mechanisms (RFC 4422), both roles, without I/O.

#![no_std]

extern crate alloc;
