//! Mail: listings, streaming, pipelines, and futures that are dropped.

use std::time::Duration;

use restante_client::{Client, Keyword, Login, MessageNumber, Octets, Reply, Success};

use crate::script::Script;

fn number(number: u32) -> MessageNumber {
    MessageNumber::new(number).expect("not 0")
}

async fn client(script: Script) -> Client {
    let connection = script.serve().await.open().await.expect("a connection");
    let login = Login::password("tim", "secret");
    connection.log_in(&login).await.expect("a login")
}

// R1939-UIDL-8, PRJ-UIDL-9
#[tokio::test]
async fn r1939_uidl_8_listings_are_put_together_whatever_they_hold() {
    let script = Script::logged_in(&[])
        .answer("UIDL", "+OK\r\n2 same\r\n1 same\r\n4\r\n.")
        .answer("LIST", "+OK\r\n1 10\r\n2 20\r\n3 30\r\n.")
        .answer("UIDL", "-ERR what?")
        .answer("LIST", "+OK\r\n.");
    let mut client = client(script).await;
    let listing = client.listing().await.expect("both");
    let listed: Vec<_> = listing
        .messages
        .iter()
        .map(|it| (it.number.get(), it.octets, it.unique_id.as_deref()))
        .collect();
    assert!(listing.has_unique_ids);
    assert_eq!(
        listed,
        [
            (1, Some(Octets(10)), Some(&b"same"[..])),
            (2, Some(Octets(20)), Some(b"same")),
            (3, Some(Octets(30)), None),
            (4, None, None),
        ]
    );
    let none = client.listing().await.expect("LIST alone");
    assert!(!none.has_unique_ids && none.messages.is_empty());
}

// R2449-CAPA-6, PRJ-FETCH-11
#[tokio::test]
async fn r2449_capa_6_values_of_the_user_and_the_listing_come_in_one_turn() {
    let script = Script::logged_in(&["PIPELINING", "EXPIRE 0 USER"])
        .hear("CAPA")
        .hear("UIDL")
        .hear("LIST")
        .say("+OK\r\nPIPELINING\r\nEXPIRE 30\r\n.")
        .say("+OK\r\n1 a\r\n.")
        .say("+OK\r\n1 10\r\n.");
    let connection = script.serve().await.open().await.expect("a connection");
    let login = Login::password("tim", "secret");
    let both = connection.log_in_and_list(&login).await;
    let (client, listing) = both.expect("a login and a listing");
    assert!(!client.capabilities().expire.expect("announced").varies);
    assert_eq!((listing.messages.len(), listing.has_unique_ids), (1, true));
}

// R2449-CAPA-6
#[tokio::test]
async fn r2449_capa_6_a_refusal_of_capa_after_login_spoils_no_listing() {
    let script = Script::logged_in(&["EXPIRE 0 USER"])
        .answer("CAPA", "-ERR not now")
        .answer("UIDL", "+OK\r\n1 a\r\n.")
        .answer("LIST", "+OK\r\n1 10\r\n.");
    let connection = script.serve().await.open().await.expect("a connection");
    let login = Login::password("tim", "secret");
    let (_, listing) = connection.log_in_and_list(&login).await.expect("both");
    assert_eq!(listing.messages.len(), 1);
}

// PRJ-FETCH-11
#[tokio::test]
async fn prj_fetch_11_quit_goes_out_behind_the_last_command_and_is_answered_last() {
    let script = Script::logged_in(&["PIPELINING"])
        .hear("DELE 1")
        .hear("DELE 2")
        .hear("QUIT")
        .say("+OK\r\n-ERR no\r\n+OK bye")
        .close();
    let mut client = client(script).await;
    let mut pipeline = client.pipeline().await.expect("nothing is due");
    pipeline.delete(number(1)).expect("room");
    pipeline.delete(number(2)).expect("room");
    pipeline.quit().expect("room");
    assert!(pipeline.delete(number(3)).is_err(), "QUIT is the last");
    let mut outcomes = Vec::new();
    while let Some(reply) = pipeline.next().await.expect("answers") {
        match reply {
            Reply::Answer(answer) => outcomes.push((answer.keyword, answer.outcome.is_ok())),
            Reply::Message(_) => panic!("nobody has asked for one"),
        }
    }
    let (dele, quit) = (Keyword::Dele, Keyword::Quit);
    assert_eq!(outcomes, [(dele, true), (dele, false), (quit, true)]);
    client.close().await;
}

// R2449-PIPE-3, PRJ-PIPE-5, PRJ-FETCH-11
#[tokio::test]
async fn r2449_pipe_3_a_pipeline_is_answered_in_order_with_and_without_pipelining() {
    for pipelining in [true, false] {
        let capabilities: &[&str] = if pipelining {
            &["PIPELINING"]
        } else {
            &["TOP"]
        };
        let script = Script::logged_in(capabilities);
        let script = if pipelining {
            // Everything is heard before anything is answered.
            script
                .hear("RETR 1")
                .hear("RETR 2")
                .hear("DELE 1")
                .say("+OK\r\none\r\n.\r\n-ERR gone\r\n+OK")
        } else {
            script
                .answer("RETR 1", "+OK\r\none\r\n.")
                .answer("RETR 2", "-ERR gone")
                .answer("DELE 1", "+OK")
        };
        let mut client = client(script.answer("QUIT", "+OK")).await;
        let mut pipeline = client.pipeline().await.expect("nothing is due");
        pipeline.retrieve(number(1), Some(Octets(5))).expect("room");
        pipeline.retrieve(number(2), None).expect("room");
        pipeline.delete(number(1)).expect("room");
        let mut seen = Vec::new();
        while let Some(reply) = pipeline.next().await.expect("answers") {
            match reply {
                Reply::Message(mut message) => {
                    let mut octets = Vec::new();
                    while let Some(piece) = message.next().await.expect("a piece") {
                        octets.extend_from_slice(&piece);
                    }
                    assert_eq!(message.octets(), Octets(5));
                    seen.push(format!(
                        "{} {:?}",
                        message.number(),
                        octets.escape_ascii().to_string()
                    ));
                }
                Reply::Answer(answer) => {
                    let of = answer.number.expect("of a message");
                    seen.push(format!(
                        "{of} {} {}",
                        answer.keyword,
                        answer.outcome.is_ok()
                    ));
                }
            }
        }
        assert_eq!(seen, ["1 \"one\\\\r\\\\n\"", "2 RETR false", "1 DELE true"]);
        client.quit().await.expect("a goodbye");
    }
}

// The answer behind a message that was read to its end was taken for the end of the message.
#[tokio::test]
async fn the_answer_behind_a_message_is_not_taken_for_its_end() {
    let script = Script::logged_in(&["PIPELINING"])
        .hear("RETR 1")
        .hear("DELE 1")
        .say("+OK\r\none\r\n.\r\n+OK");
    let mut client = client(script).await;
    let mut pipeline = client.pipeline().await.expect("nothing is due");
    pipeline.retrieve(number(1), None).expect("room");
    pipeline.delete(number(1)).expect("room");
    let Some(Reply::Message(mut message)) = pipeline.next().await.expect("a message") else {
        panic!("a message was asked for");
    };
    while message.next().await.expect("a piece").is_some() {}
    let Some(Reply::Answer(answer)) = pipeline.next().await.expect("an answer") else {
        panic!("DELE was asked for");
    };
    assert_eq!(answer.number, Some(number(1)));
}

#[tokio::test]
async fn what_is_left_of_a_dropped_message_is_skipped() {
    let body = "x".repeat(100_000);
    let script = Script::logged_in(&["PIPELINING"])
        .answer("RETR 1", &format!("+OK\r\n{body}\r\n."))
        .answer("STAT", "+OK 1 2")
        .hear("RETR 1")
        .hear("RETR 2")
        .say(&format!("+OK\r\n{body}\r\n.\r\n+OK\r\ntwo\r\n."))
        .answer("NOOP", "+OK");
    let mut client = client(script).await;
    let mut message = client.retrieve(number(1), None).await.expect("it begins");
    message.next().await.expect("a piece");
    drop(message);
    assert_eq!(client.stat().await.expect("in step").messages, 1);
    let mut pipeline = client.pipeline().await.expect("nothing is due");
    pipeline.retrieve(number(1), None).expect("room");
    pipeline.retrieve(number(2), None).expect("room");
    let Some(Reply::Message(first)) = pipeline.next().await.expect("a message") else {
        panic!("no message");
    };
    drop(first);
    let Some(Reply::Message(second)) = pipeline.next().await.expect("a message") else {
        panic!("no message");
    };
    assert_eq!(second.number(), number(2));
    drop(second);
    drop(pipeline);
    client.noop().await.expect("in step");
}

#[tokio::test]
async fn a_future_that_is_dropped_leaves_the_session_in_step() {
    let script = Script::logged_in(&[])
        .hear("STAT")
        // When nobody waits any more.
        .say_later(Duration::from_millis(300), "+OK 7 2")
        .answer("NOOP", "+OK")
        .answer("STAT", "+OK 1 2");
    let mut client = client(script).await;
    let impatient = tokio::time::timeout(Duration::from_millis(50), client.stat()).await;
    assert!(impatient.is_err());
    client.noop().await.expect("in step");
    assert_eq!(client.stat().await.expect("in step").messages, 1);
}

#[tokio::test]
async fn the_top_of_a_message_streams_too() {
    let script = Script::logged_in(&["TOP"]).answer("TOP 1 0", "+OK\r\nSubject: x\r\n\r\n.");
    let mut client = client(script).await;
    let mut top = client.top(number(1), 0).await.expect("it begins");
    let mut octets = Vec::new();
    while let Some(piece) = top.next().await.expect("a piece") {
        octets.extend_from_slice(&piece);
    }
    assert_eq!(octets, b"Subject: x\r\n\r\n");
    // The end stays the end.
    let again = tokio::time::timeout(Duration::from_secs(45), top.next()).await;
    assert_eq!(again.expect("at once").expect("no error"), None);
}

#[tokio::test]
async fn a_thousand_answers_keep_their_order() {
    let mut script = Script::logged_in(&["PIPELINING"]);
    for message in 1..=1000 {
        script = script.hear(&format!("DELE {message}"));
    }
    for message in 1..=1000 {
        script = script.say(if message % 3 == 0 { "-ERR" } else { "+OK" });
    }
    let mut client = client(script.answer("QUIT", "+OK")).await;
    let mut pipeline = client.pipeline().await.expect("nothing is due");
    for message in 1..=1000 {
        pipeline.delete(number(message)).expect("room");
    }
    let mut next = 1;
    while let Some(reply) = pipeline.next().await.expect("answers") {
        let Reply::Answer(answer) = reply else {
            panic!("a message");
        };
        assert_eq!(answer.number, Some(number(next)));
        assert_eq!(answer.outcome.is_ok(), next % 3 != 0);
        assert!(!matches!(answer.outcome, Ok(Success::Message { .. })));
        next += 1;
    }
    assert_eq!(next, 1001);
    client.quit().await.expect("a goodbye");
}
