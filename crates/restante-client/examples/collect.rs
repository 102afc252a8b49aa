//! Fetches all mail into files of a directory, and deletes from the server what is safe there:
//! `PASSWORD=… cargo run --example collect -- pop.example.com NAME DIRECTORY [CA-FILE]`
//!
//! Messages come through a pipeline: the line is never idle, and one message at a time is held in
//! pieces. DELE follows when a message and its directory entry are on stable storage; QUIT in the
//! end removes them. If anything goes wrong before, nothing is removed.

use std::{error::Error, fs, fs::File, io::Write as _, path::Path};

use restante_client::{Connection, Login, Message, Reply, Server, Tls};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (host, name, directory, tls) = match arguments.as_slice() {
        [host, name, directory] => (host, name, directory, Tls::platform()?),
        [host, name, directory, file] => {
            (host, name, directory, Tls::with_ca_file(Path::new(file))?)
        }
        _ => return Err("wanted: HOST NAME DIRECTORY [CA-FILE]".into()),
    };
    let password = std::env::var("PASSWORD")?;
    let directory = Path::new(directory);
    fs::create_dir_all(directory)?;

    let server = Server::over_tls(host, tls);
    let connection = Connection::open(&server).await?;
    let login = Login::password(name, &password);
    let mut client = connection.log_in(&login).await?;

    let listing = client.listing().await?;
    let mut pipeline = client.pipeline().await?;
    let mut waiting = listing.messages.iter();
    loop {
        // As many as there is room for, and room for a DELE of each.
        while pipeline.room() > 1000
            && let Some(listed) = waiting.next()
        {
            pipeline.retrieve(listed.number, listed.octets)?;
        }
        let number = match pipeline.next().await? {
            None => break,
            Some(Reply::Answer(answer)) => {
                // Whatever is refused ends it here, before QUIT: nothing is removed.
                answer.outcome.map_err(|line| line.text.to_string())?;
                continue;
            }
            Some(Reply::Message(message)) => {
                let number = message.number();
                store(message, directory).await?;
                number
            }
        };
        pipeline.delete(number)?;
    }
    client.quit().await?;
    Ok(())
}

/// Writes a message under a name of its own, durably: the file, then its directory entry.
async fn store(mut message: Message<'_>, directory: &Path) -> Result<(), Box<dyn Error>> {
    let started = std::time::SystemTime::UNIX_EPOCH.elapsed()?.as_nanos();
    let path = directory.join(format!("{started}-{}.eml", message.number()));
    let mut file = File::create_new(path)?;
    while let Some(octets) = message.next().await? {
        file.write_all(&octets)?;
    }
    file.sync_all()?;
    File::open(directory)?.sync_all()?;
    Ok(())
}
