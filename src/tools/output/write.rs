//! Writing of what an answer keeps, without white space, and noting of what it does not.
//!
//! A value is written with the cuts that [`Cuts::decide`] finds for it. Where it finds none, the room of the value is shared
//! among its members, see [`members`](super::members), and each of them is cut in its own share by the same rules.

use super::{
    measure::Cuts,
    members::{Grant, Members},
    note::{NAME, Note},
    path::{Path, Step},
    scan::{Scanner, ValueKind},
    strings,
};

/// Objects and lists in each other that are cut one by one, where one element of each list is still too much. Each is read
/// once more for that, so they are few. A deeper one that is too large is left out.
const MAX_FITTED_DEPTH: usize = 8;

/// Writer of what an answer keeps.
pub(super) struct Writer<'a> {
    scanner: Scanner<'a>,
    out: String,
    path: Path<'a>,
    note: Note,
}

impl<'a> Writer<'a> {
    /// Begins with an answer and a note that may already tell of a range.
    pub(super) fn new(json: &'a str, note: Note) -> Self {
        let mut scanner = Scanner::new(json);
        let path = Path::new(scanner.kind(0) == ValueKind::Object);
        Self { scanner, out: String::new(), path, note }
    }

    /// Returns whether the root is an object.
    pub(super) fn is_root_object(&self) -> bool {
        self.path.is_root_object()
    }

    /// Writes what is kept in at most so many bytes. Returns that, and the note; no text where not even a part of the root
    /// has place.
    pub(super) fn write(mut self, bytes: usize) -> (String, Note) {
        self.fit(bytes, 0);
        (self.out, self.note)
    }

    /// Writes as much of a value as has place in a room of so many bytes. Returns whether that is anything.
    fn fit(&mut self, room: usize, depth: usize) -> bool {
        if let Some(cuts) = Cuts::decide(&self.scanner, room, depth) {
            self.value(cuts, depth);
            return true;
        }
        match self.scanner.kind(depth) {
            ValueKind::Object if depth < MAX_FITTED_DEPTH && room >= "{}".len() => self.fit_object(room, depth),
            ValueKind::Array if depth < MAX_FITTED_DEPTH && room >= "[]".len() => self.fit_array(room, depth),
            ValueKind::Text if room >= strings::MARK_BYTES => {
                let text = self.scanner.value();
                self.text(text, room);
            }
            _ => {
                self.scanner.value();
                return false;
            }
        }
        true
    }

    /// Writes a list of which not even the first element has place as it is: only that element, as far as it has.
    fn fit_array(&mut self, room: usize, depth: usize) {
        self.scanner.open();
        self.out.push('[');
        self.path.push(Step::Elements);
        let is_kept = self.scanner.more() && self.fit(room - "[]".len(), depth + 1);
        self.path.pop();
        let others = if self.scanner.more() { self.scanner.rest() } else { 0 };
        self.out.push(']');
        if !is_kept || others > 0 {
            self.note.list(&self.path, usize::from(is_kept), 1 + others);
        }
    }

    /// Writes an object of which some members are cut or left out.
    fn fit_object(&mut self, room: usize, depth: usize) {
        let members = Members::read(&self.scanner);
        let mut share = members.share(room - "{}".len());
        self.scanner.open();
        self.out.push('{');
        let mut is_first = true;
        for size in members.sizes() {
            // Leads to the name, over the comma.
            self.scanner.more();
            let end = self.scanner.at() + size;
            let grant = share.grant(size);
            is_first &= !self.member(grant, is_first, depth);
            self.scanner.go_to(end);
        }
        self.scanner.more();
        self.out.push('}');
    }

    /// Writes a member as far as it is granted. Returns whether it is kept.
    fn member(&mut self, grant: Grant, is_first: bool, depth: usize) -> bool {
        let begin = self.out.len();
        let name = self.name(is_first);
        let is_kept = match grant {
            // An answer that was shortened before would have two notes.
            _ if depth == 0 && strings::is(name, NAME) => false,
            Grant::Whole => {
                self.value(Cuts::NONE, depth + 1);
                true
            }
            Grant::Part(bytes) => self.fit(bytes.saturating_sub(name.len() + ":,".len()), depth + 1),
            Grant::Nothing => false,
        };
        if !is_kept {
            self.out.truncate(begin);
            self.note.left_out(&self.path);
        }
        self.path.pop();
        is_kept
    }

    /// Writes a comma, a member's name and the colon, and goes a step down.
    fn name(&mut self, is_first: bool) -> &'a str {
        let name = self.scanner.value();
        self.path.push(Step::Member(name));
        for part in [if is_first { "" } else { "," }, name, ":"] {
            self.out.push_str(part);
        }
        name
    }

    /// Writes a value with the given cuts.
    fn value(&mut self, cuts: Cuts, depth: usize) {
        match self.scanner.kind(depth) {
            ValueKind::Object => self.object(cuts, depth),
            ValueKind::Array => self.array(cuts, depth),
            ValueKind::Text => {
                let text = self.scanner.value();
                self.text(text, cuts.string_bytes.max(strings::clipped_bytes(text)));
            }
            ValueKind::Word => self.out.push_str(self.scanner.value()),
        }
    }

    fn object(&mut self, cuts: Cuts, depth: usize) {
        self.scanner.open();
        self.out.push('{');
        let mut is_first = true;
        while self.scanner.more() {
            let begin = self.out.len();
            let name = self.name(is_first);
            if depth == 0 && strings::is(name, NAME) {
                self.scanner.value();
                self.out.truncate(begin);
                self.note.left_out(&self.path);
            } else {
                self.value(cuts, depth + 1);
                is_first = false;
            }
            self.path.pop();
        }
        self.out.push('}');
    }

    fn array(&mut self, cuts: Cuts, depth: usize) {
        self.scanner.open();
        self.out.push('[');
        self.path.push(Step::Elements);
        let (mut kept, mut others) = (0, 0);
        while self.scanner.more() {
            if kept == cuts.elements {
                others = self.scanner.rest();
                break;
            }
            self.out.push_str(if kept > 0 { "," } else { "" });
            self.value(cuts, depth + 1);
            kept += 1;
        }
        self.path.pop();
        self.out.push(']');
        if others > 0 {
            self.note.list(&self.path, kept, kept + others);
        }
    }

    /// Writes a string in at most so many bytes.
    fn text(&mut self, text: &str, bytes: usize) {
        if strings::push_clipped(&mut self.out, text, bytes) {
            self.note.clipped(&self.path);
        }
    }
}
