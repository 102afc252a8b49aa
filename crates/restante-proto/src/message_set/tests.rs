//! Tests of message sets against the set of the library.

use alloc::{collections::BTreeSet, vec::Vec};

use proptest::prelude::*;

use super::*;

fn number(number: u32) -> MessageNumber {
    MessageNumber::new(number).expect("not 0")
}

proptest! {
    #[test]
    fn behaves_like_a_set(numbers in proptest::collection::vec(1_u32..400, 0..300)) {
        let mut set = MessageSet::new();
        let mut model = BTreeSet::new();
        for &it in &numbers {
            prop_assert_eq!(set.insert(number(it)), model.insert(it));
        }
        prop_assert_eq!(set.len(), model.len());
        prop_assert_eq!(set.is_empty(), model.is_empty());
        let listed: Vec<u32> = set.iter().map(MessageNumber::get).collect();
        prop_assert!(listed.iter().eq(model.iter()));
        for it in 1..500 {
            prop_assert_eq!(set.contains(number(it)), model.contains(&it));
            let absent = (it..).find(|it| !model.contains(it));
            prop_assert_eq!(set.next_absent(number(it)).map(MessageNumber::get), absent);
        }
        prop_assert_eq!(&set, &numbers.iter().map(|&it| number(it)).collect());
        set.clear();
        prop_assert_eq!(set, MessageSet::default());
    }
}

#[test]
fn the_edges_of_words() {
    let set: MessageSet = (1..=128).map(number).collect();
    assert_eq!(set.next_absent(number(1)), Some(number(129)));
    assert_eq!(set.next_absent(number(64)), Some(number(129)));
    assert_eq!(set.next_absent(number(129)), Some(number(129)));
    assert_eq!(set.next_absent(number(u32::MAX)), Some(number(u32::MAX)));
}
