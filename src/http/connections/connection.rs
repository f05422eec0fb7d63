//! State of one connection: the next step that is expected of its client, and until when.

use std::{
    cell::Cell,
    rc::Rc,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use super::{ledger::Ledger, traffic::Stage};

/// Phase of a connection, by what it waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The head of a request.
    Head,
    /// The rest of a request's body, which the handler may be reading.
    Body,
    /// The answer to a request that has arrived whole.
    Answer,
}

/// Reason to close a connection before its client or an answer ends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    /// A head, a body, or the next request did not arrive in time.
    Late,
    /// The client did not take what was written to it.
    Unread,
    /// Its place was needed for another.
    Room,
    /// All was said: an answer was the last, or the server stops.
    Over,
}

impl Reason {
    /// Returns the reason as a metric's label.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Late => "late",
            Self::Unread => "unread",
            Self::Room => "room",
            Self::Over => "over",
        }
    }
}

/// One connection of a client. It lives on its worker's thread.
pub struct Connection {
    of: Rc<Ledger>,
    phase: Cell<Phase>,
    /// Time at which the phase began.
    since: Cell<Instant>,
    /// Deadline of the phase; none while it is the server's turn.
    due: Cell<Option<Instant>>,
    /// Deadline for the client to take more of what is written to it; none while it takes all.
    write_due: Cell<Option<Instant>>,
    /// Whether a client on this connection was let in.
    is_let_in: Cell<bool>,
    /// Whether an answer said that it is the connection's last.
    is_over: Cell<bool>,
    /// Whether the connection is to be closed as soon as all is written.
    ends_when_written: Cell<bool>,
    cut: Cell<Option<Reason>>,
    task: Cell<Option<Waker>>,
}

impl Connection {
    /// Returns a connection that was just accepted.
    pub(super) fn new(of: Rc<Ledger>) -> Self {
        let since = of.now();
        Self {
            due: Cell::new(Some(of.in_time(of.limits().request))),
            of,
            phase: Cell::new(Phase::Head),
            since: Cell::new(since),
            write_due: Cell::default(),
            is_let_in: Cell::default(),
            is_over: Cell::default(),
            ends_when_written: Cell::default(),
            cut: Cell::default(),
            task: Cell::default(),
        }
    }

    fn enter(&self, phase: Phase, time: Option<Duration>) {
        self.phase.set(phase);
        self.since.set(self.of.now());
        self.due.set(time.map(|time| self.of.in_time(time)));
    }

    /// Returns whether what arrives next belongs to the head of a request.
    pub(super) fn expects_head(&self) -> bool {
        self.phase.get() == Phase::Head
    }

    /// Notes that bytes have arrived from the client.
    pub(super) fn note_read(&self) {
        // The first byte of a request begins the time for its head. Those that follow don't prolong it.
        let deadline = || self.of.in_time(self.of.limits().request);
        if self.phase.get() == Phase::Head && self.due.get().is_none_or(|due| due > deadline()) {
            self.due.set(Some(deadline()));
        }
    }

    /// Notes that the client takes no more for now.
    pub(super) fn note_blocked(&self) {
        if self.write_due.get().is_none() {
            self.write_due.set(Some(self.of.in_time(self.of.limits().request)));
        }
    }

    /// Notes that the client took something.
    pub(super) fn note_written(&self) {
        self.write_due.set(None);
    }

    /// Notes that all there was to write is written.
    pub(super) fn note_flushed(&self) {
        if self.ends_when_written.get() {
            self.cut(Reason::Over);
        }
    }

    /// Returns whether the connection takes no more requests: those that a client sends ahead on it go unanswered (RFC
    /// 9112 § 9.6).
    pub(super) fn is_over(&self) -> bool {
        self.is_over.get()
    }

    /// Notes that the answer that is being given is the last.
    pub(super) fn end_after_answer(&self) {
        self.is_over.set(true);
    }

    /// Closes the connection once the answers that were given are written.
    pub(super) fn end_when_written(&self) {
        self.ends_when_written.set(true);
        self.wake();
    }

    /// Notes that a client was let in, which keeps the connection longer when places are short.
    pub(in crate::http) fn let_in(&self) {
        self.is_let_in.set(true);
    }

    /// Returns whether a client was let in.
    pub(super) fn is_let_in(&self) -> bool {
        self.is_let_in.get()
    }

    /// Stage of the server on its way to stop.
    pub(super) fn stage(&self) -> Stage {
        self.of.stage()
    }

    /// Returns whether no request is begun any more, because the server stops.
    pub(in crate::http) fn is_closing(&self) -> bool {
        self.stage() == Stage::Closing
    }

    /// Notes that a request begins, with or without a body.
    pub(super) fn begin_request(&self, has_body: bool) {
        self.enter(if has_body { Phase::Body } else { Phase::Answer }, None);
        self.of.count_request(true);
    }

    /// Notes that the body has arrived whole.
    pub(super) fn end_body(&self) {
        if self.phase.get() == Phase::Body {
            self.enter(Phase::Answer, None);
        }
    }

    /// Notes that the answer begins: the handler waits no longer for the rest of the body.
    pub(super) fn begin_answer(&self) {
        if self.phase.get() == Phase::Body {
            self.due.set(Some(self.of.in_time(self.of.limits().request)));
        }
    }

    /// Notes that the answer is complete, or given up.
    pub(super) fn end_request(&self) {
        self.of.count_request(false);
        let limits = self.of.limits();
        let is_idle = self.phase.get() == Phase::Answer && !self.is_over.get();
        self.enter(Phase::Head, Some(if is_idle { limits.keep_alive } else { limits.request }));
    }

    /// Returns the reason to close the connection now, if there is one.
    pub(super) fn fault(&self) -> Option<Reason> {
        let is_past = |due: Option<Instant>| due.is_some_and(|due| due <= self.of.now());
        // What is blocked is still being written.
        let is_idle = self.phase.get() == Phase::Head && self.write_due.get().is_none();
        match () {
            () if is_past(self.write_due.get()) => Some(Reason::Unread),
            () if is_past(self.due.get()) => Some(Reason::Late),
            () if is_idle && self.is_closing() => Some(Reason::Over),
            () => None,
        }
    }

    /// Order in which connections have to go when places are short, the lowest first; none while a user's request is in work.
    pub(super) fn rank(&self) -> Option<(u8, Instant)> {
        let rank = match (self.phase.get(), self.is_let_in.get()) {
            (Phase::Head, false) => 0,
            // It costs its client no more than another connection.
            (Phase::Head, true) => 1,
            (Phase::Body | Phase::Answer, false) => 2,
            (Phase::Body, true) => 3,
            (Phase::Answer, true) => return None,
        };
        Some((rank, self.since.get()))
    }

    /// Has the connection closed for a reason, which is counted.
    pub(super) fn cut(&self, reason: Reason) {
        if self.cut.get().is_none() {
            self.cut.set(Some(reason));
            self.of.count_leaving(true);
            self.wake();
        }
    }

    /// Returns whether the connection is being closed.
    pub(super) fn is_cut(&self) -> bool {
        self.cut.get().is_some()
    }

    /// Resolves when the connection is to be closed.
    pub(super) fn poll_cut(&self, cx: &Context<'_>) -> Poll<Reason> {
        if let Some(reason) = self.cut.get() {
            return Poll::Ready(reason);
        }
        let task = self.task.take().filter(|task| task.will_wake(cx.waker()));
        self.task.set(Some(task.unwrap_or_else(|| cx.waker().clone())));
        Poll::Pending
    }

    fn wake(&self) {
        if let Some(task) = self.task.take() {
            task.wake();
        }
    }
}
