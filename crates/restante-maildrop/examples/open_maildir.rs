//! Opens a Maildir twice as a fresh program would, and a third time as a running server does, and
//! tells how long each took: `cargo run --release --example open_maildir -- PATH`.

#![expect(clippy::print_stdout, reason = "telling is what it is for")]

use std::{
    error::Error,
    path::PathBuf,
    time::{Duration, Instant},
};

use restante_maildrop::{MailboxId, Maildir, MaildirSettings, Maildrop, Store, View};
use restante_proto::{MessageNumber, Messages, Mode};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let path = PathBuf::from(std::env::args_os().nth(1).ok_or("which Maildir?")?);
    let view = View::shared(MailboxId {
        account: "me".to_owned(),
        home: None,
        location: Some(path.canonicalize()?),
    });
    let store = || Maildir::new(MaildirSettings::new("/{user}"));
    open("first ", &store()?, &view).await?;
    let running = store()?;
    open("second", &running, &view).await?;
    open("poll  ", &running, &view).await?;
    Ok(())
}

async fn open(which: &str, store: &Maildir, view: &View) -> Result<(), Box<dyn Error>> {
    let begun = Instant::now();
    let maildrop = store.open(view, Duration::ZERO).await?;
    let opened = begun.elapsed();
    let count = maildrop.messages().count();
    if let Some(last) = MessageNumber::new(count) {
        maildrop.measure(Mode::Plain, last).await?;
    }
    println!(
        "{which}: opened in {opened:?}, all sizes known after {:?}: {count} messages, {} octets of memory",
        begun.elapsed(),
        maildrop.memory_octets(),
    );
    Ok(())
}
