//! `restante deliver`: one message from stdin into a mailbox.

mod message;
