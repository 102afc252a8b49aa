//! The client's limits at one less, at themselves, at one more; and that nothing a server says
//! grows without bound.

use std::{sync::Arc, time::Duration};

use proptest::prelude::*;
use restante_proto::{
    Command, Keyword, MessageNumber,
    client::{Event, Output, Session, SessionError, Settings, Success},
};

const ZERO: Duration = Duration::ZERO;

const MESSAGES_MAX: u32 = 10_000;
const LISTING_OCTETS_MAX: usize = 200_000;

/// What came of `wire` in pieces of `length`, after logging in and asking for `commands`.
fn events(
    commands: &[Command],
    wire: &[u8],
    length: usize,
) -> (Vec<Event>, Option<SessionError>, Session) {
    let mut settings = Settings::default();
    settings.limits.messages_max = MESSAGES_MAX;
    settings.limits.listing_octets_max = LISTING_OCTETS_MAX as u64;
    let mut session = Session::under_tls(Arc::new(settings), ZERO);
    let (mut events, mut error) = (Vec::new(), None);
    for (line, command) in [
        (&b"+OK\r\n"[..], Some(Command::Capa)),
        (
            b"+OK\r\nPIPELINING\r\n.\r\n",
            Some(Command::parse(b"AUTH X").expect("legal")),
        ),
        (b"+OK\r\n", None),
    ] {
        assert_eq!(session.handle_input(ZERO, line), line.len());
        poll(&mut session, &mut events, &mut error);
        if let Some(command) = command {
            session.request(&command).expect("has its place");
            poll(&mut session, &mut events, &mut error);
        }
    }
    events.clear();
    for command in commands {
        session.request(command).expect("has its place");
    }
    poll(&mut session, &mut events, &mut error);
    for piece in wire.chunks(length) {
        let mut rest = piece;
        while !rest.is_empty() && error.is_none() {
            let taken = session.handle_input(ZERO, rest);
            assert!(taken > 0, "no room");
            rest = &rest[taken..];
            poll(&mut session, &mut events, &mut error);
        }
    }
    (events, error, session)
}

fn poll(session: &mut Session, events: &mut Vec<Event>, error: &mut Option<SessionError>) {
    let mut out = Vec::new();
    loop {
        match session.poll_output(ZERO, &mut out) {
            Ok(Output::Event(Event::MessageData(data))) => match events.last_mut() {
                Some(Event::MessageData(before)) => before.extend(data),
                _ => events.push(Event::MessageData(data)),
            },
            Ok(Output::Event(event)) => events.push(event),
            Ok(Output::Wait { .. } | Output::Close) => return,
            Ok(Output::StartTls) => panic!("nobody asked for TLS"),
            Err(failed) => {
                *error = Some(failed);
                return;
            }
        }
    }
}

// PRJ-LEN-2
#[test]
fn prj_len_2_status_lines_of_8_kib_and_message_lines_of_any_length() {
    for (octets, fits) in [(8191, true), (8192, true), (8193, false), (1 << 20, false)] {
        for length in [1, 4096, 1 << 20] {
            let text = "x".repeat(octets - "+OK \r\n".len());
            let wire = format!("+OK {text}\r\n");
            let (events, error, _) = events(&[Command::Noop], wire.as_bytes(), length);
            let too_long = SessionError::LineTooLong { max: 8192 };
            assert_eq!(error, (!fits).then_some(too_long), "{octets} in {length}");
            assert_eq!(events.len(), usize::from(fits));
        }
    }
    let line = vec![b'x'; 10 << 20];
    let wire = [b"+OK\r\n", &line[..], b"\r\n.\r\n"].concat();
    let (events, error, _) = events(&[Command::Retr(MessageNumber::FIRST)], &wire, 65_536);
    assert_eq!(error, None);
    let Some(Event::Answered(answer)) = events.last() else {
        panic!("no answer");
    };
    let octets = restante_proto::Octets(line.len() as u64 + 2);
    assert_eq!(answer.outcome, Ok(Success::Message { octets }));
}

#[test]
fn so_many_messages_are_listed_and_one_more_is_too_many() {
    let messages = MESSAGES_MAX as usize;
    let lines: String = (1..=messages)
        .map(|number| format!("{number} 1\r\n"))
        .collect();
    let wire = format!("+OK\r\n{lines}.\r\n");
    let (all, error, _) = events(&[Command::List(None)], wire.as_bytes(), 1 << 16);
    assert_eq!((all.len(), error), (messages + 1, None));
    let wire = format!("+OK\r\n{lines}1 1\r\n.\r\n");
    let (_, error, _) = events(&[Command::List(None)], wire.as_bytes(), 1 << 16);
    assert!(
        matches!(error, Some(SessionError::TooManyMessages { .. })),
        "{error:?}"
    );
}

#[test]
fn a_listing_has_so_many_octets_and_one_more_is_too_many() {
    let max = LISTING_OCTETS_MAX;
    // Lines without their ends; the last fills what is left.
    let lines = |octets: usize| {
        let line = format!("1 {}\r\n", "x".repeat(998));
        let last = "x".repeat(octets % 1000 + 1000 - 2);
        format!("{}1 {last}\r\n", line.repeat(octets / 1000 - 1))
    };
    for (octets, fits) in [(max - 1, true), (max, true), (max + 1, false)] {
        let wire = format!("+OK\r\n{}.\r\n", lines(octets));
        let (_, error, _) = events(&[Command::Uidl(None)], wire.as_bytes(), 1 << 16);
        let too_long = SessionError::ListingTooLong {
            keyword: Keyword::Uidl,
            max: max as u64,
        };
        assert_eq!(error, (!fits).then_some(too_long), "{octets}");
    }
}

/// What servers say, good and bad.
const WORDS: &[&[u8]] = &[
    b"+OK",
    b"-ERR",
    b"+ ",
    b"+",
    b" ",
    b"\r\n",
    b"\r\n",
    b"\r\n.\r\n",
    b".",
    b"\n",
    b"\r",
    b"1",
    b"2 ",
    b"18446744073709551616",
    b"-1",
    b"[AUTH]",
    b"TOP",
    b"PIPELINING",
    b"uid",
    b"\0",
    b"\xff",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    // PRJ-SEC-1: whatever comes, in whatever pieces, the events are the same.
    #[test]
    fn prj_sec_1_any_octets_in_any_pieces_give_the_same_events(
        octets in proptest::collection::vec(proptest::sample::select(WORDS), 0..60),
        length in 1_usize..40,
    ) {
        let wire = octets.concat();
        let commands = [
            Command::Capa,
            Command::List(None),
            Command::Uidl(None),
            Command::Retr(MessageNumber::FIRST),
            Command::Stat,
            Command::Quit,
        ];
        let (whole, error, _) = events(&commands, &wire, wire.len().max(1));
        let (pieces, pieces_error, _) = events(&commands, &wire, length);
        prop_assert_eq!(whole, pieces);
        prop_assert_eq!(error, pieces_error);
    }
}
