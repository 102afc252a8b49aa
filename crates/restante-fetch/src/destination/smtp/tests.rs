//! Servers that take messages, refuse them, fall silent, vanish and lie.

mod real;
mod server;
mod tls;

use std::time::{Duration, Instant, SystemTime};

use tempfile::TempDir;

use self::server::{Act, Script, Server, say, take};
use super::*;
use crate::{Destination, Incoming, Recovered, Scope, Ticket};

const PATIENCE: Duration = Duration::from_millis(400);

fn mail() -> Incoming {
    Incoming {
        account: "work".into(),
        unique_id: None,
        announced: None,
        arrival: SystemTime::now(),
    }
}

fn settings(dialect: Dialect, peer: Peer) -> MailServerSettings {
    let deadlines = Deadlines {
        connect: PATIENCE,
        command: PATIENCE,
        data: PATIENCE,
        piece: PATIENCE,
        message: PATIENCE,
        quit: PATIENCE,
    };
    MailServerSettings {
        dialect,
        peer,
        login: None,
        recipient: Address::new("tim@example.com").unwrap(),
        sender: None,
        deadlines,
    }
}

fn at(server: &Server, security: Security) -> Peer {
    Peer::Tcp {
        host: "127.0.0.1".into(),
        port: server.address.port(),
        security,
    }
}

/// A destination with a directory of its own.
struct Place {
    directory: TempDir,
    settings: MailServerSettings,
}

impl Place {
    fn new(settings: MailServerSettings) -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
            settings,
        }
    }

    fn of(server: &Server) -> Self {
        Self::new(settings(Dialect::Smtp, at(server, Security::None)))
    }

    fn open(&self) -> MailServer {
        let directory = self.directory.path().join("handed");
        MailServer::new(self.settings.clone(), &directory, "work")
    }
}

async fn add(destination: &mut MailServer, message: &[u8]) -> Ticket {
    destination.begin(&mail()).await.unwrap();
    for piece in message.chunks(1000) {
        destination.write(piece).await.unwrap();
    }
    destination.finish().await.unwrap()
}

async fn hand_on(
    destination: &mut MailServer,
    messages: &[&[u8]],
) -> Vec<Result<(), DestinationError>> {
    for message in messages {
        add(destination, message).await;
    }
    destination.prepare().await.unwrap();
    let results = destination.publish().await;
    assert_eq!(results.len(), messages.len());
    results
}

const LETTER: &[u8] = b"Return-Path: <a@b.example>\r\nSubject: x\r\n\r\nbody\r\n";

/// What one message meets at a server of this script.
async fn meets(script: Script) -> (Result<(), DestinationError>, Vec<String>) {
    let mut server = script.run().await;
    let place = Place::of(&server);
    let result = hand_on(&mut place.open(), &[LETTER]).await.remove(0);
    (result, server.heard())
}

// PRJ-FETCH-13
#[tokio::test]
async fn prj_fetch_13_dots_are_stuffed_and_each_message_has_its_result() {
    let messages: [&[u8]; 4] = [
        b"Return-Path: <a@b.example>\r\n\r\n.\r\n..\r\n.x\r\nx.\r\n\r\n.\r\n",
        b"From: <c@d.example>\r\n\r\n\xff\0 \xc3\xa9\r\n",
        b"Return-Path: <>\r\n\r\nno end",
        b"\r\n.\nlone\r.\rends",
    ];
    for dialect in [Dialect::Smtp, Dialect::Lmtp] {
        let mut server = Script::new().run().await;
        let place = Place::new(settings(dialect, at(&server, Security::None)));
        let mut destination = place.open();
        let results = hand_on(&mut destination, &messages).await;
        assert!(results.iter().all(Result::is_ok), "{results:?}");
        let heard = server.heard();
        let hello = if dialect == Dialect::Smtp {
            "EHLO"
        } else {
            "LHLO"
        };
        assert!(heard[0].starts_with(hello), "{heard:?}");
        let expected = [
            "MAIL FROM:<a@b.example> SIZE=50\r\n",
            "RCPT TO:<tim@example.com>\r\n",
            "DATA\r\n",
            "Return-Path: <a@b.example>\r\n\r\n..\r\n...\r\n..x\r\nx.\r\n\r\n..\r\n",
            "MAIL FROM:<> SIZE=30 BODY=8BITMIME\r\n",
            "RCPT TO:<tim@example.com>\r\n",
            "DATA\r\n",
            "From: <c@d.example>\r\n\r\n\u{fffd}\0 é\r\n",
            "MAIL FROM:<> SIZE=25\r\n",
            "RCPT TO:<tim@example.com>\r\n",
            "DATA\r\n",
            "Return-Path: <>\r\n\r\nno end\r\n",
            "MAIL FROM:<> SIZE=15\r\n",
            "RCPT TO:<tim@example.com>\r\n",
            "DATA\r\n",
            "\r\n..\r\nlone\r\n..\r\nends\r\n",
            "QUIT\r\n",
        ];
        assert_eq!(heard[1..], expected);
    }
}

// PRJ-FETCH-13
#[tokio::test]
async fn prj_fetch_13_a_refused_message_stops_no_other() {
    let script = Script::new().when(
        "DATA",
        [
            take("451 4.3.0 later"),
            take("554 5.6.0 never"),
            take("250 2.0.0 taken"),
            take("552 5.2.2 mailbox full"),
            take("250 2.0.0 taken"),
        ],
    );
    let server = script.run().await;
    let place = Place::of(&server);
    let results = hand_on(&mut place.open(), &[LETTER; 5]).await;
    assert!(
        matches!(&results[0], Err(DestinationError::RefusedNow { said, .. }) if said.contains("451 4.3.0 later"))
    );
    assert!(
        matches!(&results[1], Err(DestinationError::Refused { said, .. }) if said.contains("554 5.6.0 never"))
    );
    assert!(results[2].is_ok());
    assert!(matches!(&results[3], Err(DestinationError::Full { .. })));
    // What concerns the place concerns those that follow.
    assert!(matches!(&results[4], Err(DestinationError::Full { .. })));
}

#[tokio::test]
async fn a_refused_recipient_is_the_place_unless_it_is_the_sender_that_is_refused() {
    let no_such_user = Script::new().when("RCPT", [say("550 5.1.1 no such user")]);
    let (result, heard) = meets(no_such_user).await;
    assert!(
        matches!(&result, Err(DestinationError::Closed { .. })),
        "{result:?}"
    );
    assert!(
        !heard.iter().any(|line| line.starts_with("DATA")),
        "{heard:?}"
    );

    let sender_refused = Script::new().when("RCPT", [say("554 5.7.1 not from you"), say("250 ok")]);
    let (result, heard) = meets(sender_refused).await;
    assert!(
        matches!(&result, Err(DestinationError::Refused { .. })),
        "{result:?}"
    );
    assert!(heard.contains(&"MAIL FROM:<>\r\n".to_owned()), "{heard:?}");

    let busy = Script::new().when("RCPT", [say("450 4.2.1 busy")]);
    let (result, _) = meets(busy).await;
    assert!(
        matches!(&result, Err(DestinationError::Later { .. })),
        "{result:?}"
    );

    let mail_refused = Script::new().when("MAIL", [say("553 5.1.7 what a sender")]);
    let (result, _) = meets(mail_refused).await;
    assert!(
        matches!(&result, Err(DestinationError::Refused { .. })),
        "{result:?}"
    );

    let data_refused = Script::new().when("DATA", [say("451 4.3.0 not now")]);
    let (result, _) = meets(data_refused).await;
    assert!(
        matches!(&result, Err(DestinationError::RefusedNow { .. })),
        "{result:?}"
    );
}

#[tokio::test]
async fn silence_and_vanishing_at_any_point_mean_later() {
    for act in [Act::Silence, Act::Close] {
        let scripts = [
            Script::new().greeting(act.clone()),
            Script::new().when("EHLO", [act.clone()]),
            Script::new().when("MAIL", [act.clone()]),
            Script::new().when("RCPT", [act.clone()]),
            Script::new().when("DATA", [act.clone()]),
        ];
        for script in scripts {
            let told = format!("{script:?}");
            let began = Instant::now();
            let (result, _) = meets(script).await;
            assert!(
                matches!(&result, Err(DestinationError::Later { .. })),
                "{result:?} {told}"
            );
            assert!(began.elapsed() < PATIENCE * 5, "{told}");
        }
    }
}

#[tokio::test]
async fn a_message_that_ends_its_session_stops_no_other_unless_that_does_too() {
    let refuses_now = |result: &Result<(), DestinationError>| {
        matches!(result, Err(DestinationError::RefusedNow { .. }))
    };
    let later = |result: &Result<(), DestinationError>| {
        matches!(result, Err(DestinationError::Later { .. }))
    };
    for act in [
        Act::TakeAndClose,
        Act::CloseInMessage,
        Act::Take(String::new()),
    ] {
        let taken = || take("250 taken");
        let script = Script::new().when("DATA", [taken(), act.clone(), taken()]);
        let server = script.run().await;
        let place = Place::of(&server);
        let results = hand_on(&mut place.open(), &[LETTER; 4]).await;
        assert!(refuses_now(&results[1]), "{act:?}: {results:?}");
        let others = [0, 2, 3].map(|index| results[index].is_ok());
        assert_eq!(others, [true; 3], "{act:?}: {results:?}");

        let server = Script::new().when("DATA", [act.clone()]).run().await;
        let place = Place::of(&server);
        let results = hand_on(&mut place.open(), &[LETTER; 4]).await;
        assert!(refuses_now(&results[0]), "{act:?}: {results:?}");
        assert!(results[1..].iter().all(later), "{act:?}: {results:?}");
    }
}

#[tokio::test]
async fn what_a_server_says_in_the_middle_of_a_message_is_heard() {
    let too_big = Act::RefuseInMessage("552 5.3.4 too big\r\n");
    let script = Script::new().when("DATA", [too_big, take("250 taken")]);
    let script = script.when("EHLO", [say("250 mx.example")]);
    let server = script.run().await;
    let place = Place::of(&server);
    let large = b"a line of a large message\r\n".repeat(800_000);
    let results = hand_on(&mut place.open(), &[&large, LETTER]).await;
    assert!(
        matches!(&results[0], Err(DestinationError::Refused { said, .. }) if said.contains("too big")),
        "{results:?}"
    );
    assert!(results[1].is_ok(), "{results:?}");
}

#[tokio::test]
async fn nobody_listening_means_later() {
    let server = Script::new().run().await;
    let mut place = Place::of(&server);
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    for peer in [
        Peer::Unix(place.directory.path().join("nothing.sock")),
        Peer::Tcp {
            host: "127.0.0.1".into(),
            port,
            security: Security::None,
        },
    ] {
        place.settings.peer = peer;
        let results = hand_on(&mut place.open(), &[LETTER, LETTER]).await;
        assert!(
            results
                .iter()
                .all(|result| matches!(result, Err(DestinationError::Later { .. })))
        );
    }
}

#[tokio::test]
async fn a_server_that_says_nonsense_is_left() {
    for script in [
        Script::new().greeting(say("+OK ready")),
        Script::new().greeting(Act::Forever("220-and so on\r\n".into())),
        Script::new().when("EHLO", [Act::Forever("x".repeat(1000))]),
        Script::new().when("DATA", [take("250-taken\r\n550 or not")]),
    ] {
        let told = format!("{script:?}");
        let (result, _) = meets(script).await;
        assert!(
            matches!(&result, Err(DestinationError::Later { .. })),
            "{result:?} {told}"
        );
    }
}

#[tokio::test]
async fn a_server_that_refuses_us_is_closed_or_comes_later() {
    let (result, _) = meets(Script::new().greeting(say("554 5.3.2 no mail here"))).await;
    assert!(
        matches!(&result, Err(DestinationError::Closed { .. })),
        "{result:?}"
    );
    for script in [
        Script::new().greeting(say("421 4.3.2 full house")),
        Script::new().when("MAIL", [say("421 4.3.2 going down"), Act::Close]),
        Script::new().when("DATA", [take("421 4.3.2 going down"), Act::Close]),
    ] {
        let (result, _) = meets(script).await;
        assert!(
            matches!(&result, Err(DestinationError::Later { .. })),
            "{result:?}"
        );
    }
}

#[tokio::test]
async fn what_the_server_cannot_do_is_not_used() {
    let script = Script::new()
        .when("EHLO", [say("500 what")])
        .when("HELO", [say("250 mx")]);
    let (result, heard) = meets(script).await;
    result.unwrap();
    assert!(
        heard.contains(&"MAIL FROM:<a@b.example>\r\n".to_owned()),
        "{heard:?}"
    );

    let script = Script::new().when("EHLO", [say("250-mx\r\n250 SIZE 40")]);
    let (result, heard) = meets(script).await;
    assert!(
        matches!(&result, Err(DestinationError::Refused { .. })),
        "{result:?}"
    );
    assert!(
        !heard.iter().any(|line| line.starts_with("MAIL")),
        "{heard:?}"
    );
    let script = Script::new().when(
        "EHLO",
        [say(&format!("250-mx\r\n250 SIZE {}", LETTER.len()))],
    );
    meets(script).await.0.unwrap();
}

#[tokio::test]
async fn what_was_taken_over_is_known_after_a_crash_and_the_rest_is_fetched_again() {
    let script = Script::new().when(
        "DATA",
        [take("250 taken"), take("554 no"), Act::TakeAndClose],
    );
    let server = script.run().await;
    let place = Place::of(&server);
    let mut destination = place.open();
    let mut tickets = Vec::new();
    for _ in 0..4 {
        tickets.push(add(&mut destination, LETTER).await);
    }
    destination.prepare().await.unwrap();
    let results = destination.publish().await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
    // The process dies before it is noted; of the third nobody knows.
    drop(destination);
    let mut next = place.open();
    let mut recovered = Vec::new();
    for ticket in &tickets {
        recovered.push(next.recover(ticket).await.unwrap());
    }
    use Recovered::{Arrived, Lost};
    assert_eq!(recovered, [Arrived, Lost, Lost, Lost]);
    // When the next message begins, all of that is settled.
    next.begin(&mail()).await.unwrap();
    assert_eq!(next.recover(&tickets[0]).await.unwrap(), Lost);
    drop(next);
    let left = std::fs::read_dir(place.directory.path().join("handed")).unwrap();
    assert_eq!(left.count(), 0);
}

#[tokio::test]
async fn what_was_abandoned_is_not_handed_on() {
    let mut server = Script::new().run().await;
    let place = Place::of(&server);
    let mut destination = place.open();
    add(&mut destination, b"one\r\n").await;
    destination.begin(&mail()).await.unwrap();
    destination.write(&[b'x'; 200_000]).await.unwrap();
    destination.abandon().await;
    destination.begin(&mail()).await.unwrap();
    destination.write(b"half").await.unwrap();
    add(&mut destination, b"two\r\n").await;
    destination.prepare().await.unwrap();
    assert!(destination.publish().await.iter().all(Result::is_ok));
    let heard = server.heard();
    assert_eq!(
        [heard[4].as_str(), heard[8].as_str()],
        ["one\r\n", "two\r\n"]
    );
    assert_eq!(heard.len(), 10);
}

#[tokio::test]
async fn an_address_cannot_bring_a_command_of_its_own() {
    for bad in [
        "",
        "a b@c",
        "a@b>\r\nRSET",
        "a@b\n",
        "<a@b>",
        "é@example.com",
        &"a".repeat(255),
    ] {
        assert_eq!(Address::new(bad), None, "{bad:?}");
    }
    assert!(Address::new("tim").is_some());
    let message = b"Return-Path: <a@b> SIZE=1\r\n x\r\n\r\n";
    let mut server = Script::new().run().await;
    let place = Place::of(&server);
    let results = hand_on(&mut place.open(), &[message]).await;
    assert!(results[0].is_ok());
    let mail = server
        .heard()
        .into_iter()
        .find(|line| line.starts_with("MAIL"))
        .unwrap();
    assert_eq!(mail, "MAIL FROM:<a@b> SIZE=33\r\n");
}

#[tokio::test]
async fn the_group_ends_at_its_most_messages() {
    let server = Script::new().run().await;
    let place = Place::of(&server);
    let mut destination = place.open();
    for _ in 0..destination.group_messages_max() {
        add(&mut destination, LETTER).await;
    }
    destination.begin(&mail()).await.unwrap();
    let error = destination.finish().await.unwrap_err();
    assert_eq!(error.scope(), Scope::Place);
    destination.prepare().await.unwrap();
    assert_eq!(
        destination.publish().await.len(),
        destination.group_messages_max()
    );
}
