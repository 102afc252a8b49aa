//! Which unique-ids a template has not given yet, and will.

use super::{Filter, Piece, UidlFormat, Variable, Variables};

/// No UID has more digits, decimal or hexadecimal.
const HEX_DIGITS_MAX: usize = 8;

/// What the rest of a template is compared with.
#[derive(Clone, Copy)]
struct Future {
    uid_validity: u32,
    next_uid: u32,
}

impl UidlFormat {
    /// Whether it may give this unique-id to a message that has a UID of `next_uid` or more. Where
    /// that cannot be told, because the UID is cut or hashed, it may.
    pub(in super::super) fn may_give(&self, id: &[u8], uid_validity: u32, next_uid: u32) -> bool {
        let of_uid = |piece: &Piece| matches!(piece, Piece::Value(Variable::Uid, _));
        let future = Future {
            uid_validity,
            next_uid,
        };
        // What is made of files' names alone is another message's only if the name is.
        self.pieces.iter().any(of_uid) && future.holds(&self.pieces, id)
    }
}

impl Future {
    /// Whether these pieces can make this of some message.
    fn holds(self, pieces: &[Piece], id: &[u8]) -> bool {
        let Some((piece, pieces)) = pieces.split_first() else {
            return id.is_empty();
        };
        let (variable, filters) = match piece {
            Piece::Text(text) => return self.follows(text.as_bytes(), pieces, id),
            Piece::Value(variable, filters) => (*variable, filters),
        };
        if variable == Variable::UidValidity {
            let value = filtered(variable, filters, self.uid_validity);
            return self.follows(&value, pieces, id);
        }
        (0..=id.len()).any(|end| {
            let (value, rest) = id.split_at(end);
            let possible = variable != Variable::Uid || self.is_uid(value, filters);
            possible && self.holds(pieces, rest)
        })
    }

    fn follows(self, value: &[u8], pieces: &[Piece], id: &[u8]) -> bool {
        let rest = id.strip_prefix(value);
        rest.is_some_and(|rest| self.holds(pieces, rest))
    }

    /// Whether this can stand for a UID to come.
    fn is_uid(self, value: &[u8], filters: &[Filter]) -> bool {
        let keeps_all = |filter: &Filter| match filter {
            Filter::Hex | Filter::Lower | Filter::Upper | Filter::Pad(_) => true,
            Filter::HexOf(width) => *width >= HEX_DIGITS_MAX,
            Filter::Reverse | Filter::Md5 | Filter::Cut(_) => false,
        };
        if !filters.iter().all(keeps_all) {
            return !value.is_empty() && value.iter().all(u8::is_ascii_alphanumeric);
        }
        let in_hex = |filter: &Filter| matches!(filter, Filter::Hex | Filter::HexOf(_));
        let radix = match filters.iter().any(in_hex) {
            true => 16,
            false => 10,
        };
        let digits = std::str::from_utf8(value).ok();
        let uid = digits.and_then(|digits| u32::from_str_radix(digits, radix).ok());
        uid.is_some_and(|uid| {
            uid >= self.next_uid && filtered(Variable::Uid, filters, uid) == value
        })
    }
}

/// The number as the template shows it.
fn filtered(variable: Variable, filters: &[Filter], number: u32) -> Vec<u8> {
    let value = variable.value(&Variables {
        uid: number,
        uid_validity: number,
        file_name: b"",
        guid: b"",
    });
    filters
        .iter()
        .fold(value, |value, filter| filter.apply(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn may_give(format: &str, id: &str) -> bool {
        let format: UidlFormat = format.parse().unwrap();
        format.may_give(id.as_bytes(), 0x16, 9)
    }

    #[test]
    fn an_id_of_a_uid_to_come_is_known_and_others_are_free() {
        for (format, id, expected) in [
            ("%08Xu%08Xv", "0000000900000016", true),
            ("%08Xu%08Xv", "ffffffff00000016", true),
            ("%08Xu%08Xv", "0000000800000016", false),
            ("%08Xu%08Xv", "0000000900000017", false),
            ("%08Xu%08Xv", "0000000A00000016", false),
            ("%08Xu%08Xv", "1769860805.M7P4711Rxyz.mx1", false),
            (
                "%{uid | hex(8)}%{uidvalidity | hex(8)}",
                "0000000a00000016",
                true,
            ),
            ("UID%u-%v", "UID9-22", true),
            ("UID%u-%v", "UID09-22", false),
            ("UID%u-%v", "UID8-22", false),
            ("UID%u-%v", "UID9-22x", false),
            ("%v.%u", "22.4294967295", true),
            ("%v.%u", "22.4294967296", false),
            ("%f-%u", "1.a-b-9", true),
            ("%f-%u", "1.a-b-8", false),
            // Cut and hashed UIDs come again.
            ("%{uid | hex(2)}.%v", "01.22", true),
            ("%{uid | hex(2)}.%v", "0~.22", false),
            ("%Mu", "45c48cce2e2d7fbdea1afc51c7c6ad26", true),
            // Names are given once.
            ("%f", "1.a", false),
            ("%g", "1.a", false),
        ] {
            assert_eq!(may_give(format, id), expected, "{format} {id}");
        }
    }

    #[test]
    fn whatever_a_template_gives_to_come_it_may_give() {
        for format in [
            "%08Xu%08Xv",
            "%u",
            "%Xu.%f",
            "%{uid | hex(3)}%{filename}",
            "%Ru-%v",
            "%3u",
            "%04u|%LXv",
        ] {
            let format: UidlFormat = format.parse().unwrap();
            for uid in [9, 10, 255, 256, 65535, 123_456_789, u32::MAX - 2] {
                let id = format.expand(&Variables {
                    uid,
                    uid_validity: 0x16,
                    file_name: b"1.a",
                    guid: b"1.a",
                });
                assert!(format.may_give(&id, 0x16, 9), "{format:?} {uid}");
            }
        }
    }
}
