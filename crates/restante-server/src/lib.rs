//! The POP3 server: listeners, TLS, accounts, drivers.
