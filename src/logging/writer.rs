//! Log lines on their way out. A thread of its own writes them, many at once: a line costs a request no system call, and no
//! worker waits for another's.

use std::{
    io::{self, Write},
    mem,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::Duration,
};

/// How long a line waits for others to go with it.
const GATHERING: Duration = Duration::from_millis(5);

/// Bytes that may wait. Whoever has more to say waits for room, so that no line is lost.
const ROOM: usize = 1 << 20;

/// Takes lines, to be written later.
#[derive(Clone)]
pub struct Lines(Arc<Shared>);

/// The thread that writes. Dropped, it writes what still waits, and ends.
pub struct Writer {
    lines: Lines,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    /// There is something to write, or there will be no more.
    more: Condvar,
    /// What waited is being written.
    room: Condvar,
}

#[derive(Default)]
struct Waiting {
    lines: Vec<u8>,
    is_last: bool,
}

impl Shared {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for lines, and then a little for others. None when there will be no more.
    fn next(&self, written: Vec<u8>) -> Option<Vec<u8>> {
        let nothing = |waiting: &mut Waiting| waiting.lines.is_empty() && !waiting.is_last;
        let waiting = self.more.wait_while(self.waiting(), nothing).unwrap_or_else(PoisonError::into_inner);
        let few = |waiting: &mut Waiting| waiting.lines.len() < ROOM / 2 && !waiting.is_last;
        let gathered = self.more.wait_timeout_while(waiting, GATHERING, few);
        let mut waiting = gathered.unwrap_or_else(PoisonError::into_inner).0;
        if waiting.lines.is_empty() {
            return None;
        }
        let lines = mem::replace(&mut waiting.lines, written);
        drop(waiting);
        self.room.notify_all();
        Some(lines)
    }
}

impl Writer {
    /// Begins to write to `out`.
    ///
    /// # Errors
    /// Where there can be no thread.
    pub fn start(mut out: impl Write + Send + 'static) -> io::Result<Self> {
        let lines = Lines(Arc::default());
        let shared = Arc::clone(&lines.0);
        let write = move || {
            let mut written = Vec::new();
            while let Some(mut lines) = shared.next(written) {
                // There is nowhere to say that nobody reads the log.
                let _ = out.write_all(&lines);
                lines.clear();
                written = lines;
            }
        };
        let thread = thread::Builder::new().name("log".to_owned()).spawn(write)?;
        Ok(Self { lines, thread: Some(thread) })
    }

    /// Where lines go.
    #[must_use]
    pub fn lines(&self) -> Lines {
        self.lines.clone()
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.lines.0.waiting().is_last = true;
        self.lines.0.more.notify_all();
        if let Some(thread) = self.thread.take() {
            // It has nothing to say.
            let _ = thread.join();
        }
    }
}

impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let full = |waiting: &mut Waiting| waiting.lines.len() >= ROOM && !waiting.is_last;
        let waiting = self.0.room.wait_while(self.0.waiting(), full);
        let mut waiting = waiting.unwrap_or_else(PoisonError::into_inner);
        let is_first = waiting.lines.is_empty();
        waiting.lines.extend_from_slice(line);
        let is_much = waiting.lines.len() >= ROOM / 2;
        drop(waiting);
        if is_first || is_much {
            self.0.more.notify_one();
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Remembers what was written, and in how many parts.
    #[derive(Clone, Default)]
    struct Paper(Arc<Mutex<(Vec<u8>, usize)>>);

    impl Write for Paper {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut paper = self.0.lock().unwrap();
            paper.0.extend_from_slice(bytes);
            paper.1 += 1;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn all_lines_are_written_in_order_and_many_at_once() {
        let paper = Paper::default();
        let writer = Writer::start(paper.clone()).unwrap();
        let line = "a line that is long enough to fill the room after some thousands of it\n";
        let count = 3 * ROOM / line.len();
        let mut lines = writer.lines();
        for number in 0..count {
            write!(lines, "{}", format_args!("{number} {line}")).unwrap();
        }
        drop(writer);
        let (text, parts) = &*paper.0.lock().unwrap();
        let text = String::from_utf8_lossy(text);
        assert_eq!(text.lines().count(), count);
        let expected = (0..count).map(|number| format!("{number} {}", line.trim_end()));
        assert!(text.lines().eq(expected));
        assert!(*parts < count / 10, "{parts} parts");
    }
}
