//! Lists a maildrop and shows the subjects; changes nothing:
//! `PASSWORD=… cargo run --example look -- pop.example.com NAME [CA-FILE]`
#![expect(clippy::print_stdout, reason = "a program for people to look at")]

use std::{error::Error, path::Path};

use restante_client::{Client, Connection, Login, MessageNumber, Server, Tls};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (host, name, tls) = match arguments.as_slice() {
        [host, name] => (host, name, Tls::platform()?),
        [host, name, file] => (host, name, Tls::with_ca_file(Path::new(file))?),
        _ => return Err("wanted: HOST NAME [CA-FILE]".into()),
    };
    let password = std::env::var("PASSWORD")?;

    let server = Server::over_tls(host, tls);
    let connection = Connection::open(&server).await?;
    let login = Login::password(name, &password);
    let mut client = connection.log_in(&login).await?;

    let listing = client.listing().await?;
    for listed in &listing.messages {
        let octets = listed.octets.unwrap_or_default();
        let subject = subject(&mut client, listed.number).await?;
        println!("{:>5} {octets:>10} {subject}", listed.number);
    }
    println!("{} messages", listing.messages.len());
    client.quit().await?;
    Ok(())
}

/// The Subject field of a message, escaped: it comes from a stranger.
async fn subject(
    client: &mut Client,
    number: MessageNumber,
) -> Result<String, restante_client::Error> {
    let mut top = client.top(number, 0).await?;
    let mut header = Vec::new();
    while let Some(octets) = top.next().await? {
        header.extend_from_slice(&octets);
    }
    let lines = header.split(|&octet| octet == b'\n');
    let field = |line: &&[u8]| line.to_ascii_lowercase().starts_with(b"subject:");
    let subject = lines.into_iter().find(field).unwrap_or_default();
    Ok(String::from_utf8_lossy(subject)
        .trim()
        .escape_debug()
        .to_string())
}
