//! The client against servers that do as they are told by a script.

mod binding;
mod certificates;
mod hostile;
mod logins;
mod mail;
mod mail_domain;
mod proxy;
mod script;
mod security;
mod silence;
