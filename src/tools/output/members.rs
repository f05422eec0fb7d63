//! Last resort where one element of each list is still too much: the largest members of an object are cut or left out.
//!
//! The room of the object is shared fairly: a member that takes no more than an equal share is kept whole, and what it does not
//! use goes to the larger ones. A larger one is itself cut to its share, if that is worth while. Where the members are so many
//! that it is not, as many whole ones are kept as fit, the smallest first.

use super::{measure::largest, scan::Scanner};

/// Bytes below which a share is too little for a part of a member.
const MIN_PART_BYTES: usize = 256;

/// Bytes of the shortest member with the comma behind it, `"":1,`.
const MIN_MEMBER_BYTES: usize = 5;

/// Sizes of an object's members, in four bytes each, for which the text has at least five.
#[derive(Debug)]
pub(super) struct Members(Vec<u32>);

/// Decision on how much of a member is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Grant {
    /// All of the member is kept.
    Whole,
    /// The member is cut to so many bytes, name and comma included.
    Part(usize),
    /// The member is left out, its name included.
    Nothing,
}

impl Members {
    /// Reads the sizes of the members of the next value, an object.
    pub(super) fn read(scanner: &Scanner<'_>) -> Self {
        let mut scanner = scanner.clone();
        // Room for all there can be, so that nothing is copied while the list grows; what is not used costs no memory.
        let mut sizes = Vec::with_capacity(scanner.bytes_left() / MIN_MEMBER_BYTES + 1);
        scanner.open();
        while scanner.more() {
            let begin = scanner.at();
            scanner.value();
            scanner.value();
            // No answer of four gigabytes gets this far, and its members would only seem smaller.
            sizes.push(u32::try_from(scanner.at() - begin).unwrap_or(u32::MAX));
        }
        Self(sizes)
    }

    /// Returns the bytes from the beginning of each member's name to the end of its value.
    pub(super) fn sizes(&self) -> impl Iterator<Item = usize> {
        self.0.iter().map(|size| *size as usize)
    }

    /// Shares so many bytes among the members, each of which takes one more for the comma.
    pub(super) fn share(&self, bytes: usize) -> Share {
        let sizes = || self.sizes().map(|size| size + 1);
        let equal = largest(bytes, |share| fit(sizes().map(|size| size.min(share)), bytes));
        if equal >= MIN_PART_BYTES {
            return Share { whole: equal, spare: 0, part: Some(equal) };
        }
        let up_to = |most: usize| sizes().filter(move |size| *size <= most);
        let whole = largest(bytes, |most| fit(up_to(most), bytes));
        let taken: usize = up_to(whole).sum();
        Share { whole, spare: bytes - taken, part: None }
    }
}

/// Returns whether the sizes add up to no more than so many bytes. Ends where that is clear, which it often soon is.
fn fit(mut sizes: impl Iterator<Item = usize>, bytes: usize) -> bool {
    sizes.try_fold(bytes, usize::checked_sub).is_some()
}

/// Rule by which an object's members are kept.
#[derive(Debug)]
pub(super) struct Share {
    /// Members of up to so many bytes are kept whole.
    whole: usize,
    /// Bytes that are left for the next larger members.
    spare: usize,
    /// Bytes to which larger members are cut; they are left out where there are none.
    part: Option<usize>,
}

impl Share {
    /// Decides on the next member, by its size without the comma.
    pub(super) fn grant(&mut self, size: usize) -> Grant {
        let bytes = size + 1;
        if bytes <= self.whole {
            Grant::Whole
        } else if let Some(part) = self.part {
            Grant::Part(part)
        // All of this size together were too many, so as many are kept as fit.
        } else if bytes == self.whole + 1 && bytes <= self.spare {
            self.spare -= bytes;
            Grant::Whole
        } else {
            Grant::Nothing
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grants(json: &str, bytes: usize) -> Vec<Grant> {
        let members = Members::read(&Scanner::new(json));
        let mut share = members.share(bytes);
        members.sizes().map(|size| share.grant(size)).collect()
    }

    #[test]
    fn sizes_are_those_of_the_text() {
        let members = Members::read(&Scanner::new(r#" { "a" : [ {"b":1} ], "d":"ef" } 7"#));
        assert_eq!(members.0, [17, 8]);
    }

    #[test]
    fn small_members_are_whole_and_large_ones_share_what_they_leave() {
        let large = format!("{{\"x\":\"{}\"}}", "y".repeat(2_000));
        let json = format!(r#"{{"large":{large},"cursor":"abc","other":{large}}}"#);
        let part = (1_014 - 15) / 2;
        assert_eq!(grants(&json, 1_014), [Grant::Part(part), Grant::Whole, Grant::Part(part)]);
        assert_eq!(grants(&json, 10_000), [Grant::Whole; 3]);
    }

    #[test]
    fn of_many_members_as_many_as_fit_are_whole_the_smallest_first() {
        let many: Vec<_> = (0..100).map(|i| format!("\"k{i:02}\":12345")).collect();
        let json = format!("{{{},\"z\":1}}", many.join(","));
        // Each takes 12 bytes, and the last one 6.
        let grants = grants(&json, 6 + 12 * 7 + 11);
        let whole: Vec<_> = (0..101).filter(|at| grants[*at] == Grant::Whole).collect();
        assert_eq!(whole, [0, 1, 2, 3, 4, 5, 6, 100]);
    }

    #[test]
    fn nothing_is_granted_where_there_is_no_room() {
        assert_eq!(grants(r#"{"a":1,"b":2}"#, 3), [Grant::Nothing; 2]);
        assert_eq!(grants("{}", 3), []);
    }
}
