//! First look at a value that is too large: decides how short its strings and lists have to be.
//!
//! One bound holds for all strings, and one for all lists, so that the longest are shortened first:
//!
//! 1. Strings of more than 4,000 characters are clipped to the same number of bytes, the largest with which all fits.
//! 2. If 4,000 characters are still too many, they stay at that, and all lists are cut to the same number of elements, the
//!    largest with which all fits.
//!
//! The number of elements is found while the value is read once: a byte is written if none of the lists around it is cut
//! before it, which is to say if its *rank*, the largest of its places in these lists, is within the bound. So the bytes are
//! added up by rank, and whenever there are too many, the highest rank is dropped. What lies beyond the bound is stepped
//! over from then on, hence no more is added up than the ranks that fit, and most of a large answer is only stepped over.

use super::{
    scan::{Scanner, ValueKind},
    strings,
};

/// Decision on what is kept of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cuts {
    /// Bytes that strings are clipped to. Those whose first 4,000 characters take more keep these.
    pub(super) string_bytes: usize,
    /// Elements that each list keeps at most.
    pub(super) elements: usize,
}

impl Cuts {
    /// Decision that all is kept.
    pub(super) const NONE: Self = Self { string_bytes: usize::MAX, elements: usize::MAX };

    /// Decides what is kept of the next value, so that it takes at most `room` bytes. Nothing, where one element of each list
    /// is still too much.
    pub(super) fn decide(scanner: &Scanner<'_>, room: usize, depth: usize) -> Option<Self> {
        let ranks = Ranks { bytes: vec![0; 2], sum: 0, highest: usize::MAX, room };
        let mut measure = Measure { scanner: scanner.clone(), ranks, long: Vec::new() };
        measure.value(0, depth)?;
        let elements = measure.ranks.highest;
        let free = room.saturating_sub(measure.ranks.sum);
        let string_bytes = if elements == usize::MAX { longest_strings(&measure.long, free) } else { 0 };
        Some(Self { string_bytes, elements })
    }
}

/// Bytes of an answer by rank: [0] those outside all lists, [1] those in first elements alone, and so on.
struct Ranks {
    bytes: Vec<usize>,
    sum: usize,
    /// Highest rank that still fits.
    highest: usize,
    room: usize,
}

impl Ranks {
    /// Adds bytes, and drops ranks until all fits. Nothing where it does not fit even with one element of each list.
    fn add(&mut self, rank: usize, bytes: usize) -> Option<()> {
        if rank > self.highest {
            return Some(());
        }
        if self.bytes.len() <= rank {
            self.bytes.resize(rank + 1, 0);
        }
        *self.bytes.get_mut(rank)? += bytes;
        self.sum += bytes;
        while self.sum > self.room {
            if self.bytes.len() <= 2 {
                return None;
            }
            self.sum -= self.bytes.pop()?;
            self.highest = self.bytes.len() - 1;
        }
        Some(())
    }
}

/// String of more than 4,000 characters.
struct Long {
    bytes: usize,
    /// Bytes it is clipped to at least.
    clipped_bytes: usize,
}

struct Measure<'a> {
    scanner: Scanner<'a>,
    ranks: Ranks,
    long: Vec<Long>,
}

impl Measure<'_> {
    /// Reads a value, each part of it with the comma or colon behind it.
    fn value(&mut self, rank: usize, depth: usize) -> Option<()> {
        match self.scanner.kind(depth) {
            ValueKind::Object => self.object(rank, depth),
            ValueKind::Array => self.array(rank, depth),
            ValueKind::Text => {
                let text = self.scanner.value();
                let clipped_bytes = strings::clipped_bytes(text);
                if clipped_bytes < text.len() && self.ranks.highest == usize::MAX {
                    self.long.push(Long { bytes: text.len(), clipped_bytes });
                }
                self.ranks.add(rank, clipped_bytes + 1)
            }
            ValueKind::Word => {
                let bytes = self.scanner.value().len() + 1;
                self.ranks.add(rank, bytes)
            }
        }
    }

    fn object(&mut self, rank: usize, depth: usize) -> Option<()> {
        self.scanner.open();
        self.ranks.add(rank, "{},".len())?;
        while self.scanner.more() {
            // The element around it may have turned out not to fit.
            if rank > self.ranks.highest {
                self.scanner.rest();
                break;
            }
            let name = self.scanner.value();
            self.ranks.add(rank, name.len() + 1)?;
            self.value(rank, depth + 1)?;
        }
        Some(())
    }

    fn array(&mut self, rank: usize, depth: usize) -> Option<()> {
        self.scanner.open();
        self.ranks.add(rank, "[],".len())?;
        let mut place = 0;
        while self.scanner.more() {
            place += 1;
            if rank.max(place) > self.ranks.highest {
                self.scanner.rest();
                break;
            }
            self.value(rank.max(place), depth + 1)?;
        }
        Some(())
    }
}

/// Returns the largest number of bytes to which long strings can be clipped, if so many more are free than they take where
/// they are clipped to 4,000 characters.
fn longest_strings(long: &[Long], free: usize) -> usize {
    let takes = |bytes: usize| -> usize {
        long.iter().map(|string| string.bytes.min(bytes).saturating_sub(string.clipped_bytes)).sum()
    };
    let most = long.iter().map(|string| string.bytes).max().unwrap_or_default();
    largest(most, |bytes| takes(bytes) <= free)
}

/// Returns the largest number up to `most` that is good, where all numbers below a good one are good, and 0 is.
pub(super) fn largest(most: usize, is_good: impl Fn(usize) -> bool) -> usize {
    let (mut good, mut end) = (0, most + 1);
    while end - good > 1 {
        let middle = good + (end - good) / 2;
        if is_good(middle) {
            good = middle;
        } else {
            end = middle;
        }
    }
    good
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decide(json: &str, room: usize) -> Option<Cuts> {
        Cuts::decide(&Scanner::new(json), room, 0)
    }

    fn elements(json: &str, room: usize) -> usize {
        decide(json, room).unwrap().elements
    }

    #[test]
    fn lists_are_cut_to_the_largest_number_that_fits() {
        let list = |count: usize| format!("[{}]", vec!["1234567"; count].join(","));
        // Each element takes 8 bytes with its comma, the list itself 3.
        assert_eq!(elements(&list(100), 83), 10);
        assert_eq!(elements(&list(100), 82), 9);
        assert_eq!(elements(&list(100), 803), usize::MAX);
        let two = format!("{{\"a\":{},\"b\":{}}}", list(100), list(5));
        // The longer list is cut, down to the length of the shorter one and then both.
        assert_eq!(elements(&two, 17 + 8 * 25), 20);
        assert_eq!(elements(&two, 17 + 8 * 6), 3);
    }

    #[test]
    fn inner_lists_are_cut_before_outer_ones_that_are_shorter() {
        let inner = format!("[{}]", vec!["1"; 1_000].join(","));
        let outer = format!("[{}]", vec![inner; 10].join(","));
        let found = elements(&outer, 1_000);
        assert!((40..50).contains(&found), "{found}");
    }

    #[test]
    fn what_does_not_fit_with_one_element_of_each_list_is_left_to_the_members() {
        let many: Vec<_> = (0..1_000).map(|i| format!("\"{i}\":[1,2,3]")).collect();
        assert_eq!(decide(&format!("{{{}}}", many.join(",")), 1_000), None);
    }

    #[test]
    fn strings_share_what_is_free() {
        let long = [5_000, 9_000, 30_000].map(|bytes| Long { bytes, clipped_bytes: 4_000 });
        assert_eq!(longest_strings(&long, 0), 4_000);
        assert_eq!(longest_strings(&long, 3_000), 5_000);

        assert_eq!(longest_strings(&long, 1_000 + 2 * 4_000), 7_000 + 1_000);
        assert_eq!(longest_strings(&long, 1_000_000), 30_000);
        assert_eq!(longest_strings(&[], 10), 0);
    }
}
