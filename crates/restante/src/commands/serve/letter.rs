//! The letter that waits in the first account.

use time::{OffsetDateTime, format_description::well_known::Rfc2822};

/// What the letter says about this installation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Installation<'a> {
    /// The account it is for.
    pub(crate) account: &'a str,
    /// What begins the commands: `restante` and its `--config`.
    pub(crate) program: &'a str,
    /// The data directory.
    pub(crate) data: &'a str,
    /// Where this account's Maildir is.
    pub(crate) maildir: &'a str,
}

/// The letter as an Internet message with LF line ends.
///
/// `unique` makes the Message-ID unlike any other; it must be made of letters and digits.
pub(crate) fn write(installation: Installation<'_>, now: OffsetDateTime, unique: &str) -> String {
    let Installation {
        account,
        program,
        data,
        maildir,
    } = installation;
    let date = now
        .format(&Rfc2822)
        .expect("years of four digits can be written as RFC 2822 wants them");
    format!(
        "\
From: Restante <restante@localhost>
To: {account}
Subject: Your first letter
Date: {date}
Message-ID: <{unique}@restante.localhost>
MIME-Version: 1.0
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: 8bit

Hello,

this letter was kept for you until you came for it, which is what Restante
does. If you can read it, everything works: the server, the password and the
encryption.

What you may want to do next:

1. More accounts

     {program} account add somebody@example.com
     {program} account list
     {program} account passwd {account}

2. Put mail in

   Any program can hand a message to the server, and gets 0 back only when it
   is safely on disk:

     {program} deliver {account} < message.eml

   Postfix and Exim can do the same, or write into the Maildirs themselves:
   yours is

     {maildir}

   Other programs may use it at the same time.

3. Maildirs and passwords that you have already

   Write a file restante.toml:

     [accounts]
     source = \"passwd-file\"
     passwd_file = \"/etc/dovecot/users\"

     [mail]
     maildir = \"/var/mail/{{domain}}/{{user}}\"

   and look at what it would do, before doing it:

     restante config check --config restante.toml
     restante serve --config restante.toml

4. Other machines

   Until you say otherwise, the server can be reached from this machine only.
   To open it, give it a certificate that programs trust, and addresses:

     [pop3]
     listen = [\"0.0.0.0:110\", \"[::]:110\"]
     listen_tls = [\"0.0.0.0:995\", \"[::]:995\"]

     [tls]
     certificate = \"/etc/letsencrypt/live/example.com/fullchain.pem\"
     key = \"/etc/letsencrypt/live/example.com/privkey.pem\"

   Ports below 1024 need a privilege; `restante serve` says which.

Restante does not send mail yet: if your mail program asks for an outgoing
server, give it the one of your provider.

Accounts, certificate and mail are all in one directory; a copy of it is a
backup:

  {data}

All settings are described in docs/configuration.md.
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_letter_is_an_internet_message_that_names_this_installation() {
        let letter = write(
            Installation {
                account: "you@localhost",
                program: "restante --config /etc/r.toml",
                data: "/var/lib/restante",
                maildir: "/var/lib/restante/mail/you@localhost",
            },
            OffsetDateTime::from_unix_timestamp(1_800_000_000).unwrap(),
            "0123abcd",
        );
        let (header, body) = letter.split_once("\n\n").unwrap();
        for line in header.lines() {
            let (name, value) = line.split_once(": ").unwrap();
            assert!(name.bytes().all(|octet| octet.is_ascii_graphic()), "{line}");
            assert!(!value.is_empty(), "{line}");
        }
        assert!(
            header.contains("Date: Fri, 15 Jan 2027 08:00:00 +0000"),
            "{header}"
        );
        assert!(body.contains("restante --config /etc/r.toml account add"));
        assert!(
            letter.lines().all(|line| line.len() <= 78),
            "lines fit a terminal"
        );
    }

    #[test]
    fn the_configuration_in_the_letter_is_one_that_is_accepted() {
        let letter = write(
            Installation {
                account: "a",
                program: "b",
                data: "c",
                maildir: "d",
            },
            OffsetDateTime::UNIX_EPOCH,
            "e",
        );
        let is_toml = |line: &&str| {
            line.starts_with("     ") && (line.contains(" = ") || line.contains("     ["))
        };
        let toml: Vec<&str> = letter.lines().filter(is_toml).map(str::trim).collect();
        assert_eq!(toml.iter().filter(|line| line.starts_with('[')).count(), 4);
        let surroundings = crate::configuration::Surroundings {
            home: None,
            data_home: Some("/data".into()),
            directory: "/".into(),
        };
        let text = toml.join("\n");
        crate::configuration::Configuration::from_text(&text, None, &surroundings).unwrap();
    }
}
