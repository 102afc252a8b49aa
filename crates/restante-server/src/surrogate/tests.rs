//! Surrogates of messages that are written as they would lie in a mailbox.

use bytes::Bytes;
use mail_parser::MessageParser;
use proptest::prelude::*;
use restante_maildrop::Rest;
use restante_proto::{MultiLineEncoder, Part};

use super::*;

/// What goes over the wire for a message stored as `stored`: the announced size is held.
async fn sent(stored: &[u8], part: Part) -> String {
    let mut counter = WireCounter::new();
    counter.update(stored);
    let measured = counter.finish();
    let body = Body {
        octets: measured.octets,
        head: None,
        rest: Rest::Bytes(Bytes::copy_from_slice(stored)),
        form: measured.form,
    };
    let mut opened = Opened::surrogate(body).await.unwrap();
    let mut encoder = MultiLineEncoder::new(
        opened.form.unwrap_or(Form::Stored),
        part,
        Some(opened.octets),
    );
    let mut out = Vec::new();
    let mut octets = opened.first;
    loop {
        let _ = encoder.encode(&octets, &mut out);
        octets.clear();
        if opened.rest.next(&mut octets).await.unwrap() == 0 {
            break;
        }
    }
    encoder.finish(&mut out).unwrap();
    String::from_utf8_lossy(&out).into_owned()
}

async fn header_of(stored: &str) -> String {
    let all = sent(stored.as_bytes(), Part::Top { lines: 0 }).await;
    assert!(all.is_ascii(), "{all}");
    all
}

#[tokio::test]
async fn r6858_down_1_an_internationalized_address_becomes_nobodys() {
    let stored = "Return-Path: <josé@exämple.com>\n\
        From: José <josé@exämple.com>\n\
        To: ann@example.com, Zoë <zoe@example.com>,\n  用户@例子.广告\n\
        Cc: Friends: ann@example.com, jürgen@example.com;\n\
        \n";
    let header = header_of(stored).await;
    let message = MessageParser::new().parse_headers(&header).unwrap();
    let pairs = |name: &str| -> Vec<(Option<String>, String)> {
        let address = message.header(name).unwrap().as_address().unwrap();
        let owned = |text: &std::borrow::Cow<'_, str>| text.to_string();
        (address.iter())
            .map(|one| {
                (
                    one.name.as_ref().map(owned),
                    owned(one.address.as_ref().unwrap()),
                )
            })
            .collect()
    };
    let invalid = "invalid@internationalized-address.invalid".to_owned();
    let named = |name: &str, address: &str| (Some(name.to_owned()), address.to_owned());
    assert_eq!(pairs("From"), [named("José <josé@exämple.com>", &invalid)]);
    assert_eq!(
        pairs("To"),
        [
            (None, "ann@example.com".to_owned()),
            named("Zoë", "zoe@example.com"),
            named("用户@例子.广告", &invalid),
        ]
    );
    assert_eq!(
        pairs("Cc"),
        [
            (None, "ann@example.com".to_owned()),
            named("jürgen@example.com", &invalid),
        ]
    );
    assert!(header.contains("Cc: \"Friends\": "), "{header}");
    assert!(header.starts_with("Return-Path: "), "{header}");
}

#[tokio::test]
async fn r6858_down_2_parameters_text_and_what_cannot_be_shown() {
    let stored = "Subject: Grüße =?utf-8?q?aus_K=C3=B6ln?=\n\
        Message-ID: <plain@example.com>\n\
        X-Sélf: no\n\
        References: <ünusual@example.com>\n\
        Received: from süd.example by nord.example;\n\tWed, 25 Nov 2026 21:00:00 +0000\n\
        Content-Type: application/pdf; name=\"Übersicht.pdf\"; x=1\n\
        From jos\u{e9} Wed Nov 25\n\
        \n";
    let header = header_of(stored).await;
    let message = MessageParser::new().parse_headers(&header).unwrap();
    assert_eq!(message.subject(), Some("Grüße aus Köln"));
    let kind = message.header("Content-Type").unwrap().as_content_type();
    let kind = kind.unwrap();
    assert_eq!(kind.ctype(), "application");
    assert_eq!(kind.subtype(), Some("pdf"));
    assert_eq!(kind.attribute("name"), Some("Übersicht.pdf"));
    assert_eq!(kind.attribute("x"), Some("1"));
    assert!(header.contains("\r\nMessage-ID: <plain@example.com>\r\n"));
    for gone in ["X-S", "References", "Received", "nord.example", "From jos"] {
        assert!(!header.contains(gone), "{gone}: {header}");
    }
}

#[tokio::test]
async fn r6858_down_4_top_counts_the_lines_of_the_surrogate() {
    let stored = "Subject: ü\nDkim-Signature: v=1; b=abc\n\neins\n.zwei\ndrei ü\n";
    let top = sent(stored.as_bytes(), Part::Top { lines: 2 }).await;
    assert_eq!(
        top,
        "Subject: =?utf-8?B?w7w=?=\r\nDkim-Signature: v=1; b=abc\r\n\r\neins\r\n..zwei\r\n.\r\n"
    );
    // PRJ-UTF8-6: the body is sent as it is.
    let whole = sent(stored.as_bytes(), Part::Whole).await;
    assert!(
        whole.ends_with("\r\n\r\neins\r\n..zwei\r\ndrei ü\r\n.\r\n"),
        "{whole}"
    );
}

#[tokio::test]
async fn a_header_in_ascii_is_sent_as_it_is() {
    for stored in [
        &b"Subject: plain\n\nbody \xfc\n"[..],
        b"subject:plain\r\n folded\r\n\r\n.\r\n",
        b"no header at all",
        b"",
        b"\nbody",
    ] {
        let mut counter = WireCounter::new();
        counter.update(stored);
        let mut encoder = MultiLineEncoder::new(Form::Stored, Part::Whole, None);
        let mut expected = Vec::new();
        let _ = encoder.encode(stored, &mut expected);
        encoder.finish(&mut expected).unwrap();
        let expected = String::from_utf8_lossy(&expected).into_owned();
        assert_eq!(sent(stored, Part::Whole).await, expected);
    }
}

#[tokio::test]
async fn octets_that_are_no_utf_8_are_read_as_the_first_256_characters() {
    let all = sent(b"Subject: caf\xe9\n\n", Part::Whole).await;
    let message = MessageParser::new().parse_headers(&all).unwrap();
    assert_eq!(message.subject(), Some("café"));
}

#[tokio::test]
async fn an_endless_header_is_sent_as_it_is() {
    let mut stored = "X: ü\n".repeat(HEADER_OCTETS_MAX / 5);
    stored.push_str("\nbody\n");
    let all = sent(stored.as_bytes(), Part::Whole).await;
    assert!(all.starts_with("X: ü\r\n") && all.ends_with("\r\n\r\nbody\r\n.\r\n"));
}

proptest! {
    // The announced size is that of what is sent (`sent` fails otherwise), the header is ASCII,
    // and the body is what is stored.
    #[test]
    fn r6856_utf8_2_whatever_the_header_is_the_surrogate_is_ascii(
        lines in prop::collection::vec(
            "((Subject|From|To|Content-Type|Content-Disposition|Comments|X|Reply-To): ?)?[ -~äöé用\",;:<>()=\\\\]{0,40}",
            0..8,
        ),
        end in prop_oneof!["\n", "\r\n"],
        body in "[a-z.\nü]{0,40}",
    ) {
        let lines: Vec<String> = lines.into_iter().filter(|line| !line.is_empty()).collect();
        let mut stored: String = lines.iter().map(|line| format!("{line}{end}")).collect();
        stored.push_str(&end);
        stored.push_str(&body);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let all = runtime.block_on(sent(stored.as_bytes(), Part::Whole));
        let (header, rest) = match all.strip_prefix("\r\n") {
            Some(rest) => ("", rest),
            None => all.split_once("\r\n\r\n").unwrap(),
        };
        prop_assert!(header.is_ascii(), "{}", header);
        for line in header.split("\r\n") {
            prop_assert!(!line.contains(['\r', '\n']), "{:?}", line);
        }
        let mut plain = Vec::new();
        let mut encoder = MultiLineEncoder::new(Form::Stored, Part::Whole, None);
        let _ = encoder.encode(body.as_bytes(), &mut plain);
        encoder.finish(&mut plain).unwrap();
        prop_assert_eq!(rest.as_bytes(), &plain);
    }
}
