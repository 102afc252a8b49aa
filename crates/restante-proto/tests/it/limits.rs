//! Each limit at one less, at itself, at one more.

use std::{sync::Arc, time::Duration};

use restante_proto::server::{CloseReason, Output, Refusal, Security, Session, Settings, refusal};

use crate::world::{Entry, World};

const ZERO: Duration = Duration::ZERO;

fn security() -> Security {
    Security {
        tls: true,
        cleartext_login: true,
        mechanisms: vec!["PLAIN".into(), "X-LONG".into()],
        ..Security::default()
    }
}

fn start(settings: Settings) -> (World, Session) {
    let mut session = Session::new(Arc::new(settings), security(), ZERO);
    let mut world = World::new(Vec::new());
    let mut greeting = Vec::new();
    assert_eq!(world.run(&mut session, ZERO, &mut greeting), None);
    (world, session)
}

fn answer(world: &mut World, session: &mut Session, input: &[u8]) -> (String, Option<CloseReason>) {
    let mut out = Vec::new();
    let closed = world.feed(session, ZERO, input, &mut out);
    (String::from_utf8(out).expect("UTF-8"), closed)
}

/// A line of so many octets with CRLF.
fn line(start: &str, octets: usize) -> String {
    format!("{start}{}\r\n", "x".repeat(octets - start.len() - 2))
}

#[test]
fn r2449_len_1_command_lines_of_255_octets() {
    for (octets, fits) in [(254, true), (255, true), (256, false), (100_000, false)] {
        let (mut world, mut session) = start(Settings::default());
        let input = line("USER ", octets) + "CAPA 1\r\n";
        let (out, _) = answer(&mut world, &mut session, input.as_bytes());
        let first = if fits {
            "+OK send the password"
        } else {
            "-ERR line too long"
        };
        // PRJ-LEN-1: one answer, and the rest of the line is no command.
        assert_eq!(
            out,
            format!("{first}\r\n-ERR too many arguments\r\n"),
            "{octets}"
        );
    }
}

#[test]
fn prj_len_1_octets_of_an_over_long_line_are_not_kept() {
    let (mut world, mut session) = start(Settings::default());
    let room = session.input_room();
    for _ in 0..1000 {
        let (out, closed) = answer(&mut world, &mut session, &[b'x'; 1000]);
        assert_eq!((out.as_str(), closed), ("", None));
        assert!(room - session.input_room() < 255);
    }
    let (out, _) = answer(&mut world, &mut session, b" QUIT\r\nNOOP\r\n");
    assert_eq!(
        out,
        "-ERR line too long\r\n-ERR command not allowed now\r\n"
    );
}

#[test]
fn prj_ir_5_auth_lines_of_12288_octets() {
    for (octets, fits) in [(12_287, true), (12_288, true), (12_289, false)] {
        let (mut world, mut session) = start(Settings::default());
        let input = line("auth x-long ", octets);
        let (out, _) = answer(&mut world, &mut session, input.as_bytes());
        let wanted = if fits {
            "-ERR malformed authentication data\r\n"
        } else {
            "-ERR line too long\r\n"
        };
        assert_eq!(out, wanted, "{octets}");
    }
    // The longer limit is for AUTH alone.
    let (mut world, mut session) = start(Settings::default());
    let (out, _) = answer(&mut world, &mut session, line("AUTHX ", 256).as_bytes());
    assert_eq!(out, "-ERR line too long\r\n");
}

#[test]
fn prj_line_2_sasl_lines_of_64_kib() {
    // R5034-LINE-1: far beyond 255 octets. 65,536 octets are 87,384 in base64.
    for (octets, fits) in [(87_385, true), (87_386, true), (87_387, false)] {
        for length in [1000, 100_000] {
            let (mut world, mut session) = start(Settings::default());
            let none = ("X-LONG".into(), b"-".to_vec());
            world.sasl.insert(none, "empty".into());
            let (out, _) = answer(&mut world, &mut session, b"AUTH X-LONG\r\n");
            assert_eq!(out, "+ \r\n");
            let (mut out, mut closed) = (String::new(), None);
            for piece in line("", octets).as_bytes().chunks(length) {
                if closed.is_none() {
                    let (more, end) = answer(&mut world, &mut session, piece);
                    out += &more;
                    closed = end;
                }
            }
            if fits {
                assert_eq!(out, "-ERR malformed authentication data\r\n", "{octets}");
                assert_eq!(closed, None);
            } else {
                assert_eq!(out, "-ERR authentication exchange too long\r\n");
                assert_eq!(closed, Some(CloseReason::InputTooLong));
                assert_eq!(world.cancelled, 1);
            }
        }
    }
}

#[test]
fn prj_line_2_eight_rounds() {
    for rounds in [7, 8, 9] {
        let (mut world, mut session) = start(Settings::default());
        world
            .sasl
            .insert(("X-LONG".into(), b"-".to_vec()), "eA==".into());
        world
            .sasl
            .insert(("X-LONG".into(), b"eA==".to_vec()), "eA==".into());
        let input = format!("AUTH X-LONG\r\n{}", "eA==\r\n".repeat(rounds - 1));
        let (out, closed) = answer(&mut world, &mut session, input.as_bytes());
        if rounds <= 8 {
            assert_eq!(out, "+ eA==\r\n".repeat(rounds));
            assert_eq!(closed, None);
        } else {
            let last = "-ERR authentication exchange too long\r\n";
            assert_eq!(out, "+ eA==\r\n".repeat(8) + last);
            assert_eq!(closed, Some(CloseReason::InputTooLong));
        }
    }
}

#[test]
fn prj_err_8_bad_commands() {
    let wrong = "X\r\n";
    for count in [9, 10, 11] {
        let (mut world, mut session) = start(Settings::default());
        let (out, closed) = answer(&mut world, &mut session, wrong.repeat(count).as_bytes());
        let wanted = "-ERR unknown command\r\n".repeat(9);
        if count < 10 {
            assert_eq!((out, closed), (wanted, None));
        } else {
            assert_eq!(out, wanted + "-ERR too many bad commands\r\n");
            assert_eq!(closed, Some(CloseReason::TooManyBadCommands));
        }
    }
}

#[test]
fn prj_err_8_exchanges_that_lead_nowhere_are_counted() {
    for (line, answer) in [
        ("*", "-ERR authentication cancelled\r\n"),
        ("AAAA", "-ERR malformed authentication data\r\n"),
        ("\0", "-ERR malformed authentication data\r\n"),
    ] {
        let (mut world, mut session) = start(Settings::default());
        let none = ("PLAIN".into(), b"-".to_vec());
        world.sasl.insert(none, "empty".into());
        let input = format!("AUTH PLAIN\r\n{line}\r\n").repeat(20);
        let (out, closed) = self::answer(&mut world, &mut session, input.as_bytes());
        let wanted = format!("+ \r\n{answer}").repeat(9);
        assert_eq!(out, wanted + "+ \r\n-ERR too many bad commands\r\n");
        assert_eq!(closed, Some(CloseReason::TooManyBadCommands));
    }
}

#[test]
fn prj_sec_4_failed_logins() {
    for count in [2, 3, 4] {
        let (mut world, mut session) = start(Settings::default());
        let input = "USER frank\r\nPASS wrong\r\n".repeat(count);
        let (out, closed) = answer(&mut world, &mut session, input.as_bytes());
        assert_eq!(out.matches("-ERR [AUTH]").count(), count.min(3));
        let wanted = (count >= 3).then_some(CloseReason::TooManyFailedLogins);
        assert_eq!(closed, wanted);
        assert_eq!(world.logins.len(), count.min(3));
    }
}

#[test]
fn prj_sec_1_a_peer_that_never_reads_fills_one_buffer_and_no_more() {
    let (_, mut session) = start(Settings::default());
    let commands = b"CAPA\r\n".repeat(100_000);
    let mut taken = 0;
    // Nobody polls: nothing is answered, and soon nothing is taken.
    while let more @ 1.. = session.handle_input(ZERO, &commands[taken..]) {
        taken += more;
    }
    assert_eq!(taken, 16 * 1024);
    assert_eq!(session.input_room(), 0);
    let mut out = Vec::new();
    assert!(matches!(session.poll_output(ZERO, &mut out), Output::Flush));
    // R2449-LEN-3: one more answer may have begun when the piece was not yet full.
    assert!(out.len() < 16 * 1024 + 1024, "{}", out.len());
}

#[test]
fn r2449_len_3_no_first_line_and_no_capability_is_longer_than_512_octets() {
    let settings = Settings {
        implementation: Some("ä".repeat(1000) + "\r\n+OK"),
        ..Settings::default()
    };
    let security = Security {
        mechanisms: (0..200).map(|number| format!("X-{number}")).collect(),
        ..security()
    };
    let mut session = Session::new(Arc::new(settings), security, ZERO);
    let mut world = World::new(vec![Entry::new(&"u".repeat(70), b"x\n")]);
    let commands = b"CAPA\r\nLANG\r\nUSER frank\r\nPASS secret\r\nCAPA\r\nUIDL 1\r\nLANG de\r\n";
    let mut out = Vec::new();
    let closed = world.feed(&mut session, ZERO, commands, &mut out);
    assert_eq!(closed, None);
    let text = String::from_utf8(out).expect("cut between characters");
    assert!(text.contains("IMPLEMENTATION ää"));
    assert!(text.contains("SASL X-0 X-1 "));
    for line in text.split_inclusive("\r\n") {
        assert!(line.len() <= 512, "{line}");
    }
}

#[test]
fn prj_state_3_refused_connections_get_one_line() {
    // PRJ-SEC-5, PRJ-SEC-6.
    for (why, line) in [
        (
            Refusal::TooManyConnections,
            "-ERR [SYS/TEMP] too many connections, try again later\r\n",
        ),
        (
            Refusal::ShuttingDown,
            "-ERR [SYS/TEMP] server is shutting down\r\n",
        ),
        (
            Refusal::Unavailable,
            "-ERR [SYS/PERM] service not available\r\n",
        ),
    ] {
        assert_eq!(refusal(why), line.as_bytes());
    }
}

/// A client that never stops sending good commands never lets its driver wait for a deadline.
#[test]
fn prj_timer_6_a_busy_client_has_only_so_much_time_to_log_in() {
    let settings = Settings::default();
    let limit = settings.limits.authorization_duration_max;
    for (now, stays) in [
        (limit - Duration::from_nanos(1), true),
        (limit, false),
        (limit + Duration::from_secs(1), false),
    ] {
        let (mut world, mut session) = start(Settings::default());
        let mut out = Vec::new();
        let closed = world.feed(&mut session, now, b"CAPA\r\n", &mut out);
        let expected = (!stays).then_some(CloseReason::LoginTimeout);
        assert_eq!(closed, expected, "{now:?}");
        assert_eq!(out.is_empty(), !stays, "{now:?}");
    }
}
