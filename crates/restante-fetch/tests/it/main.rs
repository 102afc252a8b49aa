//! Collecting from servers that are good, odd, wrong, and hostile.

mod collecting;
mod hostile;
#[cfg(feature = "keyring")]
mod keyring;
mod killed;
mod lines;
mod many;
mod odd;
mod office;
mod told;
mod top;
mod turns;
